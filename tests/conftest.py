"""Fixtures for every folder of tests that run the programs. What they are made of is in e2e/harness.py."""
import os
import random
import shutil
import subprocess

import pytest

import harness

# What is drawn at random follows from this; set once before pytest's workers start, so that all see the same tests.
os.environ.setdefault("GALLOC_TEST_SEED", str(random.SystemRandom().randrange(1 << 32)))


def pytest_report_header():
    return f"GALLOC_TEST_SEED={os.environ['GALLOC_TEST_SEED']}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.has_failed = outcome.get_result().failed


@pytest.fixture
def make_daemon(request):
    """make_daemon(base_url, ...) gives a harness.Daemon, not started; all are killed and removed at the end. After a failed
    test the end of each log is shown, and the folders stay when GALLOC_TEST_KEEP is set."""
    daemons = []

    def make(base_url, **arguments):
        daemons.append(harness.Daemon(base_url, **arguments))
        return daemons[-1]

    yield make
    has_failed = getattr(request.node, "has_failed", True)
    for daemon in daemons:
        if has_failed:
            print(f"---- {daemon.log_path}\n{daemon.log[-6000:]}")
        if has_failed and os.environ.get("GALLOC_TEST_KEEP"):
            if daemon.process and daemon.process.poll() is None:
                daemon.kill()
        else:
            daemon.remove()


@pytest.fixture
def make_sim():
    """make_sim("--latency_ms", 200) gives a harness.Sim that listens; all are ended at the end."""
    sims = []

    def make(*settings):
        sims.append(harness.Sim(*settings))
        return sims[-1]

    yield make
    for sim in sims:
        sim.stop()


@pytest.fixture
def sim(make_sim):
    """A gallocsim without latency or faults."""
    return make_sim()


@pytest.fixture
def daemon(make_daemon, sim):
    """A gallocd that is ready, on that gallocsim."""
    return make_daemon(sim.url).start()


@pytest.fixture
def world(make_sim, make_daemon):
    """world("--malformed", 1, endpoint="max_in_flight = 8") gives a gallocsim that answers after 20 ms and a gallocd on it, ready."""
    def make(*sim_settings, **daemon_arguments):
        sim = make_sim("--latency_ms", 20, *sim_settings)
        return sim, make_daemon(sim.url, **daemon_arguments).start()

    return make


@pytest.fixture
def disk(tmp_path):
    """A small file system of the test's own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True,
                                                       check=False).returncode != 0:
        pytest.skip("file systems cannot be mounted here (needs root)")
    folder.chmod(0o700)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)
