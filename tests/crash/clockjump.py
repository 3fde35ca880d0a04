"""R12: the wall clock jumps (libfaketime), hours, days, to 1970 and to 2038, while work goes on. No lease is cut short or held longer, no wait grows, work goes on
(I-13, I-14, I-15). The monotonic clock is untouched, as it is when somebody sets a real clock.
"""
import time
from pathlib import Path

from bench import Bench, Skipped, is_sanitized
from harness import wait_until
from history import Client

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
JUMPS = ("+1d", "-1d", "+1h", "-1h", "+0", "@1970-01-02 00:00:00", "@2038-01-20 00:00:00", "+400d", "+5s", "-30s")
TTL_MS = 3000
SLACK_S = 2.0      # over a lease's time or the longest wait before a retry
BACKOFF_MAX_S = 8.0


class Clock:
    """The file that the library looks at with every question for the time."""

    def __init__(self, path):
        self.path = path
        self.set("+0")

    def set(self, text):
        new = self.path.with_suffix(".new")
        new.write_text(text + "\n")
        new.rename(self.path)

    def environment(self):
        return {"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"}


def lease_through(bench, daemon, clock, jump):
    """A lease that is held through a jump, by real time: it stands as long as it is renewed, and its rows are free again soon after it is not."""
    client = Client(daemon, bench.history, "worker")
    tag = f"lease{bench.report.rounds}"
    run = daemon.create([(f"{tag}-{n}", {"n": n}) for n in range(2)], [{"agent_id": "A", "capacity": 9}], endpoint="workers", name=tag)
    lease = client.call("lease", "POST", "/v1/leases", {"run": run}, {"worker": "w", "run": run, "max": 2, "ttl_ms": TTL_MS})
    if not lease.is_ok:
        raise AssertionError(f"no lease: {lease}")
    number, taken_s = lease.answer["lease"], lease.invoked_s
    clock.set(jump)
    wait_until(lambda: time.monotonic() > taken_s + TTL_MS / 1000 * 0.6, 10)
    renewed = client.call("renew", "POST", f"/v1/leases/{number}/renew", {"lease": number}, {})
    if renewed.status == 410 and renewed.ended_s < taken_s + TTL_MS / 1000:
        bench.violation("broken", f"a lease of {TTL_MS} ms was over {renewed.ended_s - taken_s:.2f} s after it was taken, at a jump to {jump}")
        return
    renewed_s = renewed.invoked_s
    clock.set("+0")
    wait_until(lambda: daemon.counts(run)["leased"] == 0, TTL_MS / 1000 + 20, lambda: f"the lease ends after a jump to {jump}")
    held_s = time.monotonic() - renewed_s
    if held_s < TTL_MS / 1000 - 0.1:
        bench.violation("broken", f"a lease of {TTL_MS} ms was cut to {held_s:.2f} s by a jump back from {jump}")
    if held_s > TTL_MS / 1000 + SLACK_S:
        bench.violation("broken", f"a lease of {TTL_MS} ms was held {held_s:.2f} s through a jump to {jump}")


def work_through(bench, daemon, clock, jump):
    """A run of which every first call fails: its retries come within the longest backoff."""
    tag = f"work{bench.report.rounds}"
    clock.set(jump)
    bench.sim.set(error_500_next=3)
    run = daemon.create([(f"{tag}-{n}", {"n": n}) for n in range(12)], [{"agent_id": "A", "capacity": 99}], name=tag)
    try:
        daemon.wait_done(run, BACKOFF_MAX_S + SLACK_S + 5)
    except AssertionError as error:
        bench.violation("broken", f"work waits after a jump to {jump}: {error}")


def run(options):
    if not LIBRARY.exists():
        raise Skipped("faketime is not installed")
    if is_sanitized(options.plain_build):
        raise Skipped("libfaketime does not go with sanitizers: give --plain a build without them")
    with Bench(options, "R12", "clock jumps", sim=("--latency_ms", 20)) as bench:
        clock = Clock(bench.folder / "clock")
        daemon = bench.subject(build=options.plain_build, environment=clock.environment())
        daemon.start()
        jumps = list(JUMPS)
        bench.dice.shuffle(jumps)
        for number in range(options.rounds):
            jump = jumps[number % len(jumps)]
            lease_through(bench, daemon, clock, jump)
            if bench.report.verdict.is_clean:
                work_through(bench, daemon, clock, jump)
            bench.report.rounds += 1
            if not bench.report.verdict.is_clean:
                return bench.done()
            if number % 4 == 3:  # and through a restart at another time
                daemon.stop()
                daemon.start()
        return bench.done()
