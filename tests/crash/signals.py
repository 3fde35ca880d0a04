"""R20: SIGTERM under load (what is in flight ends, nothing is lost), twice, SIGHUP storms with good and bad configurations, restart storms (I-22, I-24)."""
import signal

import checker
from bench import Bench
from harness import wait_until
from load import Load

STOP_S = 30


def lost_in_last_life(daemon):
    db = checker.open_readonly(daemon.database)
    try:
        return db.execute("SELECT count(*) FROM call WHERE state = 2 AND kind = 0 AND node = (SELECT max(id) FROM node)").fetchone()[0]
    finally:
        db.close()


def end_within(bench, daemon, what):
    try:
        wait_until(lambda: not daemon.is_running(), STOP_S, what)
    except AssertionError:
        bench.violation("broken", f"{what}: it still runs after {STOP_S} s: {daemon.log[-1500:]}")
        daemon.kill()
        return
    if daemon.process.returncode != 0:
        bench.violation("broken", f"{what}: ended with {daemon.process.returncode}: {daemon.log[-1500:]}")


def wait_busy(bench, daemon):
    wait_until(lambda: bench.sim.stats()["in_flight"] > 4, 30, lambda: f"calls are in flight: {daemon.log[-1500:]}")


def drain(bench, daemon):
    """One SIGTERM: calls in flight may end, and none is cut."""
    wait_busy(bench, daemon)
    daemon.signal(signal.SIGTERM)
    end_within(bench, daemon, "SIGTERM")
    lost = lost_in_last_life(daemon)
    if lost:
        bench.violation("lost", f"{lost} calls were cut by a SIGTERM that had time to wait for them")


def twice(bench, daemon):
    """A second SIGTERM: calls are cut, and told as lost; nothing else is."""
    wait_busy(bench, daemon)
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in daemon.log.splitlines()[-1] or not daemon.is_running() or "stopping " in daemon.log, 10, "it heard")
    if daemon.is_running():
        daemon.signal(signal.SIGTERM)
    end_within(bench, daemon, "two SIGTERMs")


def hangups(bench, daemon):
    """Reloads one upon the other, each second one of a file that is wrong: it lives, keeps what was, and says so."""
    good = daemon.config.read_text()
    for number in range(20):
        daemon.config.write_text(good if number % 2 == 0 else good + "nonsense = 1\n")
        daemon.signal(signal.SIGHUP)
        if not daemon.is_running():
            bench.violation("broken", f"a SIGHUP ended it with {daemon.process.returncode}: {daemon.log[-1500:]}")
            return
    daemon.config.write_text(good + "nonsense = 1\n")
    refused = daemon.log.count("reload_refused")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.log.count("reload_refused") > refused, 20, "a wrong file is refused")
    daemon.config.write_text(good)
    if daemon.api("GET", "/v1/endpoints/gemini").json["state"] != "up":
        bench.violation("broken", "a wrong file changed the endpoint")
    daemon.kill()


def storm(bench, daemon):
    """Started and ended again before it is ready, by SIGTERM and SIGKILL in turn."""
    daemon.kill()
    for number in range(6):
        daemon.start(ready=False)
        bench.dice_rest(0.12)
        if number % 2:
            daemon.kill()
        else:
            daemon.signal(signal.SIGTERM)
            wait_until(lambda: not daemon.is_running(), STOP_S, "it ends while it starts")
            if daemon.process.returncode not in (0, -signal.SIGTERM):  # before its first line the kernel's default holds
                bench.violation("broken", f"SIGTERM while it started ended it with {daemon.process.returncode}: {daemon.log[-1500:]}")


WAYS = (drain, twice, hangups, storm)


def run(options):
    with Bench(options, "R20", "signals", sim=("--latency_ms", 120, "--latency_sigma", 0.3)) as bench:
        daemon = bench.subject()
        daemon.start()
        load = Load(daemon, bench.history, options.seed, profiles=("adaptive",))
        bench.callback(load.stopping.set)
        load.start()
        for number in range(options.rounds):
            WAYS[number % len(WAYS)](bench, daemon)
            bench.report.rounds += 1
            if not bench.report.verdict.is_clean or not bench.check_stopped(daemon):
                return bench.done()
            daemon.start()
        bench.check_end(daemon, load)
        return bench.done()
