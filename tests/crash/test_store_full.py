"""The store on a file system that fills up: nothing that was promised is lost, a start on a full disk is a start, and room coming back is enough."""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import store_history
from harness import fill_disk

BUILD = Path(os.environ.get("GALLOC_BUILD", "build"))
PROGRAM = BUILD / "tests/crash/store_kill"
SIZE_MIB = 192  # below 32 MiB of room new work is refused
LIMIT_S = 120
RUNS = 100000


@pytest.fixture
def disk(tmp_path):
    """A file system of the test's own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(folder)],
                                                       capture_output=True, check=False).returncode != 0:
        pytest.skip("file systems cannot be mounted here (needs root)")
    yield folder
    for process in Driver.started:
        process.kill()
        process.wait()
    Driver.started.clear()
    subprocess.run(["umount", "-l", str(folder)], check=False)


def wait_until(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)  # lint: poll


class Driver:
    started = []  # by this test: none outlives it

    def __init__(self, disk, log):
        self.log = log
        self.process = subprocess.Popen([str(PROGRAM), str(disk / "galloc.db"), str(log), str(RUNS)], stderr=subprocess.PIPE,
                                        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        Driver.started.append(self.process)

    def answers(self):
        return self.log.read_bytes().count(b"\nsettle ") if self.log.exists() else 0

    def kill(self):
        assert self.process.poll() is None, self.process.stderr.read()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stderr.close()


def wait_quiet(driver):
    """Until the driver gets no more answers: everything it asks for is refused, or waits."""
    last = [-1, time.monotonic()]

    def is_quiet():
        if driver.answers() != last[0]:
            last[:] = [driver.answers(), time.monotonic()]
        return time.monotonic() - last[1] > 1

    wait_until(is_quiet, "quiet")


def check(disk, log):
    """On a copy elsewhere: reading a log needs room."""
    copy = log.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in ("galloc.db", "galloc.db-wal"):
        if (disk / name).exists():
            shutil.copy(disk / name, copy / name)
    history = store_history.check(copy / "galloc.db", log)
    assert history.is_clean, str(history)


def test_full_and_room_again(disk, tmp_path):
    driver = Driver(disk, tmp_path / "log")
    wait_until(lambda: driver.answers() > 500, "work")
    for _ in range(3):
        fill_disk(disk)
        wait_quiet(driver)
        before = driver.answers()
        (disk / "ballast").unlink()
        wait_until(lambda: driver.answers() > before + 300, "work after room came back")
    driver.kill()
    check(disk, tmp_path / "log")


def test_killed_and_started_on_a_full_disk(disk, tmp_path):
    log = tmp_path / "log"
    driver = Driver(disk, log)
    wait_until(lambda: driver.answers() > 500, "work")
    fill_disk(disk)
    wait_quiet(driver)
    driver.kill()
    check(disk, log)
    for _ in range(2):
        (disk / "galloc.db-shm").unlink(missing_ok=True)  # so that its index needs room that is not there
        fill_disk(disk)
        driver = Driver(disk, log)
        wait_quiet(driver)
        before = driver.answers()
        (disk / "ballast").unlink()
        wait_until(lambda: driver.answers() > before + 300, "work after room came back")
        driver.kill()
        check(disk, log)
