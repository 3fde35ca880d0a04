"""The store under kill -9 at random moments and at every Nth system call, and under system calls that fail: 0 lost, 0 unexpected, 0 duplicated.
GALLOC_KILL_ROUNDS asks for more than the short form."""
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import store_history

BUILD = Path(os.environ.get("GALLOC_BUILD", "build"))
PROGRAM = BUILD / "tests/crash/store_kill"
SEED = int(os.environ.get("GALLOC_TEST_SEED", "1"))
ROUNDS = int(os.environ.get("GALLOC_KILL_ROUNDS", "10"))
RUNS = 40
LIMIT_S = 120
CALLS = "pwrite64,fdatasync,ftruncate"


@pytest.fixture(autouse=True)
def quiet_sanitizer(monkeypatch):
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")  # LeakSanitizer does not run under strace


class Store:
    """A database and the log of what its drivers were told, in a folder of the test's own."""

    def __init__(self, folder):
        self.db, self.log = folder / "galloc.db", folder / "log"

    def command(self, runs):
        return [str(PROGRAM), str(self.db), str(self.log), str(runs)]

    def start(self, runs=RUNS, **environment):
        return subprocess.Popen(self.command(runs), env={**os.environ, **environment}, stderr=subprocess.PIPE)

    def run(self, runs, *before):
        """Runs to the end; before: a command in front, as strace is."""
        return subprocess.run([*before, *self.command(runs)], capture_output=True, timeout=LIMIT_S, check=False)

    def check(self):
        return store_history.check(self.db, self.log)

    def answers(self):
        return sum(len(rows) for name, rows in store_history.read_log(self.log).items() if not name.startswith("try"))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def kill_after_answers(store, process, answers):
    """Waits until so many more answers were logged, then kills; the moment between two system calls is the kernel's choice."""
    goal, deadline = store.answers() + answers, time.monotonic() + LIMIT_S
    while store.answers() < goal and process.poll() is None:
        assert time.monotonic() < deadline, "no answers came"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def test_random_kills(store):
    random_source = random.Random(SEED)
    for round_number in range(ROUNDS):
        process = store.start(runs=RUNS * 100)
        kill_after_answers(store, process, random_source.randrange(1, 400))
        history = store.check()
        assert history.is_clean, f"seed {SEED}, round {round_number}\n{history}"
    assert store.answers() > ROUNDS


def test_end_after_kills(store):
    """What was killed on its way comes to its end, each assignment once."""
    for answers in (30, 200):
        kill_after_answers(store, store.start(runs=2), answers)
    done = store.run(2)
    assert done.returncode == 0, done.stderr
    history = store.check()
    assert history.is_clean, str(history)


def injected(inject):
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", f"inject={inject}"]


def numbers(name, count, most):
    """The how-manieth calls of a short form, drawn from all; the first ones, where files are made, are always in."""
    drawn = random.Random(f"{SEED} {name}").sample(range(6, most), max(0, min(count, most - 6)))
    return [*range(1, 6), *sorted(drawn)]


@pytest.mark.parametrize("call", CALLS.split(","))
def test_kill_at_every_nth_call(tmp_path, call):
    most = {"pwrite64": 1700, "fdatasync": 60, "ftruncate": 4}[call]
    for nth in numbers(call, ROUNDS // 2, most):
        folder = tmp_path / f"{nth}"
        folder.mkdir()
        store = Store(folder)
        store.run(1, *injected(f"{call}:signal=SIGKILL:when={nth}"))
        history = store.check()
        assert history.is_clean, f"{call} {nth}\n{history}"
        done = store.run(1)  # what stands is usable, and the work comes to its end
        assert done.returncode == 0, f"{call} {nth}: {done.stderr}"
        assert store.check().is_clean


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_call_fails_once(tmp_path, call, error):
    most = {"pwrite64": 1700, "fdatasync": 60}[call]
    for nth in numbers(f"{call} {error}", ROUNDS // 3, most):
        folder = tmp_path / f"{nth}"
        folder.mkdir()
        store = Store(folder)
        done = store.run(1, *injected(f"{call}:error={error}:when={nth}"))
        assert done.returncode in (0, 1, 74, 75), f"{call} {error} {nth}: {done.returncode} {done.stderr}"
        history = store.check()
        assert history.is_clean, f"{call} {error} {nth}\n{history}"
        done = store.run(1)
        assert done.returncode == 0, f"{call} {error} {nth}: {done.stderr}"
        assert store.check().is_clean
