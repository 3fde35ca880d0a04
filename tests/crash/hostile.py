"""R16: slow and hostile clients of another user beside the load: a user has a cap, a request a deadline, others go on being served, and when they are gone
nothing is left of them (I-25, I-26, I-28).
"""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench import Bench, Skipped
from harness import SLOWNESS, wait_until
from load import Load

NOBODY = 65534
COUNT = 400
CAP = 200                # connections of a user
OWN = 30                 # of the load and the probe
HEAD_DEADLINE_S = 5      # over a request's head as a whole
ANSWER_MOST_S = 3.0      # for others, meanwhile


def descriptors(daemon):
    return len(list(Path(f"/proc/{daemon.pid()}/fd").iterdir()))


def attack(daemon, count, seconds, uid=NOBODY):
    return subprocess.Popen([sys.executable, str(Path(__file__).with_name("hostile_client.py")), daemon.socket, str(count), str(seconds), *([str(uid)] if uid else [])],
                            stdout=subprocess.PIPE, text=True)


def open_to_all(daemon):
    daemon.folder.chmod(0o711)


def probe(daemon, seconds, bench):
    """Asks as another user for so long; how long the slowest answer took, and how many connections there were at most."""
    slowest, most, until = 0.0, 0, time.monotonic() + seconds
    while time.monotonic() < until:
        asked = time.monotonic()
        answer = daemon.api("GET", "/metrics")
        slowest = max(slowest, time.monotonic() - asked)
        most = max([most] + [int(line.split()[-1]) for line in answer.body.splitlines() if line.startswith("galloc_http_connections ")])
        if answer.status != 200:
            bench.violation("broken", f"another user was answered {answer}")
            break
    return slowest, most


def wave(bench, daemon):
    seconds = (HEAD_DEADLINE_S + 3) * SLOWNESS
    attacker = attack(daemon, COUNT, seconds)
    try:
        if attacker.stdout.readline().strip() != "open":
            raise AssertionError("the hostile client did not start")
        slowest, most = probe(daemon, seconds - 0.5, bench)
        counts = json.loads(attacker.stdout.readline())
    finally:
        attacker.kill()
        attacker.communicate()
    if most > CAP + OWN:
        bench.violation("broken", f"there were {most} connections, of which {OWN} at most are not one user's, whose cap is {CAP}: {counts}")
    if counts["still_dripping"]:
        bench.violation("broken", f"{counts['still_dripping']} of {counts['header_drips']} heads still drip after {seconds} s: {counts}")
    if slowest > ANSWER_MOST_S * SLOWNESS:
        bench.violation("broken", f"another user waited {slowest:.2f} s for an answer")
    return slowest


def run(options):
    if os.geteuid() != 0:
        raise Skipped("clients of another user need root")
    with Bench(options, "R16", "hostile clients", sim=("--latency_ms", 30)) as bench:
        daemon = bench.subject(settings=f"socket_mode = 0666\nconnections_per_uid = {CAP}\n")
        open_to_all(daemon)
        daemon.start()
        load = Load(daemon, bench.history, options.seed, importers=1, followers=0)
        bench.callback(load.stopping.set)
        slowest = 0.0
        wait_until(lambda: daemon.api("GET", "/readyz").status == 200, 20, "ready")
        baseline = descriptors(daemon)
        load.start()
        for _ in range(options.rounds):
            slowest = max(slowest, wave(bench, daemon))
            bench.report.rounds += 1
            if not bench.report.verdict.is_clean:
                return bench.done()
        load.stop()
        bench.come_to_rest(daemon, load)
        connections = 40  # kept to the stand-in
        try:
            wait_until(lambda: descriptors(daemon) <= baseline + connections, 70, lambda: f"{descriptors(daemon)} descriptors, {baseline} before")
        except AssertionError as error:
            bench.violation("broken", f"descriptors are left: {error}")
        bench.check_end(daemon)
        return bench.done(slowest_ms=int(slowest * 1000))
