"""enqueue --ab: two runs of one file, each on its own copy of the loads, that go on after an interruption, and what cannot be compared is refused."""
import json
import os
import signal
import subprocess

import pytest

from harness import Daemon, Sim, make_agents, make_loans, program, wait_until, write_csv


@pytest.fixture(name="bed")
def make_bed():
    sim = Sim("--latency_ms", "2")
    daemon = Daemon(sim.url).start()
    daemon.loans = write_csv(daemon.folder / "loans.csv", make_loans(60))
    daemon.agents = write_csv(daemon.folder / "agents.csv", make_agents(8, 10))
    yield daemon
    daemon.remove()
    sim.stop()


def runs_of(text):
    a, b = text.split()
    return a, b


def test_both_sides(bed):
    """Sixty of eighty places: each side has them all for itself."""
    ran = bed.ctl("enqueue", bed.loans, "--agents", bed.agents, "--ab", "sequential,adaptive", "--name", "oct", "--wait")
    a, b = bed.run("oct-a"), bed.run("oct-b")
    assert (a["profile"], b["profile"]) == ("sequential", "adaptive") and a["id"] in ran.stdout
    assert f"gallocctl compare {a['id']} {b['id']}" in ran.stdout and "60 assignments each" in ran.stdout
    for run in (a, b):
        assert run["state"] == "done" and run["counts"]["succeeded"] == 60
        loads = bed.api("GET", f"/v1/runs/{run['id']}/load").json["items"]
        assert sum(agent["held"] for agent in loads) == 60
    found = bed.api("GET", "/v1/compare?a=oct-a&b=oct-b").json
    assert found["keys"]["common"] == 60 and found["a"]["balance"]["capacity_left"] == 20 and not found["notes"]


def test_copy_of_a_pool(bed):
    """A standing pool: what is held there counts on either side, and nothing is taken from it."""
    bed.ctl("pool", "import", "north", write_csv(bed.folder / "north.csv", [{**agent, "load": "3"} for agent in make_agents(8, 10)]))
    bed.ctl("pool", "set", "north", "AG-002", "available=no")
    ran = bed.ctl("-q", "enqueue", bed.loans, "--pool", "north", "--ab", "sequential,adaptive", "--sample", "40", "--wait")
    a, b = runs_of(ran.stdout)
    for run in (a, b):
        loads = {agent["agent_id"]: agent for agent in bed.api("GET", f"/v1/runs/{run}/load").json["items"]}
        assert sum(agent["held"] for agent in loads.values()) == 24 + 40 and loads["AG-002"]["held"] == 3
        assert bed.run(run)["pool"] is None and bed.run(run)["options"]["copy_of"] == "north"
    assert {agent["held"] for agent in bed.api("GET", "/v1/pools/north").json["agents"]} == {3}
    bed.ctl("pool", "set", "north", "AG-002", "available=yes")  # a repeat is told although the pool has changed
    again = bed.ctl("enqueue", bed.loans, "--pool", "north", "--ab", "sequential,adaptive", "--sample", "40", check=False)
    assert again.returncode == 6 and f"gallocctl compare {a} {b}" in again.stderr


def test_sample(bed):
    """The same keys in both and whenever it is asked again, in the order of the file; another seed chooses others."""
    def keys(*options):
        a, b = runs_of(bed.ctl("-q", "enqueue", bed.loans, "--agents", bed.agents, "--ab", "sequential,adaptive", "--sample", "15", "--wait", *options).stdout)
        of_a, of_b = ([row["key"] for row in bed.results(run)] for run in (a, b))
        assert of_a == of_b and len(of_a) == 15 and of_a == sorted(of_a)
        return of_a
    first = keys()
    assert keys("--again") == first and keys("--seed", "2") != first
    told = bed.ctl("enqueue", bed.loans, "--agents", bed.agents, "--ab", "sequential,adaptive", "--sample", "15", "--seed", "9").stdout
    assert "15 of 60 keys, the same in both; --seed 9" in told
    small = write_csv(bed.folder / "small.csv", make_loans(5) + make_loans(5))
    a, _ = runs_of(bed.ctl("-q", "enqueue", small, "--agents", bed.agents, "--ab", "sequential,adaptive", "--sample", "15").stdout)
    assert bed.run(a)["counts"]["total"] == 5


def test_interrupted(bed):
    """Ctrl-C while the rows come in, and a restart of the daemon: the same command goes on with both runs, and a third time it tells what they are."""
    many = write_csv(bed.folder / "many.csv", make_loans(40000))
    agents = write_csv(bed.folder / "many-agents.csv", make_agents(4, 40000))
    command = ("enqueue", many, "--agents", agents, "--ab", "sequential,adaptive", "--paused")
    process = subprocess.Popen([program("gallocctl"), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "GALLOC_SOCKET": bed.socket})
    wait_until(lambda: any(run["state"] == "importing" and run["name"] == "many-b" and run["counts"]["total"] > 0
                           for run in bed.api("GET", "/v1/runs").json["items"]) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    left = {run["name"]: run["id"] for run in bed.api("GET", "/v1/runs?state=importing").json["items"]}
    assert "the same command goes on" in told and {"many-a", "many-b"} <= set(left), told
    bed.restart()
    whole = json.loads(bed.ctl(*command, "--json").stdout)
    assert (whole["a"]["id"], whole["b"]["id"]) == (left["many-a"], left["many-b"])
    assert whole["a"]["counts"]["total"] == whole["b"]["counts"]["total"] == 40000
    again = bed.ctl(*command, check=False)
    assert again.returncode == 6 and whole["a"]["id"] in again.stderr and whole["b"]["id"] in again.stderr


@pytest.mark.parametrize("options, words", [
    (("--ab", "sequential"), "two profiles"), (("--ab", "a,b,c"), "two profiles"), (("--ab", "adaptive,adaptive"), "both are adaptive"),
    (("--ab", "sequential,adaptiv"), 'did you mean "adaptive"'), (("--ab", "sequential,adaptive", "--profile", "balanced"), "exclude each other"),
    (("--ab", "sequential,adaptive", "--open"), "exclude each other"), (("--ab", "balanced,aggressive", "--batch-size", "3"), "exclude each other"),
    (("--ab", "sequential,adaptive", "--workers-too"), "exclude each other"), (("--ab", "sequential,adaptive", "--endpoint", "workers"), "driven by nobody"),
    (("--sample", "3"), "goes with --ab"), (("--ab", "sequential,adaptive", "--seed", "3"), "goes with --sample"),
    (("--ab", "sequential,adaptive", "--sample", "3", "--on-duplicate", "replace"), "leave --on-duplicate out"),
])
def test_refused(bed, options, words):
    for command in ("enqueue", "check"):
        if command == "check" and "--open" in options:
            continue
        ran = bed.ctl(command, bed.loans, "--agents", bed.agents, *options, check=False)
        assert ran.returncode == 2 and words in ran.stderr, ran
    assert bed.api("GET", "/v1/runs").json["items"] == []


def test_nothing_is_left(bed):
    """A side that is refused takes the other with it; so does an input without rows."""
    bad = bed.ctl("enqueue", bed.loans, "--agents", bed.agents, "--ab", "sequential,adaptive", "--endpoint", "gemeni", check=False)
    assert bad.returncode == 4 and bed.api("GET", "/v1/runs").json["items"] == []
    empty = bed.folder / "empty.csv"
    empty.write_text("lan,region\n")
    assert bed.ctl("enqueue", str(empty), "--agents", bed.agents, "--ab", "sequential,adaptive", check=False).returncode == 7
    assert all(run["state"] == "cancelled" for run in bed.api("GET", "/v1/runs").json["items"])
    bed.ctl("enqueue", bed.loans, "--agents", bed.agents, "--profile", "sequential")
    known = bed.ctl("enqueue", bed.loans, "--agents", bed.agents, "--ab", "sequential,adaptive", check=False)
    assert known.returncode == 6 and "to run both sides: --again" in known.stderr
    assert sum(run["state"] != "cancelled" for run in bed.api("GET", "/v1/runs").json["items"]) == 1


def test_check_tells_both(bed):
    told = bed.ctl("check", bed.loans, "--agents", bed.agents, "--ab", "sequential,adaptive", "--sample", "20").stdout
    assert "profile sequential" in told and "profile adaptive" in told and "each side: 20 of 60 assignments" in told
    assert bed.api("GET", "/v1/runs").json["items"] == []
