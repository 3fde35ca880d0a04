"""What enqueue takes, what it rejects and how it says so: every kind of bad input, without a daemon of flesh."""
import json
import random

import pytest

from cli_fixture import Bench


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def fields_of(bench):
    return dict(bench.rows())


def test_plain_csv(bench):
    ran = bench.enqueue("in.csv", "lan,city\nL1,Praha\nL2,Brno\n")
    assert ran.returncode == 0, ran.err
    assert bench.rows() == [("L1", {"city": "Praha"}), ("L2", {"city": "Brno"})]
    assert "accepted  2" in ran.out and "key column lan, e.g. L1" in ran.out
    assert not (bench.folder / "in.csv.rejects.csv").exists()
    assert bench.fake.the_run()["state"] == "running"


@pytest.mark.parametrize("text", [
    "\ufefflan,a,b\r\nL1,\"x, \"\"y\"\"\",\"line 1\r\nline 2\"\r\n".encode(),
    "lan;a;b\nL1;\"x, \"\"y\"\"\";\"line 1\r\nline 2\"\n".encode(),
    "lan\ta\tb\nL1\t\"x, \"\"y\"\"\"\t\"line 1\r\nline 2\"".encode(),
    "lan,a,b\rL1,\"x, \"\"y\"\"\",\"line 1\r\nline 2\"\r".encode().replace(b"line 1\r\nline 2", b"line 1\rline 2"),
    "lan,a,b\nL1,\"x, \"\"y\"\"\",\"line 1\r\nline 2\"\n".encode("utf-16"),
], ids=["bom-crlf", "semicolon", "tab-no-end", "cr-only", "utf-16-mark"])
def test_dialects(bench, text):
    ran = bench.enqueue("in.csv", text)
    assert ran.returncode == 0, ran.err
    value = fields_of(bench)["L1"]
    assert value["a"] == 'x, "y"'
    assert value["b"] in ("line 1\r\nline 2", "line 1\rline 2")


def test_windows_1252_needs_its_name(bench):
    text = "lan,name\nL1,Müller\nL2,ok\n".encode("windows-1252")
    ran = bench.enqueue("in.csv", text)
    assert ran.returncode == 0 and "not UTF-8" in ran.err and [key for key, _ in bench.rows()] == ["L2"]
    bench.fake.runs.clear()
    ran = bench.enqueue("in.csv", text, "--encoding", "windows-1252", "--again")
    assert ran.returncode == 0, ran.err
    assert fields_of(bench)["L1"] == {"name": "Müller"}


def test_unknown_encoding(bench):
    ran = bench.enqueue("in.csv", "lan\nL1\n", "--encoding", "klingon")
    assert ran.returncode == 2 and "klingon" in ran.err


def test_blanks_belong_to_the_cell(bench):
    bench.enqueue("in.csv", "lan,a\nL1,  two blanks \n")
    assert fields_of(bench)["L1"] == {"a": "  two blanks "}


@pytest.mark.parametrize("header,key", [("LAN No,id", "LAN No"), ("id,key", "key"), ("Key,Lan", "Lan"), ("ID,x", "ID")])
def test_key_column_rule(bench, header, key):
    ran = bench.enqueue("in.csv", f"{header}\n1,2\n")
    assert ran.returncode == 0 and f"key column {key}," in ran.out, ran.err


def test_key_column_by_option(bench):
    ran = bench.enqueue("in.csv", "lan,Account No\n1,77\n", "--key", "account_no")
    assert ran.returncode == 0 and bench.rows() == [("77", {"lan": "1"})]
    ran = bench.enqueue("in.csv", "lan,account\n1,77\n", "--key", "acount")
    assert ran.returncode == 7 and 'did you mean "account"' in ran.err


def test_every_kind_of_bad_row(bench):
    rows = [b"L1,good", b",empty key", b"L1,repeated", b"1.23E+22,destroyed", b"L2,too,many", b"L3", b"L4,\xff\xfe bad", b"L5,good",
            b"x" * 300 + b",long key", b"1.5E+3,a number", b"1E5,kept", b"12.3E+4,kept", b"\x01,control", b"L6," + b"y" * 300000, b"L7,good"]
    ran = bench.enqueue("in.csv", b"lan,text\n" + b"\n".join(rows) + b"\n")
    assert ran.returncode == 0, ran.err
    assert [key for key, _ in bench.rows()] == ["L1", "L5", "1E5", "12.3E+4", "L7"]
    rejects = bench.rejects()
    assert rejects[0] == "file,line,column,reason,lan,text"
    by_line = {int(line.split(",")[1]): line for line in rejects[1:]}
    assert sorted(by_line) == [3, 4, 5, 6, 7, 8, 10, 11, 14, 15]
    for line, word in {3: "empty", 4: "repeated", 5: "spreadsheet", 6: "ragged: 3 cells", 7: "ragged: 1 cells", 8: "not UTF-8", 10: "256 bytes",
                       11: "spreadsheet", 14: "control character", 15: "256 KiB"}.items():
        assert word in by_line[line], by_line[line]
    assert by_line[4].endswith(",L1,repeated") and by_line[6].endswith(",L2,too,many")
    assert "in.csv:3: lan: the key is empty" in ran.err
    assert "rejected  9 rows" in ran.out and "repeated  1 key," in ran.out


def test_a_quote_that_is_never_closed(bench):
    ran = bench.enqueue("in.csv", 'lan,a\nL1,x\nL2,"open\nL3,y\n')
    assert ran.returncode == 0 and [key for key, _ in bench.rows()] == ["L1"]
    assert "in.csv:3: a quote is opened" in ran.err


def test_lines_are_counted_through_quotes(bench):
    bench.enqueue("in.csv", 'lan,a\nL1,"1\n2\n3"\n\n,bad\n')
    assert bench.rejects()[1].split(",")[1] == "6"


@pytest.mark.parametrize("content,word", [
    (b"", "is empty"), (b"  \n\n", "is empty"), (b"PK\x03\x04rest", "Excel workbook"), (b"\xd0\xcf\x11\xe0\xa1", "old Excel"), (b"\x1f\x8b\x08", "gzip"),
    (b"%PDF-1.7", "PDF"), (b"l\0a\0n\0\n\0", "UTF-16 without a mark"), (b"Dear all,\nplease find attached\n", "no column for the key"),
    (b"lan,a\n", "no row after its header"), (b"lan,a\n,\n", "every row was rejected"), (b"lan,a,a\nL1,1,2\n", "twice"), (b"{}\n", "no JSON object"),
    (b"[]", "no JSON object"), (b"l\xe4n,a\nL1,1\n", "header is not UTF-8"), (b"x" * 400000, "over 256 KiB"), (b"[{\"a\":1}]", "no column for the key"),
], ids=range(16))
def test_input_that_is_refused(bench, content, word):
    ran = bench.enqueue("in.csv", content)
    assert ran.returncode == 7, (ran.returncode, ran.err)
    assert word in ran.err
    assert all(run["state"] == "cancelled" for run in bench.fake.runs.values()), "nothing half done"


def test_missing_file_and_folder(bench):
    assert bench.ctl("enqueue", "nowhere.csv", "--agents", "agents.csv").returncode == 4
    assert bench.ctl("enqueue", ".", "--agents", "agents.csv").returncode == 2
    assert bench.ctl("enqueue", "agents.csv", "--agents", "nowhere.csv").returncode == 4


NDJSON = ('{"id": 12345678901234567890123, "amount": 1.50, "tags": ["a", {"b": null}]}\n{"id":"L2","amount":1e5}\n\n{"id":"L3"'
          '\n[1]\n{"id":1.5}\n{"id":null}\n{"x":1}\n{"id":"L4","a":1,"\\u0061":2}\n{"ID":"L5"}')


def test_ndjson(bench):
    ran = bench.enqueue("in.ndjson", NDJSON)
    assert ran.returncode == 0, ran.err
    assert [key for key, _ in bench.rows()] == ["12345678901234567890123", "L2", "L5"]
    first = bench.fake.the_run()["rows"][0]["text"]
    assert '"amount":1.50' in first and '"tags":["a", {"b": null}]' in first, "fields byte for byte"
    lines = [int(line.split(",")[1]) for line in bench.rejects("in.ndjson.rejects.csv")[1:]]
    assert lines == [4, 5, 6, 7, 8, 9]
    assert "repeated" in ran.err + "\n".join(bench.rejects("in.ndjson.rejects.csv"))


def test_json_array(bench):
    ran = bench.enqueue("in.json", ' [ {"key":"a,]}\\"","n":[1,2]} ,\n{"key":"b"}, 7, {"key":"' + "x" * 300000 + '"}, {"key":"c"}\n] \n')
    assert ran.returncode == 0, ran.err
    assert [key for key, _ in bench.rows()] == ['a,]}"', "b", "c"]
    assert len(bench.rejects("in.json.rejects.csv")) == 3


def test_json_array_that_is_cut_off(bench):
    ran = bench.enqueue("in.json", '[{"key":"a"},{"key":"b"')
    assert ran.returncode == 0 and "cut off" in ran.err and [key for key, _ in bench.rows()] == ["a"]
    ran = bench.enqueue("in2.json", '[{"key":"a"},{"key":"b"', "--strict")
    assert ran.returncode == 7


def test_standard_input(bench):
    ran = bench.ctl("enqueue", "-", "--agents", "agents.csv", stdin="lan\nL1\n")
    assert ran.returncode == 0 and bench.rows() == [("L1", {})]
    assert "sha256" not in bench.fake.the_run()["plan"]["source"]


def test_order_first_and_strict(bench):
    text = "lan,amount\n" + "".join(f"L{n},{n}\n" for n in (5, 100, 20, 7)) + "L0,\n"
    bench.enqueue("in.csv", text, "--order", "Amount:desc")
    assert [key for key, _ in bench.rows()] == ["L100", "L20", "L7", "L5", "L0"]
    bench.fake.runs.clear()
    bench.enqueue("in.csv", text, "--order", "amount", "--first", "2", "--again")
    assert [key for key, _ in bench.rows()] == ["L5", "L7"]
    bench.fake.runs.clear()
    ran = bench.enqueue("bad.csv", "lan,a\nL1,1\n,2\n", "--strict")
    assert ran.returncode == 7 and bench.fake.the_run()["state"] == "cancelled"
    ran = bench.enqueue("in.csv", text, "--order", "amout")
    assert ran.returncode == 7 and 'did you mean "amount"' in ran.err


def test_names_of_columns(bench):
    ran = bench.enqueue("in.csv", "lan,Client Name,region\nL1,x,north\n", "--send", "client_name,REGION", "--match", "Region=region")
    assert ran.returncode == 0, ran.err
    options = bench.fake.the_run()["plan"]["options"]
    assert options["send"] == ["Client Name", "region"] and options["match"] == ["region=region"] and options["key"] == "lan"
    ran = bench.enqueue("in.csv", "lan,client\nL1,x\n", "--keep-back", "clinet")
    assert ran.returncode == 7 and 'did you mean "client"' in ran.err


@pytest.mark.parametrize("text,word", [
    ("name,capacity\nx,1\n", "agent_id"), ("agent_id,capacity\nA,-1\n", "capacity"), ("agent_id,capacity\nA,many\n", "capacity"),
    ("agent_id,available\nA,perhaps\n", "available"), ("agent_id\nA\nA\n", "already"), ("agent_id\n", "no agent"), ("agent_id,x\nA\n", "ragged"),
    ("", "is empty"), ('[{"agent_id":"A","capacity":1.5}]', "capacity"),
])
def test_bad_agents(bench, text, word):
    bench.write("bad.csv", text)
    ran = bench.ctl("enqueue", bench.write("in.csv", "lan\nL1\n"), "--agents", "bad.csv")
    assert ran.returncode == 7 and word in ran.err and "bad.csv" in ran.err, ran.err
    assert not bench.fake.runs, "no run was made"


def test_agents_in_json(bench):
    bench.write("agents.json", '[{"key": "A1", "capacity": 3, "load": 1, "available": false, "until": "2026-12-01", "skills": ["a", "b"], "n": 1.50}]')
    ran = bench.ctl("enqueue", bench.write("in.csv", "lan\nL1\n"), "--agents", "agents.json")
    assert ran.returncode == 0, ran.err
    assert bench.fake.the_run()["agents"] == [{"agent_id": "A1", "capacity": 3, "load": 1, "available": False, "until": "2026-12-01T00:00:00.000Z",
                                               "attributes": {"skills": ["a", "b"], "n": 1.5}}]


def test_repeated_keys_across_parts(bench):
    text = "lan,a\n" + "".join(f"L{n % 25000},{'x' * 40}\n" for n in range(30000))
    ran = bench.enqueue("in.csv", text)
    assert ran.returncode == 0, ran.err
    assert len(bench.rows()) == 25000 and "accepted  25,000" in ran.out and "repeated  5,000" in ran.out
    rejects = bench.rejects()
    assert len(rejects) == 5001 and rejects[1].split(",")[1] == "25002" and rejects[-1].split(",")[1] == "30001"
    assert all(part["rows"] <= 20000 for part in bench.fake.the_run()["parts"])


def test_on_duplicate_error_names_the_line(bench):
    ran = bench.enqueue("in.csv", "lan\nL1\nL2\nL1\n", "--on-duplicate", "error")
    assert ran.returncode == 7 and "in.csv:4" in ran.err, ran.err
    assert bench.fake.the_run()["state"] == "cancelled"


def test_round_trip_of_any_text(bench):
    """Cells come to the daemon character for character."""
    draw = random.Random(7)
    alphabet = 'ab,;"\'\n\r\t\\ {}[]:é€😀\u202e\x7f'
    rows = [(f"K{number}", "".join(draw.choice(alphabet) for _ in range(draw.randrange(40)))) for number in range(500)]
    text = "key,text\n" + "".join(key + ',"' + value.replace('"', '""') + '"\n' for key, value in rows)
    ran = bench.enqueue("in.csv", text)
    assert ran.returncode == 0, ran.err
    assert [(key, fields["text"]) for key, fields in bench.rows()] == rows
    bench.fake.runs.clear()
    ran = bench.enqueue("in.json", json.dumps([{"key": key, "text": value} for key, value in rows], indent=1))
    assert ran.returncode == 0, ran.err
    assert [(key, fields["text"]) for key, fields in bench.rows()] == rows


def test_unwritable_rejects(bench):
    ran = bench.enqueue("in.csv", "lan\nL1\n\"\"\n", "--rejects", "/nonexistent/folder/r.csv")
    assert ran.returncode == 11 and "/nonexistent/folder/r.csv" in ran.err
