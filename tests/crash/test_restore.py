"""gallocd --restore killed at each of its system calls that changes a file, and told that one failed: the store is the former one or the backup, whole, and the next
start says which. Points between two renames and syncs are all tried; of the many writes GALLOC_TEST_POINTS are drawn, from GALLOC_TEST_SEED.
"""
import os
import random
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

import harness

SEED = int(os.environ["GALLOC_TEST_SEED"])
POINTS = int(os.environ.get("GALLOC_TEST_POINTS", "6"))
NOBODY = "http://127.0.0.1:9"
STEPS = ("rename", "unlink", "fsync", "fdatasync", "ftruncate")  # strace counts each kind apart
WRITES = ("openat", "write", "pwrite64")
pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


class Scene:
    """A closed store with the run "former" whose newest rows are in its log alone, as a kill leaves it; a backup beside it with the run "backup"; both kept, so that
    each point begins anew."""

    def __init__(self, make_daemon, folder):
        self.daemon = make_daemon(NOBODY)
        self.state, self.kept, self.backup = self.daemon.state_dir, folder / "kept", folder / "backup.db"
        self.daemon.start()
        self.enqueue("backup")
        self.daemon.ctl("backup", self.backup)
        self.enqueue("former")
        self.daemon.kill()
        assert (self.state / "galloc.db-wal").stat().st_size > 0
        shutil.copytree(self.state, self.kept)

    def enqueue(self, name):
        rows = [(f"{name}-{number}", {"text": "x" * 200}) for number in range(100)]
        return self.daemon.create(rows, [{"agent_id": "A1", "capacity": 1000}], name=name, paused=True)

    def begin(self):
        shutil.rmtree(self.state)
        shutil.copytree(self.kept, self.state)
        os.chmod(self.state, 0o700)

    def command(self):
        return [harness.program("gallocd"), "-c", str(self.daemon.config), "--state-dir", str(self.state), "-q", "--restore", str(self.backup)]

    def restore(self, injection=None, trace="/dev/null", calls=None):
        before = ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={calls or injection.split(':')[0]}"] if injection or calls else []
        return subprocess.run([*before, *(["-e", f"inject={injection}"] if injection else []), *self.command()], capture_output=True, text=True, timeout=120, check=False,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})

    def count(self, call):
        """How many of these a whole restore makes."""
        self.begin()
        trace = self.backup.parent / "trace"
        ran = self.restore(trace=trace, calls=call)
        assert ran.returncode == 0, ran
        return len(re.findall(rf"^\d+ +{call}\(", trace.read_text(), re.M))

    def check(self, point, is_new=None):
        """Starts; whether it is the backup's store. All of one is there, nothing of the other, and no leftovers."""
        daemon = self.daemon
        daemon.start()
        try:
            names = {run["name"]: run["counts"]["total"] for run in daemon.api("GET", "/v1/runs").json["items"]}
            found_new = names == {"backup": 100}
            assert found_new or names == {"backup": 100, "former": 100}, (point, names)
            assert is_new is None or found_new == is_new, point
            assert daemon.api("POST", "/v1/doctor", {"full": True}).json["ok"], point
            assert {run["reason"] for run in daemon.api("GET", "/v1/runs").json["items"]} == {"operator"}, point
            reasons = daemon.run("backup")["reasons"]
            assert reasons == (["operator", "restored"] if found_new else ["operator"]), (point, reasons)
            self.enqueue("after")
            left = {path.name for path in self.state.iterdir()} - {"galloc.db", "galloc.db-wal", "galloc.db-shm", "galloc.db.id", "lock"}
            former = {name for name in left if name.startswith("galloc.db.before-")}
            assert left == former and (len(former) == 2 if found_new else not former), (point, left)
        finally:
            daemon.stop()
        if found_new:  # the former one is whole, with its log
            copy = self.backup.parent / "looked"
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir()
            for name in former:
                shutil.copy(self.state / name, copy / ("db-wal" if name.endswith("-wal") else "db"))
            with closing(sqlite3.connect(copy / "db")) as connection:
                assert connection.execute("SELECT count(*) FROM assignment").fetchone() == (200,), point
        return found_new


@pytest.fixture
def scene(make_daemon, tmp_path):
    return Scene(make_daemon, tmp_path)


def drawn(count, what):
    return sorted(random.Random(f"{SEED} {what}").sample(range(1, count + 1), min(POINTS, count)))


def test_killed_at_each_step(scene):
    """Once it is the new one, it is the new one at every later point: there is one decision."""
    kinds = set()
    for call in STEPS:
        was_new = False
        for number in range(1, scene.count(call) + 1):
            point = f"kill at {call} {number}"
            scene.begin()
            assert scene.restore(f"{call}:signal=SIGKILL:when={number}").returncode != 0, f"{point}: it was not killed"
            is_new = scene.check(point)
            assert is_new or not was_new, f"{point}: the decision was taken back"
            was_new = is_new
            kinds.add(is_new)
    assert kinds == {False, True}, "a kill before the decision, and one behind it"


@pytest.mark.parametrize("call", WRITES)
def test_killed_at_a_write(scene, call):
    for number in drawn(scene.count(call), f"kill {call}"):
        scene.begin()
        assert scene.restore(f"{call}:signal=SIGKILL:when={number}").returncode != 0
        scene.check(f"kill at {call} {number}, seed {SEED}")


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("call", ["rename", "fsync", "fdatasync", "ftruncate", "write", "pwrite64"])
def test_a_call_fails_once(scene, call, error):
    """A restore that ends well is the new store; one that does not is none, or says that the next start ends it."""
    for number in drawn(scene.count(call), f"{error} {call}"):
        point = f"{error} at {call} {number}, seed {SEED}"
        scene.begin()
        ran = scene.restore(f"{call}:error={error}:when={number}")
        assert ran.returncode == 0 or (ran.returncode in (65, 74) and ran.stderr.startswith("gallocd: ")), (point, ran)
        scene.check(point, ran.returncode == 0 or "the next start of gallocd puts it in place" in ran.stderr or "the backup is in place" in ran.stderr)


def test_the_next_restore_after_a_kill(scene):
    """A restore that was killed in the middle stands in no other one's way."""
    renames = scene.count("rename")
    for number in range(1, renames + 1):
        scene.begin()
        scene.restore(f"rename:signal=SIGKILL:when={number}")
        ran = scene.restore()
        assert ran.returncode == 0, ran
        scene.daemon.start()
        assert {run["name"] for run in scene.daemon.api("GET", "/v1/runs").json["items"]} == {"backup"}
        scene.daemon.stop()
