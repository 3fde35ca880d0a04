"""What people read: numbers in threes, times in their own zone, nothing said twice; and what machines read stays plain."""
import json
import os
import re

import pytest

from cli_fixture import Bench

LOANS = "lan,region\n" + "".join(f"L{number},north\n" for number in range(1, 1501))
# Digits that are no count: dates, ids, versions, paths; they are taken away before bare thousands are looked for.
NO_COUNTS = re.compile(r"\d{4}-\d\d-\d\d|r-\w+|/\S+|\b\d+\.\d+\S*|gemini-\S+|:\d+\b")
UNTIL = "2031-07-01T20:30:00.000Z"


@pytest.fixture
def bench():
    made = Bench()
    made.fake.auto_finish = True
    yield made
    made.close()


def bare_thousands(text):
    return re.findall(r"(?<![\d,])\d{4,}", NO_COUNTS.sub("", text))


def test_counts_are_in_threes_for_people_and_plain_for_machines(bench):
    told = bench.enqueue("in.csv", LOANS, "--name", "many")
    assert "1,500 assignments" in told.out, told.out
    for arguments in (["status"], ["status", "many"], ["runs"], ["endpoint", "list"], ["endpoint", "show", "gemini"],
                      ["check", "in.csv", "--agents", "agents.csv", "--again"], ["pool", "import", "P", "agents.csv"], ["pool", "set", "P", "A1", "capacity=12345"],
                      ["pool", "show", "P"], ["loads", "--pool", "P"], ["cancel", "many", "--all", "-y"]):
        ran = bench.ctl(*arguments)
        assert ran.returncode == 0 and not bare_thousands(ran.out + ran.err), (arguments, bare_thousands(ran.out + ran.err), ran.out)
        assert not re.search(r"\d,\d\d\d\b", bench.ctl("--json", *arguments).out), arguments
    status = bench.ctl("status", "many").out
    assert "8,888 transient (8,080 spent), 4,141 throttled, 9,999 invalid answers, 1,234 lost" in status, status
    shown = bench.ctl("endpoint", "show", "gemini").out
    for words in ("at most 4,567 calls a minute", "6,789 at once", "in flight          3,456", "300,000 (set by", "the file has 120,000)"):
        assert words in shown, (words, shown)
    assert json.loads(bench.ctl("--json", "status", "many").out)["retries"]["transient"] == 8888
    assert "1500" in bench.ctl("--format", "csv", "runs").out


def test_what_a_run_waits_for_is_told_in_local_time_once(bench):
    bench.fake.auto_finish = False
    bench.enqueue("in.csv", "lan\nL1\n", "--name", "waits")
    bench.fake.find("waits")["waiting"] = {"code": "quota_day", "until": UNTIL, "text": "the day's quota is used up"}
    for arguments in (["status"], ["status", "waits"]):
        out = bench.ctl(*arguments, TZ="Asia/Kolkata").out
        assert "until 2031-07-02 02:00: the day's quota is used up" in out, out
        assert "2031-07-01" not in out and "20:30" not in out, out
    assert json.loads(bench.ctl("--json", "status", "waits", TZ="Asia/Kolkata").out)["waiting"]["until"] == UNTIL


def test_results_replace_a_file_with_a_yes_alone(bench):
    bench.enqueue("in.csv", "lan\nL1\n")
    kept = bench.write("out.csv", "work of hours\n")
    ran = bench.ctl("results", "@last", "-o", "out.csv")
    assert ran.returncode == 10 and "out.csv is there already" in ran.err and "-y" in ran.err, ran.err
    assert open(kept, encoding="utf-8").read() == "work of hours\n"
    assert bench.ctl("results", "@last", "-o", "out.csv", "-y").returncode == 0
    assert "L1" in open(kept, encoding="utf-8").read()
    assert bench.ctl("results", "@last", "-o", "new.csv").returncode == 0


def test_results_go_into_a_pipe_as_it_stands(bench):
    """Renamed over, as root may, a pipe or /dev/null itself would be gone."""
    bench.enqueue("in.csv", "lan\nL1\n")
    pipe = bench.folder / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert bench.ctl("results", "@last", "-o", "pipe").returncode == 0
        assert pipe.is_fifo() and b"L1" in os.read(end, 65536)
    finally:
        os.close(end)
    ran = bench.ctl("results", "@last", "-o", "pipe", "--format", "xlsx")
    assert ran.returncode == 11 and "no regular file" in ran.err and pipe.is_fifo(), ran.err
