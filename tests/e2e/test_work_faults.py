"""gallocctl work: leases that are renewed, leases that are lost, and a daemon that is gone for a while."""
import collections
import http.server
import json
import os
import signal
import socketserver
import threading

import pytest

from harness import wait_until
from work_bench import Bench, is_gone


@pytest.fixture
def bench(make_daemon):
    bench = Bench(make_daemon("http://127.0.0.1:9").start())
    yield bench
    bench.close()


# ---- a daemon that is newer ----

class Newer(http.server.BaseHTTPRequestHandler):
    """Leases one assignment out, and says of its result what no gallocctl knows."""
    protocol_version = "HTTP/1.1"
    lease = {"lease": "7", "ttl_ms": 60000, "run": "r-1", "agents": [], "assignments": [{"key": "K000", "attempt": 1, "fields": {}}]}

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        is_told = self.path.endswith("/results")
        body = {"items": [{"key": "K000", "verdict": "\x1b[31modd"}]} if is_told else None if self.server.is_leased else self.lease
        self.server.is_leased = True
        text = json.dumps(body).encode() if body else b""
        self.send_response(200 if body else 204)
        self.send_header("Content-Type", "application/json")
        if body:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def address_string(self):
        return "a client"


def test_a_verdict_that_is_not_known_is_said_and_counted(bench):
    server = socketserver.ThreadingUnixStreamServer(str(bench.folder / "newer"), Newer)
    server.is_leased = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        ran = bench.work("--once", "--json", command=bench.command("decide()"), environment={"GALLOC_SOCKET": str(bench.folder / "newer")})
    finally:
        server.shutdown()
        server.server_close()
    tally = json.loads(ran.stdout)
    assert (tally["assignments"], tally["unknown"], tally["succeeded"]) == (1, 1, 0)
    assert 'said "\\x1b[31modd" of K000' in ran.stderr


# ---- leases ----

def test_a_lease_is_renewed_for_as_long_as_the_command_runs(bench):
    run = bench.enqueue(1)
    process = bench.start("--run", run, "--ttl", "400ms", command=bench.command("mark('begun'); wait_for('go'); decide()"))
    ends = set()
    wait_until(lambda: [ends.add(lease["expires_at"]) for lease in bench.leases()] and len(ends) >= 6, what=lambda: f"six ends of the lease: {ends}")
    bench.touch("go")
    assert bench.end(process)[0] == 0
    assert bench.classes(run, "K000") == ["succeeded"] and bench.marks() == ["begun"]


def stand_still(bench, process):
    """gallocctl stands still until its lease has run out."""
    wait_until(bench.marks, what="the command begins")
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: bench.leases() == [], what="the lease runs out")
    process.send_signal(signal.SIGCONT)


def test_a_lost_lease_stops_the_command_and_drops_what_it_says(bench):
    run = bench.enqueue(2)
    process = bench.start("--json", "--ttl", "500ms", command=bench.command("""\
        if os.path.exists(os.path.join(FOLDER, "marks")):
            wait_for("never")
        signal.signal(signal.SIGTERM, lambda *_: (decide(), mark("ended"), sys.exit(0)))
        mark("begun")
        wait_for("never")
        """.replace("FOLDER", repr(str(bench.folder)))))
    stand_still(bench, process)
    wait_until(lambda: bench.marks() == ["begun", "ended"], what="the command is ended")
    wait_until(lambda: bench.leases() != [], what="another lease")
    assert bench.classes(run, "K000")[0] == "lost" and bench.daemon.counts(run)["succeeded"] == 0
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: "ing:" in process.stderr.readline(), what="it ends")
    _, out, _ = bench.end(process)
    tally = json.loads(out)
    assert (tally["lost_leases"], tally["succeeded"], tally["stale"]) == (1, 0, 0)


def test_a_command_that_will_not_stop_is_killed_with_all_that_it_started(bench):
    bench.enqueue(1)
    process = bench.start("--ttl", "500ms", command=bench.command("""\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        helper = os.fork()
        if helper:
            mark(f"{os.getpid()} {helper}")
        wait_for("never")
        """))
    stand_still(bench, process)
    wait_until(lambda: all(is_gone(pid) for pid in bench.marks()[0].split()), what="both are gone")


def test_results_that_come_too_late_change_nothing(bench):
    """The command ended while gallocctl stood still: its results are told, and the fence says what they are worth."""
    run = bench.enqueue(1)
    process = bench.start("--ttl", "500ms", "--once", command=bench.command("mark('begun'); wait_for('go'); decide(); mark('ended')"))
    wait_until(bench.marks, what="the command begins")
    process.send_signal(signal.SIGSTOP)
    bench.touch("go")
    wait_until(lambda: bench.leases() == [] and len(bench.marks()) == 2, what="lease and command are over")
    process.send_signal(signal.SIGCONT)
    _, _, err = bench.end(process)
    assert "1 too late" in err and bench.classes(run, "K000")[0] == "lost"


# ---- the daemon ----

def test_the_daemon_is_killed_three_times(bench):
    run = bench.enqueue(60)
    process = bench.start("--run", run, "--batch", "2", "--parallel", "4", "--json",
                          command=bench.command("[mark(key) for key in keys]; time.sleep(0.05); decide()"))  # lint: poll
    for kills in range(3):
        wait_until(lambda: len(bench.marks()) >= 8 * (kills + 1), what="some more batches")
        bench.daemon.kill()
        bench.daemon.start()
    status, out, err = bench.end(process, 120)
    tally = json.loads(out)
    assert status == 0 and bench.daemon.counts(run)["succeeded"] == 60, err
    assert tally["failed"] == tally["untold_batches"] == 0, tally
    decided = collections.Counter(attempt["class"] for n in range(60) for attempt in bench.attempts(run, f"K{n:03}"))
    assert decided["succeeded"] == 60 and set(decided) <= {"succeeded", "lost", "released"}, decided
    assert bench.daemon.api("POST", "/v1/doctor", {}).json["ok"]


def test_results_are_told_again_until_they_are_answered(bench):
    run = bench.enqueue(2)
    process = bench.start("--run", run, command=bench.command("mark('begun'); wait_for('go'); decide(); mark('ended')"))
    wait_until(bench.marks, what="the command begins")
    bench.daemon.kill()
    bench.touch("go")
    assert "waiting for it" in process.stderr.readline()
    wait_until(lambda: len(bench.marks()) == 2, what="the command ends")
    bench.daemon.start()
    status, _, err = bench.end(process)
    assert status == 0 and "the daemon answers again" in err and bench.daemon.counts(run)["succeeded"] == 2
    assert bench.classes(run, "K000") == ["succeeded"]


def test_a_daemon_that_stays_away_is_waited_for_until_the_timeout(bench):
    bench.enqueue(1)
    process = bench.start("--timeout", "2s", "--json", command=bench.command("mark('begun'); wait_for('go'); decide()"))
    wait_until(bench.marks, what="the command begins")
    bench.daemon.kill()
    bench.touch("go")
    status, out, err = bench.end(process)
    assert status == 8 and json.loads(out)["untold_batches"] == 1 and "were not taken in" in err, (status, err)


def test_a_draining_daemon_is_waited_for(bench):
    run = bench.enqueue(1)
    bench.daemon.ctl("drain")
    process = bench.start("--run", run, command=bench.command("decide()"))
    assert "draining" in process.stderr.readline()
    bench.daemon.ctl("undrain")
    status, _, err = bench.end(process)
    assert status == 0 and bench.daemon.counts(run)["succeeded"] == 1, err


def test_a_killed_worker_leaves_its_work_to_the_lease(bench):
    """kill -9 of gallocctl: its command is no longer listened to, and the work goes to the next one."""
    run = bench.enqueue(1)
    process = bench.start("--ttl", "500ms", command=bench.command("mark(str(os.getpid())); wait_for('go'); decide()"))
    wait_until(bench.marks, what="the command begins")
    process.kill()
    process.wait()
    other = bench.start("--run", run, command=bench.command("decide()"))
    assert bench.end(other)[0] == 0
    bench.touch("go")
    wait_until(lambda: is_gone(bench.marks()[0]), what="the first command ends")
    assert bench.classes(run, "K000") == ["lost", "succeeded"]
    assert os.path.exists(bench.daemon.database)
