"""Open runs from the command line: enqueue --open, enqueue --append, close, and what status, watch and wait say of them."""
import json
import os
import signal
import subprocess

import pytest

from harness import program, wait_until, write_csv
from test_disk import leave, make_room, on
from test_open import decided


@pytest.fixture
def desk(daemon):
    """A daemon with a file of agents and a way to write files of loans."""
    agents = write_csv(daemon.folder / "agents.csv", [{"agent_id": "A0", "capacity": ""}, {"agent_id": "A1", "capacity": ""}])
    daemon.agents = ("--agents", agents)
    daemon.file = lambda name, keys, column="lan": write_csv(daemon.folder / name, [{column: key, "region": "north"} for key in keys])
    return daemon


def keys(first, count):
    return [f"L{number:04}" for number in range(first, first + count)]


def open_run(daemon, name="day", count=3, *options):
    daemon.ctl("enqueue", daemon.file(f"{name}.csv", keys(0, count)), *daemon.agents, "--open", "--name", name, *options)
    wait_until(lambda: daemon.counts(name)["succeeded"] == count or options, 30, lambda: json.dumps(daemon.run(name)))
    return daemon.run(name)["id"]


class Feed:
    """enqueue - under way: line() gives it a line, said() is what it has told on stderr."""

    def __init__(self, daemon, *arguments):
        self.err_path = daemon.folder / f"feed-{len(list(daemon.folder.glob('feed-*')))}"
        with open(self.err_path, "wb") as err:
            self.process = subprocess.Popen([program("gallocctl"), "enqueue", "-", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                                            cwd=daemon.folder, env={**os.environ, "GALLOC_SOCKET": daemon.socket, "NO_COLOR": "1"})

    def line(self, *lines):
        self.process.stdin.write("".join(line + "\n" for line in lines).encode())
        self.process.stdin.flush()

    def said(self):
        return self.err_path.read_text()

    def end(self, status=0):
        self.process.stdin.close()
        out = self.process.stdout.read().decode()
        assert self.process.wait(60) == status, self.said()
        return out


# ---- open, close, and how it looks ----

def test_an_open_run_looks_open(desk):
    run = open_run(desk)
    status = desk.ctl("status", "day").stdout
    assert "running, open" in status and "open, more may come" in status and f"gallocctl close {run}" in status
    row = desk.ctl("runs").stdout.splitlines()
    assert row[0].split()[3] == "OPEN" and row[1].split()[3] == "yes"
    waited = desk.ctl("--timeout", "1s", "wait", "day", check=False)
    assert waited.returncode == 8 and f"run {run} is open" in waited.stderr and "gallocctl close" in waited.stderr
    assert "ETA open, more may come" in waited.stderr or "waits: open: more may come" in waited.stderr
    assert desk.ctl("close", "day").stdout == f"run {run} is done\n"
    assert desk.ctl("close", "day").stdout == f"run {run} is done\n"
    assert desk.ctl("runs").stdout.splitlines()[1].split()[3] == "no" and ", open" not in desk.ctl("status", "day").stdout
    assert desk.ctl("wait", "day").returncode == 0
    assert desk.ctl("close", "nobody", check=False).returncode == 4


def test_wait_ends_when_it_is_closed(desk):
    run = open_run(desk)
    waiting = subprocess.Popen([program("gallocctl"), "wait", "day"], stderr=subprocess.PIPE, env={**os.environ, "GALLOC_SOCKET": desk.socket}, text=True)
    assert f"run {run} is open" in waiting.stderr.readline()
    assert waiting.poll() is None
    desk.ctl("enqueue", desk.file("more.csv", keys(3, 2)), "--append", "day")
    desk.ctl("close", "day")
    assert waiting.wait(60) == 0 and "5 allocated" in waiting.stderr.read()
    waiting.stderr.close()


def test_an_open_run_may_begin_empty(desk):
    empty = desk.folder / "empty.csv"
    empty.write_text("lan,region\n")
    assert desk.ctl("enqueue", empty, *desk.agents, check=False).returncode == 7
    desk.ctl("enqueue", empty, *desk.agents, "--open", "--name", "empty")
    assert desk.run("empty")["state"] == "running" and desk.run("empty")["counts"]["total"] == 0
    (desk.folder / "bad.csv").write_text("lan,region\n,north\n")
    assert desk.ctl("enqueue", desk.folder / "bad.csv", *desk.agents, "--open", check=False).returncode == 7, "all that came was bad"


# ---- append a file ----

def test_append_adds_a_file_once(desk):
    run = open_run(desk)
    more = desk.file("more.csv", keys(2, 4))
    told = desk.ctl("enqueue", more, "--append", "day").stdout
    assert f"run {run} (day)" in told and "accepted  3 assignments" in told and "repeated  1 key," in told and f"gallocctl close {run}" in told
    again = desk.ctl("enqueue", more, "--append", "day", check=False)
    assert again.returncode == 6 and f"appended to run {run} before (3 assignments)" in again.stderr and "--again" in again.stderr
    of_it = desk.ctl("enqueue", desk.folder / "day.csv", "--append", "day", check=False)
    assert of_it.returncode == 6 and "what run" in of_it.stderr and "--again" in of_it.stderr
    forced = desk.ctl("enqueue", more, "--append", "day", "--again", check=False)
    assert forced.returncode == 7 and "nothing was added" in forced.stderr, "its keys are there all the same"
    other = desk.ctl("-q", "enqueue", desk.file("other.csv", keys(0, 1)), *desk.agents).stdout.strip()
    desk.wait_done(other)
    assert "accepted  4" in desk.ctl("enqueue", more, "--append", other).stdout, "of another run it is another append"
    desk.ctl("close", "day")
    assert desk.wait_done(run)["counts"]["total"] == 6 and decided(desk, run) == keys(0, 6)
    assert desk.wait_done(other)["counts"]["succeeded"] == 5, "a done run ran again"


def test_append_reads_the_key_as_the_run_does(desk):
    desk.ctl("enqueue", desk.file("day.csv", keys(0, 1), column="case_no"), *desk.agents, "--open", "--key", "case_no", "--name", "day")
    assert "key column case_no" in desk.ctl("enqueue", desk.file("more.csv", keys(1, 1), column="case_no"), "--append", "day").stdout
    assert "key column id" in desk.ctl("enqueue", desk.file("ids.csv", keys(2, 1), column="id"), "--append", "day").stdout
    refused = desk.ctl("enqueue", desk.file("none.csv", keys(3, 1), column="nothing"), "--append", "day", check=False)
    assert refused.returncode == 7 and "case_no" in refused.stderr


PLAN = [("--profile", "balanced"), ("--pool", "north"), ("--name", "x"), ("--open",), ("--strict",), ("--max-age", "1h"), ("--on-duplicate", "error"),
        ("--paused",), ("--workers-too",), ("--dry-run",), ("--match", "region=region"), ("--template", "t")]


@pytest.mark.parametrize("option", PLAN, ids=lambda option: option[0])
def test_append_refuses_what_makes_a_plan(desk, option):
    refused = desk.ctl("enqueue", desk.file("more.csv", keys(0, 1)), "--append", "day", *option, check=False)
    assert refused.returncode == 2 and f"{option[0]} does not go with it" in refused.stderr, refused.stderr


def test_append_says_why_a_run_takes_nothing(desk):
    more = desk.file("more.csv", keys(0, 1))
    importing = desk.api("POST", "/v1/runs", {"agents": [{"agent_id": "A"}]}).json["id"]
    cancelled = open_run(desk, "gone", 1, "--paused")
    desk.ctl("cancel", "gone", "--all", "-y")
    for run, word in ((importing, "still importing"), (cancelled, "cancelled"), ("nobody", "nobody")):
        refused = desk.ctl("enqueue", more, "--append", run, check=False)
        assert refused.returncode == (4 if run == "nobody" else 6) and word in refused.stderr, refused.stderr


def test_an_append_that_was_cut_off_goes_on(desk):
    """Of a file in several parts the first stand when the daemon is killed; the same command adds the rest, and nothing twice."""
    open_run(desk, "day", 1, "--paused")
    path = desk.folder / "long.csv"
    path.write_text("lan,region\n" + "".join(f"X{number:06},{'n' * 60}\n" for number in range(30000)))
    process = subprocess.Popen([program("gallocctl"), "enqueue", str(path), "--append", "day"], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                               env={**os.environ, "GALLOC_SOCKET": desk.socket}, cwd=desk.folder)
    wait_until(lambda: desk.counts("day")["total"] > 1, 30, "the first part")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    desk.kill()
    desk.start()
    stood = desk.counts("day")["total"] - 1
    assert 0 < stood < 30000 and b"goes on where it stopped" in err, (stood, err)
    assert "accepted  30,000 assignments" in desk.ctl("enqueue", path, "--append", "day").stdout
    assert desk.counts("day")["total"] == 30001
    parts = desk.api("GET", "/v1/runs/day/parts?limit=1000").json["items"]
    assert sum(part["answer"]["accepted"] for part in parts) == 30001 and all(part["answer"]["duplicates"] == 0 for part in parts)


# ---- standard input, fed ----

def test_a_line_is_taken_when_it_is_there(desk):
    feed = Feed(desk, *desk.agents, "--open", "--name", "fed", "-q")
    assert feed.process.poll() is None
    feed.line("lan,region")
    wait_until(lambda: desk.api("GET", "/v1/runs/fed").status == 200 and desk.run("fed")["state"] == "running", 20, "it runs before the first row comes")
    run = feed.process.stdout.readline().decode().strip()
    assert desk.run("fed")["id"] == run
    for number in range(3):
        feed.line(f"L{number},north")
        wait_until(lambda: desk.counts("fed")["succeeded"] == number + 1, 20, "the line is decided while more may come")  # noqa: B023
    feed.process.stdin.write(b"L3,no")
    feed.process.stdin.flush()
    feed.line("rth", "L4,\"a", "quoted\"")
    wait_until(lambda: desk.counts("fed")["succeeded"] == 5, 20, "two more")
    assert feed.end() == ""
    assert desk.run("fed")["open"] is True, "the end of the input closes nothing"
    desk.ctl("close", "fed")
    desk.wait_done(run)
    assert decided(desk, run) == [f"L{number}" for number in range(5)]


@pytest.mark.parametrize("form", ["ndjson", "json"])
def test_lines_of_json_are_taken_too(desk, form):
    feed = Feed(desk, *desk.agents, "--open", "--name", "fed")
    if form == "json":
        feed.line("[")
    feed.line('{"lan":"J1","city":"Brno"}' + ("," if form == "json" else ""))
    if form == "ndjson":
        wait_until(lambda: desk.api("GET", "/v1/runs/fed").status == 200 and desk.counts("fed")["succeeded"] == 1, 20, feed.said)
    feed.line('{"lan":"J2","town":"Brno"}' + ("]" if form == "json" else ""))
    feed.end()
    wait_until(lambda: desk.counts("fed")["succeeded"] == 2, 20, feed.said)


def test_what_is_taken_is_said(desk):
    run = open_run(desk)
    feed = Feed(desk, "--append", "day")
    feed.line("lan,region", "S1,north", ",north", "S2,north", "S1,north")
    wait_until(lambda: f"run {run}: 2 of 3 rows accepted, 2 in all" in feed.said() or "1 in all" in feed.said(), 20, feed.said)
    rejects = desk.folder / "stdin.rejects.csv"
    wait_until(lambda: "S1" in rejects.read_text(), 20, "rejects are written as they come")
    assert "standard input:3: lan: the key is empty" in feed.said()
    feed.line("S3,north")
    wait_until(lambda: "3 in all" in feed.said(), 20, feed.said)
    out = feed.end()
    assert "accepted  3 assignments" in out and "rejected  1 row;" in out and "repeated  1 key," in out
    assert desk.counts("day")["total"] == 6


def test_a_feed_waits_for_a_daemon_that_restarts(desk):
    feed = Feed(desk, *desk.agents, "--open", "--name", "fed")
    feed.line("lan,region", "L0,north")
    wait_until(lambda: "1 in all" in feed.said(), 20, feed.said)
    desk.kill()
    feed.line("L1,north")
    wait_until(lambda: "waiting for the daemon" in feed.said(), 20, feed.said)
    desk.start()
    wait_until(lambda: "2 in all" in feed.said(), 30, feed.said)
    feed.end()
    assert desk.counts("fed")["total"] == 2


def test_a_feed_waits_for_room_on_the_disk(make_daemon, sim, disk):
    daemon = on(disk, make_daemon(sim.url))
    daemon.agents = ("--agents", write_csv(daemon.folder / "agents.csv", [{"agent_id": "A0", "capacity": ""}]))
    feed = Feed(daemon, *daemon.agents, "--open", "--name", "fed")
    feed.line("lan,region", "L0,north")
    wait_until(lambda: "1 in all" in feed.said(), 20, feed.said)
    leave(disk, 20 << 20)
    feed.line("L1,north")
    wait_until(lambda: "waiting for room" in feed.said(), 20, feed.said)
    assert feed.process.poll() is None
    make_room(disk)
    wait_until(lambda: "2 in all" in feed.said(), 30, feed.said)
    feed.end()
    assert daemon.counts("fed")["total"] == 2


def test_a_feed_that_is_stopped_says_what_it_holds(desk):
    feed = Feed(desk, *desk.agents, "--open", "--name", "fed")
    feed.line("lan,region", "L0,north")
    wait_until(lambda: "1 in all" in feed.said(), 20, feed.said)
    desk.kill()
    feed.line("L1,north", "L2,north")
    wait_until(lambda: "waiting for the daemon" in feed.said(), 20, feed.said)
    feed.process.send_signal(signal.SIGTERM)
    assert feed.process.wait(30) == -signal.SIGTERM
    feed.process.stdin.close()
    feed.process.stdout.close()
    assert "added and kept: 1 assignment; 2 rows that were read" in feed.said()
    desk.start()
    assert desk.run("fed")["open"] is True and desk.counts("fed")["total"] == 1


@pytest.mark.parametrize("option", [("--order", "lan"), ("--strict",)], ids=lambda option: option[0])
def test_a_feed_refuses_what_needs_all_rows(desk, option):
    refused = desk.ctl("enqueue", "-", *desk.agents, "--open", *option, check=False, stdin="lan\n1\n")
    assert refused.returncode == 2 and option[0] in refused.stderr and "as it comes" in refused.stderr


def test_three_feeds_at_once(desk):
    run = open_run(desk, "day", 1)
    feeds = [Feed(desk, "--append", "day") for _ in range(3)]
    for feed in feeds:
        feed.line("lan,region")
    for number in range(200):
        for which, feed in enumerate(feeds):
            feed.line(f"F{which}-{number},north")
    for feed in feeds:
        assert "accepted  200 assignments" in feed.end()
    desk.ctl("close", "day")
    desk.wait_done(run)
    assert decided(desk, run) == sorted(["L0000"] + [f"F{which}-{number}" for which in range(3) for number in range(200)])
