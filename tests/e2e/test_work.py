"""gallocctl work: a program of the user's decides batches that are leased for it."""
import json
import shutil
import subprocess

import pytest

import harness
from harness import wait_until
from work_bench import AGENTS, Bench

EXAMPLES = harness.ROOT / "examples"
NAMES = ["worker.py", pytest.param("worker.mjs", marks=pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here"))]


@pytest.fixture
def bench(make_daemon):
    bench = Bench(make_daemon("http://127.0.0.1:9").start())
    yield bench
    bench.close()


# ---- the way through ----

@pytest.mark.parametrize("name", NAMES)
def test_the_examples_allocate_the_examples(bench, name):
    daemon = bench.daemon
    daemon.ctl("enqueue", EXAMPLES / "assignments.csv", "--agents", EXAMPLES / "agents.csv", "--endpoint", "workers")
    ran = bench.work("--once", "--json", "--parallel", "4", "--batch", "60", command=[str(EXAMPLES / "workers" / name)])
    tally = json.loads(ran.stdout)
    assert (tally["assignments"], tally["succeeded"], tally["failed"]) == (312, 312, 0)
    assert daemon.run()["state"] == "done"
    results = daemon.results()
    page = {"items": [], "next": ""}
    rows = []
    while page["next"] is not None:  # a page ends early where the machine is busy
        page = daemon.api("GET", f"/v1/runs/@last/assignments?fields=1&limit=1000&cursor={page['next']}").json
        rows += page["items"]
    regions = {row["key"]: row["fields"]["region"] for row in rows}
    agents = {row["agent_id"]: row["attributes"]["region"] for row in daemon.api("GET", f"/v1/pools/{daemon.run()['id']}").json["agents"]}
    assert all(agents[row["agent_id"]] == regions[row["key"]] for row in results)
    assert {row["decided_by"] for row in results} == {"worker"}


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_work_on_the_socket(bench, name):
    daemon = bench.daemon
    run = daemon.ctl("-q", "enqueue", EXAMPLES / "assignments.csv", "--agents", EXAMPLES / "agents.csv", "--endpoint", "workers").stdout.strip()
    ran = subprocess.run([EXAMPLES / "workers" / name, daemon.socket, run], capture_output=True, text=True, timeout=60 * harness.SLOWNESS, check=False)
    assert ran.returncode == 0 and "is done" in ran.stderr, ran
    assert daemon.counts(run)["succeeded"] == 312


def test_what_the_command_reads(bench):
    run = bench.daemon.create([("K1", {"name": "ü", "n": 12345678901234567890})], AGENTS, endpoint="workers")
    bench.work("--once", command=bench.command("mark(json.dumps(lease)); decide()"))
    lease = json.loads(bench.marks()[0])
    assert list(lease) == ["lease", "deadline", "run", "agents", "assignments"]
    assert lease["run"] == run and lease["deadline"].endswith("Z") and lease["lease"].isdigit()
    assert lease["assignments"] == [{"key": "K1", "attempt": 1, "fields": {"name": "ü", "n": 12345678901234567890}}]
    assert lease["agents"][0] == {"agent_id": "A0", "attributes": {}, "capacity": 1000, "held": 0, "free": 1000}


def test_fields_that_are_nested_deeply(bench):
    """The deepest that an import takes is read in a lease as well."""
    deepest = {"a": 1}
    for _ in range(23):
        deepest = {"a": deepest}
    bench.daemon.create([("K1", deepest)], AGENTS, endpoint="workers")
    bench.work("--once", command=bench.command("mark(json.dumps(lease['assignments'][0]['fields'])); decide()"))
    assert json.loads(bench.marks()[0]) == deepest
    part = json.dumps({"key": "K1", "fields": {"a": deepest}, "row": 1}) + "\n"
    run = bench.daemon.api("POST", "/v1/runs", {"agents": AGENTS, "endpoint": "workers"}).json["id"]
    put = bench.daemon.api("PUT", f"/v1/runs/{run}/parts/1", part, content_type="application/x-ndjson")
    assert "deeper than 25 levels" in put.json["rejected"][0]["message"]


def test_batches_lines_and_the_summary(bench):
    bench.enqueue(6)
    ran = bench.work("--once", "-v", "--batch", "4", "--worker", "anna", command=bench.command("decide()"))
    lines = [line for line in ran.stderr.splitlines() if line.startswith("lease ")]
    assert len(lines) == 2 and ": 4 assignments in " in lines[0] and lines[0].endswith(": 4 allocated") and lines[1].endswith(": 2 allocated")
    assert ran.stderr.splitlines()[-1] == "2 batches, 6 assignments: 6 allocated"
    assert bench.attempts("@last", "K000")[0]["worker"] == "anna"
    bench.enqueue(1)
    quiet = bench.work("--once", "-q", "--parallel", "2", "--worker", "anna", command=bench.command("decide()"))
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert bench.attempts("@last", "K000")[0]["worker"] in ("anna:1", "anna:2")


def test_slots_work_side_by_side(bench):
    bench.enqueue(8)
    meet = bench.command("""\
        mark(keys[0])
        while len(open(MARKS_FILE).read().splitlines()) < 4:
            time.sleep(0.01)  # lint: poll
        decide()
        """.replace("MARKS_FILE", repr(str(bench.folder / "marks"))))
    assert bench.work("--once", "--batch", "2", "--parallel", "4", command=meet).stderr.startswith("4 batches, 8 assignments: 8 allocated")


def test_last_is_the_run_that_was_last_at_the_first_batch(bench):
    run = bench.enqueue(1)
    process = bench.start("--run", "@last", command=bench.command("mark(keys[0]); wait_for('go'); decide()"))
    wait_until(bench.marks, what="the batch")
    other = bench.enqueue(1)
    bench.touch("go")
    status, _, err = bench.end(process)
    assert status == 0 and f"the run {run} is done" in err, err
    assert bench.daemon.counts(other)["pending"] == 1


def test_it_waits_for_work(bench):
    process = bench.start("-v", command=bench.command("decide()"))
    run = bench.enqueue(1)
    bench.daemon.wait_done(run)
    later = bench.enqueue(1)
    bench.daemon.wait_done(later)
    process.terminate()
    assert bench.end(process)[1].count("HTTP 204") == 0


def test_only_the_named_run(bench):
    other, named = bench.enqueue(2, name="other"), bench.enqueue(2, name="named")
    bench.work("--once", "--run", "named", command=bench.command("decide()"))
    assert bench.daemon.counts(named)["succeeded"] == 2 and bench.daemon.counts(other)["succeeded"] == 0


def test_the_workers_socket(make_daemon):
    bench = Bench(make_daemon("http://127.0.0.1:9"))
    socket = str(bench.folder / "w")
    bench.daemon.arguments += ["--worker-socket", socket]
    bench.daemon.start()
    bench.enqueue(2)
    ran = bench.work("--once", command=bench.command("decide()"), environment={"GALLOC_WORKER_SOCKET": socket, "GALLOC_SOCKET": "/nowhere"})
    assert ran.stderr.endswith("2 allocated\n")


# ---- words and refusals ----

@pytest.mark.parametrize("arguments,status,words", [
    (["work"], 2, "something is missing"),
    (["work", "--", "no-such-program"], 2, 'there is no program "no-such-program"'),
    (["work", "--", "/dev/null"], 2, 'there is no program "/dev/null"'),
    (["work", "--batch", "0", "--", "true"], 2, "--batch"),
    (["work", "--parallel", "65", "--", "true"], 2, "--parallel"),
    (["work", "--ttl", "2h", "--", "true"], 2, "ttl_ms"),
    (["work", "--run", "nowhere", "--", "true"], 4, "nowhere"),
    (["-S", "/nowhere/s", "work", "--", "true"], 3, "no daemon"),
])
def test_refusals(bench, arguments, status, words):
    ran = bench.daemon.ctl(*arguments, check=False)
    assert (ran.returncode, words in ran.stderr) == (status, True), ran


def test_a_run_that_is_not_for_workers(bench):
    bench.daemon.create([("K1", {})], AGENTS, paused=True)
    ran = bench.work("--run", "@last", command=bench.command("decide()"), check=False)
    assert ran.returncode == 6 and "--workers-too" in ran.stderr


def test_a_paused_run_is_told_and_waited_for(bench):
    run = bench.enqueue(1, paused=True)
    once = bench.work("--run", run, "--once", command=bench.command("decide()"), check=False)
    assert once.returncode == 9 and "is paused" in once.stderr
    brief = bench.work("--run", run, "--timeout", "3s", command=bench.command("decide()"), check=False)
    assert brief.returncode == 8 and "is paused" in brief.stderr  # told at once, and not after the ten seconds for which it asks to wait
    process = bench.start("--run", run, command=bench.command("decide()"))
    assert "is paused" in process.stderr.readline()
    assert bench.daemon.api("POST", f"/v1/runs/{run}/resume").status == 200
    assert bench.end(process)[0] == 0 and bench.daemon.counts(run)["succeeded"] == 1


def test_time_runs_out(bench):
    ran = bench.work("--timeout", "300ms", command=bench.command("decide()"), check=False)
    assert ran.returncode == 8 and "time ran out" in ran.stderr
