"""R8: calls of the C library fail at random (libfiu), group by group, through lives of a few seconds under mixed load; each life ends with kill -9."""
from pathlib import Path

from bench import ALLOWED_EXITS, Bench, Skipped, is_sanitized
from harness import wait_until
from load import Load

LIBRARIES = ("/usr/lib/fiu/fiu_run_preload.so", "/usr/lib/fiu/fiu_posix_preload.so")
LIFE_S = 1.5
ABORTED = -6  # memory that cannot be had ends the daemon, by its own decision

# What fails, how often, and the ends that this may have besides those that every fault may.
GROUPS = (
    ("posix/io/rw/*", 0.01, ()),
    ("posix/io/rw/pwrite/reduce", 0.2, ()),
    ("posix/io/rw/pread", 0.01, ()),
    ("posix/io/sync/*", 0.05, ()),
    ("posix/io/net/*", 0.02, ()),
    ("posix/io/oc/*", 0.05, ()),
    ("posix/mm/*", 0.05, (ABORTED,)),
    ("libc/mm/*", 0.0005, (ABORTED,)),
)


def run(options):
    if not all(Path(path).exists() for path in LIBRARIES):
        raise Skipped("fiu-utils is not installed")
    if is_sanitized(options.plain_build):
        raise Skipped("libfiu does not go with sanitizers: give --plain a build without them")
    with Bench(options, "R8", "random faults of the C library", sim=("--latency_ms", 8)) as bench:
        daemon = bench.subject(build=options.plain_build)
        daemon.start()
        load = Load(daemon, bench.history, options.seed, rows_most=30)
        bench.callback(load.stopping.set)
        load.start()
        well = dict(daemon.environment)
        for number in range(options.rounds):
            daemon.kill()
            if not bench.check_stopped(daemon):
                return bench.done()
            what, share, ends = GROUPS[number % len(GROUPS)]
            daemon.environment = {**well, "LD_PRELOAD": " ".join(LIBRARIES), "FIU_ENABLE": f"enable_random name={what},probability={share}"}
            daemon.start(ready=False)
            try:
                wait_until(lambda: not daemon.is_running(), LIFE_S)
            except AssertionError:
                pass  # it lives through them
            bench.check_exit(daemon, f"{what} at {share}", ALLOWED_EXITS + ends)
            bench.report.rounds += 1
            if not bench.report.verdict.is_clean:
                return bench.done()
        daemon.kill()
        daemon.environment = well
        if bench.check_stopped(daemon):
            daemon.start()
            bench.check_end(daemon, load)
        return bench.done()
