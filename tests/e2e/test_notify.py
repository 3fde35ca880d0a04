"""gallocctl notify: each event that matters reaches a command of the user's, in order and at least once, whatever ends meanwhile."""
import email.policy
import json
import os
import signal
import subprocess

import pytest

import harness
from harness import wait_until

AGENTS = [{"agent_id": "A1", "capacity": 1000, "attributes": {}}]


class Bench:
    def __init__(self, daemon):
        self.daemon = daemon
        self.folder = daemon.folder
        self.started = []

    def start(self, *arguments, command=None, cursor="cursor"):
        """gallocctl notify that writes what it tells as lines of JSON; it listens when this returns."""
        command = command or ["sh", "-c", f"cat >> {self.folder}/told"]
        keeps = ["--cursor", str(self.folder / cursor)] if cursor else []
        process = subprocess.Popen([harness.program("gallocctl"), "notify", *keeps, *arguments, "--", *command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "GALLOC_SOCKET": self.daemon.socket})
        self.started.append(process)
        if cursor:
            wait_until(lambda: (self.folder / cursor).exists() or process.poll() is not None, what="the cursor is there")
        return process

    def end(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        _, err = process.communicate(timeout=60 * harness.SLOWNESS)
        assert process.returncode == -number, err
        return err

    def told(self):
        path = self.folder / "told"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def words(self):
        return [(event["on"], event.get("run") or event.get("endpoint")) for event in self.told()]

    def wait_told(self, *expected):
        wait_until(lambda: len(self.words()) >= len(expected), what=lambda: f"{expected}; told were {self.words()}")
        assert self.words() == list(expected)

    def run(self, count=1, **members):
        return self.daemon.create([(f"K{n}", {}) for n in range(count)], AGENTS, endpoint="workers", **members)

    def decide(self, run, **result):
        """All of the run, as an outside worker."""
        lease = self.daemon.api("POST", "/v1/leases", {"worker": "w", "run": run, "max": 100}).json
        results = [{"key": row["key"], **(result or {"agent_id": "A1", "reason": "r", "confidence": 1})} for row in lease["assignments"]]
        assert self.daemon.api("POST", f"/v1/leases/{lease['lease']}/results", {"results": results}).status == 200
        self.daemon.wait_done(run)

    def post(self, run, verb):
        assert self.daemon.api("POST", f"/v1/runs/{run}/{verb}", {"all": True} if verb in ("cancel", "retry") else None).status == 200

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def bench(make_daemon):
    bench = Bench(make_daemon("http://127.0.0.1:9").start())
    yield bench
    bench.close()


FAILS = {"error": {"code": "no", "message": "never"}}


def test_what_is_told(bench):
    process = bench.start("-v")
    well, bad, left = bench.run(name="well"), bench.run(name="bad"), bench.run(2, name="left")
    bench.decide(well)
    bench.post(left, "pause")
    bench.decide(bad, **FAILS)
    bench.post(left, "resume")
    bench.post(left, "cancel")
    bench.wait_told(("done", well), ("paused", left), ("failed", bad), ("done", left))
    told = bench.told()
    assert [event["text"] for event in told] == [
        f"run well ({well}) is done: 1 allocated, 0 failed", told[1]["text"], f"run bad ({bad}) is done: 0 allocated, 1 failed",
        f"run left ({left}) is cancelled: 0 allocated, 0 failed, 2 cancelled"]
    assert told[1]["text"].startswith(f"run left ({left}) ") and "paused" in told[1]["text"]
    assert list(told[0])[:2] == ["on", "text"] and told[0]["type"] == "run_done" and told[0]["snapshot"]["id"] == well
    assert sorted(event["seq"] for event in told) == [event["seq"] for event in told]
    assert "told: run well" in bench.end(process)


@pytest.mark.parametrize("on,expected", [("done", [("done", 0), ("done", 1)]), ("failed", [("failed", 1)]), ("paused", [("paused", 0)]),
                                         ("done,failed", [("done", 0), ("failed", 1)])])
def test_only_what_is_asked_for(bench, on, expected):
    bench.start("--on", on)
    runs = [bench.run(), bench.run()]
    bench.post(runs[0], "pause")
    bench.post(runs[0], "resume")
    bench.decide(runs[0])
    bench.decide(runs[1], **FAILS)
    bench.wait_told(*[(kind, runs[n]) for kind, n in expected])


def test_an_endpoint_that_is_down(make_daemon, make_sim):
    sim = make_sim("--error_401", 1)
    bench = Bench(make_daemon(sim.url).start())
    process = bench.start("--on", "paused")
    run = bench.daemon.create([("K1", {})], AGENTS)
    bench.wait_told(("paused", "gemini"))
    assert bench.told()[0]["text"].startswith("endpoint gemini is down: credentials: ")
    bench.end(process)
    bench.daemon.restart()
    sim.set(error_401=0)
    process = bench.start("-v", "--on", "paused,done")
    wait_until(lambda: "GET /v1/endpoints" in process.stderr.readline(), what="it looked: that was told before")
    assert bench.daemon.api("POST", "/v1/endpoints/gemini/resume").status == 200
    bench.wait_told(("paused", "gemini"), ("done", run))
    bench.end(process)


def test_waiting_is_told_once_it_has_lasted(bench):
    run = bench.run()
    process = bench.start("--on", "waiting", "--patience", "0ms")
    bench.wait_told(("waiting", run))
    assert bench.told()[0]["snapshot"]["waiting"]["code"] == "workers" and "waits: " in bench.told()[0]["text"]
    bench.end(process)
    bench.start("--on", "waiting,done", "--patience", "1h", cursor="other")
    other = bench.run()
    bench.decide(other)
    bench.wait_told(("waiting", run), ("done", other))


# ---- in order, at least once ----

def test_a_command_that_fails_gets_the_same_again_before_the_next(bench):
    flag = bench.folder / "mended"
    process = bench.start(command=["sh", "-c", f"cat > {bench.folder}/now; cat {bench.folder}/now >> {bench.folder}/tries; [ -e {flag} ] || exit 1; "
                                               f"cat {bench.folder}/now >> {bench.folder}/told"])
    first, second = bench.run(), bench.run()
    bench.decide(first)
    bench.decide(second)
    tries = bench.folder / "tries"
    wait_until(lambda: tries.exists() and len(tries.read_text().splitlines()) >= 2, what="two tries")
    assert {json.loads(line)["run"] for line in tries.read_text().splitlines()} == {first} and bench.told() == []
    flag.touch()
    bench.wait_told(("done", first), ("done", second))
    assert "not well (exit status 1)" in bench.end(process)


def test_it_goes_on_where_its_cursor_stands(bench):
    bench.end(bench.start())
    missed = [bench.run(), bench.run()]
    for run in missed:
        bench.decide(run)
    process = bench.start()
    bench.wait_told(("done", missed[0]), ("done", missed[1]))
    bench.end(process)
    last = bench.run()
    bench.decide(last)
    bench.start()
    bench.wait_told(("done", missed[0]), ("done", missed[1]), ("done", last))


def test_without_a_cursor_it_begins_with_what_comes(bench):
    before = bench.run()
    bench.decide(before)
    open_run = bench.run(paused=True)
    process = bench.start("-v", cursor=None)
    wait_until(lambda: "GET /v1/endpoints" in process.stderr.readline(), what="it looked")
    run = bench.run()
    bench.decide(run)
    bench.wait_told(("done", run))
    assert bench.daemon.run(open_run)["state"] == "paused"


def test_killed_in_the_middle_it_tells_again(bench):
    """kill -9 while the command is at it: the cursor is written after the command's end alone."""
    flag = bench.folder / "begun"
    process = bench.start(command=["sh", "-c", f"touch {flag}; while [ -d {bench.folder} ] && [ ! -e {bench.folder}/go ]; do sleep 0.05; done"])
    run = bench.run()
    bench.decide(run)
    wait_until(flag.exists, what="the command begins")
    process.kill()
    process.wait()
    bench.start()
    bench.wait_told(("done", run))
    (bench.folder / "go").touch()


def test_a_signal_lets_the_command_end(bench):
    flag = bench.folder / "begun"
    process = bench.start(command=["sh", "-c", f"touch {flag}; while [ ! -e {bench.folder}/go ]; do sleep 0.05; done; cat >> {bench.folder}/told"])
    run = bench.run()
    bench.decide(run)
    wait_until(flag.exists, what="the command begins")
    process.send_signal(signal.SIGTERM)
    (bench.folder / "go").touch()
    process.wait(60 * harness.SLOWNESS)
    bench.wait_told(("done", run))
    other = bench.start()
    bench.end(other)
    assert len(bench.told()) == 1


# ---- gaps ----

def test_the_daemon_restarts(bench):
    process = bench.start("--on", "done,failed,paused")
    first, paused, ended = bench.run(), bench.run(), bench.run()
    bench.decide(first)
    bench.post(paused, "pause")
    bench.wait_told(("done", first), ("paused", paused))
    bench.daemon.kill()
    bench.daemon.start()
    bench.decide(ended)
    bench.wait_told(("done", first), ("paused", paused), ("done", ended))
    err = bench.end(process)
    assert "waiting for it" in err and "the daemon answers again" in err


def test_what_happened_in_a_gap_is_seen_from_what_is(bench):
    """The daemon no longer has the events: what ended and what is paused is told, what was told before is not."""
    bench.end(bench.start("--on", "done,paused,failed"))
    known, gone, fresh = bench.run(), bench.run(), bench.run()
    process = bench.start("--on", "done,paused,failed")
    bench.post(known, "pause")
    bench.wait_told(("paused", known))
    bench.end(process)
    bench.decide(gone)
    bench.post(fresh, "pause")
    later = bench.run()
    bench.decide(later, **FAILS)
    bench.daemon.restart()
    process = bench.start("--on", "done,paused,failed")
    wait_until(lambda: len(bench.told()) >= 4, what=lambda: f"four are told, not {bench.words()}")
    assert sorted(bench.words()[1:]) == sorted([("done", gone), ("paused", fresh), ("failed", later)])
    assert "events were missed" in process.stderr.readline()
    bench.post(fresh, "resume")
    bench.post(fresh, "pause")
    wait_until(lambda: bench.words()[-1] == ("paused", fresh) and len(bench.told()) == 5, what="what comes is told as ever")
    bench.end(process)
    bench.daemon.restart()
    process = bench.start("--on", "done,paused,failed")
    bench.end(process)
    assert len(bench.told()) == 5


# ---- words and refusals ----

@pytest.mark.parametrize("arguments,status,words", [
    (["notify", "--", "no-such-program"], 2, "there is no program"),
    (["notify", "--on", "done,dnoe", "--", "cat"], 2, "done, paused, failed and waiting"),
    (["notify", "--cursor", "/nowhere/cursor", "--", "cat"], 11, "/nowhere/cursor"),
    (["notify", "--cursor", "/dev/null", "--", "cat"], 7, "is not a cursor"),
    (["-S", "/nowhere/s", "notify", "--", "cat"], 3, "no daemon"),
    (["notify", "--timeout", "300ms", "--", "cat"], 8, "time ran out"),
])
def test_refusals(bench, arguments, status, words):
    ran = bench.daemon.ctl(*arguments, check=False)
    assert (ran.returncode, words in ran.stderr) == (status, True), ran


def test_the_example_mails(bench):
    sendmail = bench.folder / "sendmail"
    sendmail.write_text(f"#!/bin/sh\ncat >> {bench.folder}/mail\n")
    sendmail.chmod(0o755)
    bench.start(command=["env", f"SENDMAIL={sendmail}", str(harness.ROOT / "examples/notify/mail.py"), "ops@example.org"])
    run = bench.run(name="nördlich")
    bench.decide(run, **FAILS)
    mail = bench.folder / "mail"
    text = wait_until(lambda: mail.exists() and mail.read_text(), what="the mail")
    message = email.message_from_string(text, policy=email.policy.default)
    assert (message["To"], message["Subject"]) == ("ops@example.org", f"galloc: run nördlich ({run}) is done: 0 allocated, 1 failed")
    assert f"gallocctl failures {run}" in text and "failed: 1" in text
