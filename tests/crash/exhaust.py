"""R17: no descriptor is left, no memory is left. The daemon serves again when there are some again, or ends and is started anew; either way nothing is lost."""
import contextlib
import os
import signal
from pathlib import Path

from bench import Bench, is_sanitized, need
from harness import wait_until
from hostile import attack, descriptors
from load import Load

DESCRIPTORS = 64
ADDRESS_BYTES = 220 << 20
CGROUP = Path("/sys/fs/cgroup/memory")
CGROUP_BYTES = 40 << 20
ABORTED, OOM = -signal.SIGABRT, -signal.SIGKILL


@contextlib.contextmanager
def under_load(bench, **arguments):
    daemon = bench.new_store(**arguments)
    daemon.start()
    load = Load(daemon, bench.history, bench.options.seed, followers=1)
    bench.callback(load.stopping.set)
    load.start()
    yield daemon, load
    load.stop()


def no_descriptors(bench):
    """Every accept and open finds none, for seconds at a time."""
    with under_load(bench, before=("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"), endpoint="max_in_flight = 8") as (daemon, load):
        before = descriptors(daemon)
        for _ in range(2):
            attacker = attack(daemon, 2 * DESCRIPTORS, 2, uid=None)
            attacker.stdout.readline()
            attacker.stdout.readline()
            attacker.kill()
            attacker.communicate()
            if not daemon.is_running():
                bench.violation("broken", f"without descriptors it ended with {daemon.process.returncode}: {daemon.log[-1500:]}")
                return
        if "api_descriptors_exhausted" not in daemon.log:
            raise AssertionError(f"the harness did not exhaust the descriptors: {before} of {DESCRIPTORS} before")
        wait_until(lambda: daemon.answers(), 30, "it is reachable again")
        bench.check_end(daemon, load)


def no_address_space(bench):
    """Memory that cannot be had ends the daemon, by its own decision; the next life goes on."""
    if is_sanitized(bench.options.plain_build):
        return
    with under_load(bench, before=("prlimit", f"--as={ADDRESS_BYTES}"), build=bench.options.plain_build) as (daemon, load):
        answers = len(bench.history)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not daemon.is_running() or len(bench.history) > answers + 300, 4)
        bench.check_exit(daemon, "without address space", (ABORTED, 74))
        daemon.kill()
        daemon.before = ()
        if bench.check_stopped(daemon):
            daemon.start()
            bench.check_end(daemon, load)


def out_of_memory(bench):
    """The kernel kills it for its memory."""
    group = CGROUP / f"galloc-fault-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        return  # no such controller here
    try:
        (group / "memory.limit_in_bytes").write_text(str(CGROUP_BYTES))
        with under_load(bench, build=bench.options.plain_build) as (daemon, load):
            (group / "tasks").write_text(str(daemon.pid()))
            (group / "cgroup.procs").write_text(str(daemon.pid()))
            answers = len(bench.history)
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not daemon.is_running() or len(bench.history) > answers + 300, 4)
            bench.check_exit(daemon, "in a small memory group", (OOM, ABORTED))
            daemon.kill()
            if bench.check_stopped(daemon):
                daemon.start()
                bench.check_end(daemon, load)
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


WAYS = (no_descriptors, no_address_space, out_of_memory)


def run(options):
    need("prlimit")
    with Bench(options, "R17", "nothing left to have", sim=("--latency_ms", 20)) as bench:
        for number in range(options.rounds):
            WAYS[number % len(WAYS)](bench)
            bench.report.rounds += 1
            if not bench.report.verdict.is_clean:
                break
        return bench.done()
