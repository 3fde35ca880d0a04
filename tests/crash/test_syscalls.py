"""gallocd killed at one chosen system call after the other, and told that one failed, while it takes a run in and works it off.

strace injects the signal or the error at call number N of a kind; N is drawn over the whole workload from a seed that is printed.
GALLOC_TEST_SEED repeats it, GALLOC_TEST_POINTS sets how many points are tried.
"""
import json
import os
import random
import shutil
import signal
import subprocess

import pytest

import harness
from harness import wait_until

SEED = int(os.environ["GALLOC_TEST_SEED"])
POINTS = int(os.environ.get("GALLOC_TEST_POINTS", "6"))
ROWS = 40
pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


class Traced(harness.Daemon):
    """gallocd under strace with one injection; its log is the daemon's own."""

    group = None

    def start_injected(self, calls, injection):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:{injection}", harness.program("gallocd"),
             "-c", str(self.config), "--socket", self.socket, "--state-dir", str(self.state_dir)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})  # the leak checker cannot run under a tracer
        self.group = self.process.pid
        log.close()

    def end_group(self):
        """strace and the daemon under it, if they still are there."""
        if self.group:
            try:
                os.killpg(self.group, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(30)
            self.group = None


@pytest.fixture
def traced(make_sim):
    sim = make_sim("--latency_ms", 5)
    daemons = []

    def make():
        daemons.append(Traced(sim.url, endpoint="max_in_flight = 8"))
        return daemons[-1]

    yield make
    for daemon in daemons:
        daemon.end_group()
        daemon.remove()


def is_up(daemon):
    if daemon.process.poll() is not None:
        return True
    try:
        return daemon.api("GET", "/readyz", timeout=10).status == 200
    except OSError:
        return False


def work(daemon):
    """Enqueues in two parts and waits for the end; says how far it was answered before the daemon was gone."""
    said = {"run": None, "parts": {}, "committed": False}
    try:
        created = daemon.api("POST", "/v1/runs", {"agents": [{"agent_id": "A1", "capacity": 1000}]}, headers={"Idempotency-Key": "the-run"})
        if created.status not in (200, 201):
            return said
        said["run"] = created.json["id"]
        said["committed"] = created.json["state"] != "importing"
        for part in (1, 2) if not said["committed"] else ():
            body = "".join(json.dumps({"key": f"K{part}-{row}", "fields": {"n": row}, "row": part * 100 + row}) + "\n" for row in range(ROWS // 2))
            answer = daemon.api("PUT", f"/v1/runs/{said['run']}/parts/{part}", body, content_type="application/x-ndjson")
            if answer.status != 200:
                return said
            said["parts"][part] = answer.json
        said["committed"] = said["committed"] or daemon.api("POST", f"/v1/runs/{said['run']}/commit", {"parts": 2}).status == 200
        if said["committed"]:
            wait_until(lambda: daemon.process.poll() is not None or daemon.run(said["run"])["state"] == "done", 30, "the run ends")
    except OSError:
        pass
    return said


def check_after(daemon, said, point):
    """On a daemon without injection: what was answered stands, and the work can be ended."""
    daemon.start()
    if said["run"] is not None:
        assert daemon.api("GET", f"/v1/runs/{said['run']}").status == 200, f"{point}: the run was answered and is gone"
        standing = {part["n"]: part["answer"] for part in daemon.api("GET", f"/v1/runs/{said['run']}/parts").json["items"]}
        for number, answer in said["parts"].items():
            assert standing.get(number) == answer, f"{point}: part {number} was answered and is gone"
        if said["committed"]:
            assert daemon.wait_done(said["run"], 60)["counts"]["succeeded"] == ROWS, point
    again = work(daemon)
    assert again["committed"] and daemon.wait_done(again["run"], 60)["counts"]["succeeded"] == ROWS, point
    assert len({row["key"] for row in daemon.results(again["run"])}) == ROWS
    doctor = daemon.api("POST", "/v1/doctor", {"full": True}).json
    assert doctor["ok"], (point, doctor)
    assert daemon.stop() == 0


def points_of(calls, highest, what):
    dice = random.Random(f"{SEED} {what}")
    return [(calls, dice.randrange(1, highest)) for _ in range(POINTS)]


KILLS = points_of("pwrite64,fdatasync", 150, "kill")
FAULTS = [(call, error, number) for error in ("EIO", "ENOSPC") for call, number in
          points_of("pwrite64", 60, error)[::2] + points_of("fdatasync", 25, error)[::2]]


@pytest.mark.parametrize("calls,number", KILLS, ids=[f"{number}" for _, number in KILLS])
def test_killed_at_a_system_call(traced, calls, number):
    print(f"seed {SEED}")
    daemon = traced()
    daemon.start_injected(calls, f"signal=SIGKILL:when={number}")
    wait_until(lambda: is_up(daemon), 60, lambda: daemon.log)
    said = work(daemon) if daemon.process.poll() is None else {"run": None, "parts": {}, "committed": False}
    daemon.end_group()
    check_after(daemon, said, f"kill at {calls} number {number}, seed {SEED}")


@pytest.mark.parametrize("call,error,number", FAULTS, ids=[f"{call}-{error}-{number}" for call, error, number in FAULTS])
def test_a_system_call_fails_once(traced, call, error, number):
    print(f"seed {SEED}")
    daemon = traced()
    daemon.start_injected(call, f"error={error}:when={number}")
    wait_until(lambda: is_up(daemon), 60, lambda: daemon.log)
    said = work(daemon) if daemon.process.poll() is None else {"run": None, "parts": {}, "committed": False}
    assert daemon.process.poll() in (None, 65, 74), f"ended with {daemon.process.returncode}:\n{daemon.log}"
    daemon.end_group()
    check_after(daemon, said, f"{error} at {call} number {number}, seed {SEED}")
