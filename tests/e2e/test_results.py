"""Results for the desk: the input and the agent beside the decision, the input alone to be enqueued again, a file for each agent."""
import csv
import io
import json
import re
import zipfile

import pytest
from harness import write_csv

AGENTS = [{"agent_id": "A1", "capacity": 3, "attributes": {"region": "north", "phone": "=1+1"}}, {"agent_id": "B/2", "capacity": 3, "attributes": {"region": "south"}}]
ROWS = [("K1", {"region": "north", "state": "Goa", "note": "a, \"b\"\nc"}), ("K2", {"region": "south", "state": "=SUM(1)", "n": 5}),
        ("K3", {"region": "west", "state": "", "n": None}), ("K4", {"region": "north", "state": "Goa", "l": [1, {"a": 2}]})]


@pytest.fixture
def run(daemon):
    """K1, K2 and K4 are allocated, K3 finds nobody."""
    run = daemon.create(ROWS, AGENTS, options={"match": ["region=region"], "key": "lan"})
    daemon.wait_done(run)
    return run


def table(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def sheets(path):
    """The cells of each sheet, as texts."""
    with zipfile.ZipFile(path) as book:
        names = re.findall(r'<sheet name="([^"]+)"', book.read("xl/workbook.xml").decode())
        strings = re.findall(r"<si><t[^>]*>(.*?)</t></si>", book.read("xl/sharedStrings.xml").decode(), re.S) if "xl/sharedStrings.xml" in book.namelist() else []
        found = {}
        for number, name in enumerate(names, start=1):
            text = book.read(f"xl/worksheets/sheet{number}.xml").decode()
            rows = re.findall(r"<row [^>]*>(.*?)</row>", text, re.S)
            found[name] = [[strings[int(v)] if t == "s" else inline or v for t, v, inline in
                            re.findall(r'<c [^>]*?(?:t="(\w+)")?>(?:<v>(.*?)</v>|<is><t[^>]*>(.*?)</t></is>)</c>', row, re.S)] for row in rows]
        return found


def test_csv_with_input_and_agent(daemon, run):
    rows = table(daemon.ctl("results", run, "--with-input", "--with-agent").stdout)
    assert list(rows[0])[-8:] == ["currency", "agent_region", "agent_phone", "region", "input_state", "note", "n", "l"]
    assert [row["key"] for row in rows] == ["K1", "K2", "K3", "K4"]  # the file's order
    assert rows[0]["note"] == 'a, "b"\nc' and rows[0]["agent_region"] == "north" and rows[0]["state"] == "succeeded" and rows[0]["input_state"] == "Goa"
    assert rows[1]["input_state"] == "=SUM(1)" and rows[1]["n"] == "5" and rows[0]["agent_phone"] == "=1+1"  # the user's own cells, as they came
    assert rows[2]["agent_id"] == rows[2]["agent_region"] == "" and rows[2]["error_code"] == "no_candidate" and rows[2]["region"] == "west" and rows[2]["n"] == ""
    assert json.loads(rows[3]["l"]) == [1, {"a": 2}]
    safe = table(daemon.ctl("results", run, "--with-input", "--with-agent", "--excel-safe").stdout)
    assert safe[1]["input_state"] == "'=SUM(1)" and safe[0]["agent_phone"] == "'=1+1" and safe[1]["n"] == "5"


def test_ndjson_and_json(daemon, run):
    rows = [json.loads(line) for line in daemon.ctl("results", run, "--format", "ndjson", "--with-input", "--with-agent").stdout.splitlines()]
    assert [row["input"] for row in rows] == [fields for _, fields in ROWS]
    assert [row["agent"] for row in rows] == [AGENTS[0]["attributes"], AGENTS[1]["attributes"], None, AGENTS[0]["attributes"]]
    assert json.loads(daemon.ctl("results", run, "--format", "json", "--with-input", "--with-agent").stdout) == rows
    plain = daemon.results(run)
    assert all("input" not in row and "agent" not in row for row in plain)


def test_a_workbook(daemon, run, tmp_path):
    daemon.ctl("results", run, "-o", tmp_path / "r.xlsx", "--with-input", "--with-agent")
    book = sheets(tmp_path / "r.xlsx")
    assert list(book) == ["Allocations", "Not allocated", "Loads"]
    assert book["Allocations"][0][-7:] == ["agent_region", "agent_phone", "region", "state", "note", "n", "l"]
    assert "=SUM(1)" in book["Allocations"][2] and "K3" in book["Not allocated"][1] and "west" in book["Not allocated"][1]


def test_the_failed_can_be_enqueued_again(daemon, run, tmp_path):
    told = daemon.ctl("failures", run).stderr
    command = re.search(r"gallocctl (results \S+ --state failed --only-input -o (\S+))", told)
    assert command, told
    path = tmp_path / command[2]
    daemon.ctl(*command[1].split()[:-1], path)
    rows = table(path.read_bytes().decode())
    assert rows == [{"lan": "K3", "region": "west", "state": "", "n": ""}]
    agents = write_csv(tmp_path / "a.csv", [{"agent_id": "W", "region": "west"}])
    daemon.ctl("enqueue", path, "--agents", agents, "--match", "region=region", "--wait")
    assert [(row["key"], row["agent_id"]) for row in daemon.results()] == [("K3", "W")]
    lines = daemon.ctl("results", run, "--only-input", "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [{"lan": key, **fields} for key, fields in ROWS]


@pytest.mark.parametrize("form", ["csv", "ndjson", "json", "xlsx"])
def test_a_file_an_agent(daemon, run, tmp_path, form):
    told = daemon.ctl("results", run, "--split", "agent_id", "-o", tmp_path / "by", "--format", form, "--with-input")
    assert "3 files" in told.stderr
    files = {path.name: path for path in (tmp_path / "by").iterdir()}
    assert sorted(files) == [f"A1.{form}", f"B%2F2.{form}", f"not-allocated.{form}"]
    first = files[f"A1.{form}"]
    if form == "xlsx":
        assert [row[0] for row in sheets(first)["Allocations"]] == ["key", "K1", "K4"]
        return
    text = first.read_bytes().decode()
    rows = table(text) if form == "csv" else json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
    assert [row["key"] for row in rows] == ["K1", "K4"] and {row["agent_id"] for row in rows} == {"A1"}
    assert (rows[0]["note"] if form == "csv" else rows[0]["input"]["note"]) == 'a, "b"\nc'
    assert list(tmp_path.iterdir()) == [tmp_path / "by"]  # nothing is left beside it


def test_hostile_ids_stay_in_the_folder(daemon, tmp_path):
    ids = ["../../up", "..", ".hidden", "a/b", "a%2Fb", "same", "SAME", "tab\tx", "new\nline", "-rf", "क्षेत्र", "x" * 128, "not-allocated", "con. .", "\u202egnp"]
    run = daemon.create([(f"K{n}", {"region": f"r{n}"}) for n in range(len(ids))],
                        [{"agent_id": name, "attributes": {"region": f"r{n}"}} for n, name in enumerate(ids) if not re.search(r"[\t\n]", name)], options={"match": ["region=region"]})
    daemon.wait_done(run)
    told = daemon.ctl("results", run, "--split", "agent_id", "-o", tmp_path / "by")
    files = sorted(path.name for path in (tmp_path / "by").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["by"] and len(files) == 14  # two of the ids cannot be, and their rows are of nobody
    assert {"%2E.%2F..%2Fup.csv", "a%2Fb.csv", "a%252Fb.csv", "same.csv", "SAME.csv", "%2Drf.csv", "क्षेत्र.csv", "not-allocated.csv", "%6Eot-allocated.csv", "%2E%2E.csv"} <= set(files), files
    assert "differ in capitals alone" in told.stderr and ("same and SAME" in told.stderr or "SAME and same" in told.stderr)
    owners = [{row["agent_id"] for row in table((tmp_path / "by" / name).read_bytes().decode())} for name in files]
    assert all(len(owner) == 1 for owner in owners)


def test_a_folder_is_there_whole_or_not_at_all(daemon, run, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "empty").mkdir()
    told = daemon.ctl("results", run, "--split", "agent_id", "-o", tmp_path / "full", check=False)
    assert told.returncode == 2 and "holds files" in told.stderr and [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    daemon.ctl("results", run, "--split", "agent_id", "-o", tmp_path / "empty")
    assert len(list((tmp_path / "empty").iterdir())) == 3
    told = daemon.ctl("results", "r-NONE", "--split", "agent_id", "-o", tmp_path / "new", check=False)
    assert told.returncode == 4 and sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]


@pytest.mark.parametrize("arguments,words", [
    (["--split", "region", "-o", "x"], "parts by agent_id alone"),
    (["--split", "agent_id"], "say in which folder"),
    (["--only-input", "--with-agent"], "leave --with-agent out"),
    (["--only-input", "--format", "xlsx", "-o", "x.xlsx"], "csv, ndjson or json"),
])
def test_refused(daemon, run, arguments, words):
    told = daemon.ctl("results", run, *arguments, check=False)
    assert told.returncode == 2 and words in told.stderr


def test_the_api_refuses(daemon, run):
    for query, words in (("input=some", "none, beside or only"), ("format=xml", "ndjson or csv"), ("input=only&agent=1", "exclude each other")):
        answer = daemon.api("GET", f"/v1/runs/{run}/results?{query}")
        assert answer.status == 400 and words in answer.json["detail"]


def test_a_question_is_not_split(daemon, tmp_path):
    schema = {"type": "object", "properties": {"state": {"type": "string"}, "region": {"type": "integer", "minimum": -5, "maximum": -5}}, "required": ["state", "region"]}
    run = daemon.create(ROWS, None, schema=schema, template="{{key}}")
    daemon.wait_done(run)
    for form in ("csv", "ndjson"):
        told = daemon.ctl("results", run, "--split", "agent_id", "-o", tmp_path / "by", "--format", form, check=False)
        assert told.returncode == 2 and "asks a question" in told.stderr and not list(tmp_path.iterdir())
    rows = table(daemon.ctl("results", run, "--with-input").stdout)  # a name that is taken is told apart
    assert rows[0]["answer_state"].startswith("words") and rows[0]["region"] == "-5" and rows[0]["input_region"] == "north" and rows[0]["input_state"] == "Goa"
    daemon.ctl("results", run, "-o", tmp_path / "r.xlsx", "--with-input")
    book = sheets(tmp_path / "r.xlsx")
    assert list(book) == ["Answers", "Not answered"] and book["Answers"][0][:3] == ["key", "state", "region"] and "input_region" in book["Answers"][0]
