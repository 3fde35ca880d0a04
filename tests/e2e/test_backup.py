"""Backups and restores as people meet them: a copy while everything works, put in place later, and nothing lost that it held, nothing given twice, nobody paid
without being told."""
import hashlib
import json
import os
import random
import re
import socketserver
import sqlite3
import subprocess
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler

import pytest
from harness import SLOWNESS, KEY, UnixConnection, make_agents, make_loans, program, wait_until, write_csv

NOBODY = "http://127.0.0.1:9"
SEED = int(os.environ["GALLOC_TEST_SEED"])
LARGE = 6 << 20  # of a database: more than fits between a daemon and a client that does not read


def restore(daemon, file, *arguments):
    return subprocess.run([program("gallocd"), "-c", str(daemon.config), "--state-dir", str(daemon.state_dir), "--restore", str(file), *arguments],
                          capture_output=True, text=True, timeout=120 * SLOWNESS, check=False)


def must_restore(daemon, file):
    ran = restore(daemon, file)
    assert ran.returncode == 0, ran
    return ran.stdout


def query(file, sql):
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def rows(count, prefix="K", width=0):
    return [(f"{prefix}{n:06}", {"n": n, "text": "x" * width}) for n in range(count)]


AGENTS = [{"agent_id": "A1", "capacity": 1000000}]
DECISIONS = "SELECT a.key, r.body FROM result r JOIN assignment a ON a.id = r.assignment JOIN run ON run.id = a.run WHERE run.name = 'second'"


def grow(daemon, size=LARGE):
    """Makes the database about so large, with paused runs; gives the last one's id."""
    part = 2000000 // 4000
    for count in [part] * (size // 4000 // part) + [size // 4000 % part]:
        run = daemon.create(rows(count, "G", 3600), AGENTS, paused=True)
    return run


class Stream:
    """GET /v1/backup by hand, so that it can be read slowly, or not at all."""

    def __init__(self, daemon, query=""):
        self.connection = UnixConnection(daemon.socket, 60)
        self.connection.request("GET", "/v1/backup" + query)
        self.answer = None

    def head(self):
        self.answer = self.connection.getresponse()
        return self.answer

    def close(self):
        self.connection.close()
        if self.answer:
            self.answer.close()


def holds_copy(daemon):
    """Does the daemon still have a copy open, whose room is not given back?"""
    folder = f"/proc/{daemon.process.pid}/fd"
    return any("galloc.db.backup" in os.readlink(f"{folder}/{name}") for name in os.listdir(folder) if os.path.islink(f"{folder}/{name}"))


# ---- what a backup holds ----

def test_backup_under_load_and_back(make_sim, make_daemon, tmp_path):
    """A run that is done, and one at work; new runs come all the time. What was answered before the backup was asked for is in it (I-1); what it held stands after
    the restore, decisions to the byte; the rest is done again after a resume, and no more is called for than what was not in it."""
    sim = make_sim("--latency_ms", 10)
    daemon = make_daemon(sim.url, endpoint="max_in_flight = 16").start()
    loans, agents = make_loans(200), make_agents(8, 400)
    file = write_csv(tmp_path / "loans.csv", loans), write_csv(tmp_path / "agents.csv", agents)
    daemon.ctl("enqueue", file[0], "--agents", file[1], "--name", "first", "--wait")
    first = daemon.api("GET", "/v1/runs/first/results").body
    run = daemon.create(rows(1500), AGENTS, name="second")
    wait_until(lambda: daemon.counts(run)["succeeded"] > 100, what="work")
    answered, stops = [], threading.Event()

    def come():
        while not stops.is_set():
            answered.append(daemon.create(rows(3, f"C{len(answered)}-"), AGENTS, paused=True))

    clients = [threading.Thread(target=come) for _ in range(2)]
    for client in clients:
        client.start()
    wait_until(lambda: len(answered) > 5, what="new runs")
    before, at_least = list(answered), daemon.counts(run)["succeeded"]
    copy = tmp_path / "copy.db"
    said = daemon.ctl("backup", copy, "--verify")
    stops.set()
    for client in clients:
        client.join()
    held = dict(query(copy, DECISIONS))
    assert len(held) >= at_least
    assert set(before) <= {row[0] for row in query(copy, "SELECT run_id FROM run WHERE state = 1")}
    assert query(copy, "PRAGMA quick_check") == [("ok",)] and query(copy, "PRAGMA journal_mode") == [("delete",)]
    assert copy.stat().st_mode & 0o7777 == 0o600
    assert said.stdout == f"{hashlib.sha256(copy.read_bytes()).hexdigest()}  {copy}\n"
    assert "every page, counter and digest is sound" in said.stderr and f" --restore {copy}" in said.stderr
    wait_until(lambda: daemon.counts(run)["succeeded"] > len(held) + 50, what="work after the backup")
    assert daemon.stop() == 0
    sim.reset()
    told = must_restore(daemon, copy)
    daemon.start()
    assert daemon.api("GET", "/v1/runs/first/results").body == first
    shown = daemon.run("second")
    assert shown["state"] == "paused" and shown["reason"] == "restored" and shown["counts"]["succeeded"] == len(held)
    assert re.search(r"as the store stood at (\S+);", told)[1] in shown["text"] and "paid for, again" in shown["text"]
    assert f"gallocctl resume {run}" in shown["text"]
    assert set(before) <= {item["id"] for item in daemon.api("GET", "/v1/runs?limit=1000").json["items"]}
    assert sim.stats()["received"] == 0, "nothing is called for before somebody says so"
    daemon.ctl("resume", "second")
    daemon.wait_done("second")
    after = dict(query(daemon.database, DECISIONS))
    assert len(after) == 1500 and {key: after[key] for key in held} == held
    assert sim.stats()["received"] == 1500 - len(held)
    assert daemon.api("POST", "/v1/doctor", {"full": True}).json["ok"]


def test_what_it_says(daemon, tmp_path):
    grow(daemon, 400000)
    copy, folder = tmp_path / "copy.db", tmp_path / "folder"
    folder.mkdir()
    told = json.loads(daemon.ctl("backup", copy, "--json").stdout)
    assert told["bytes"] == copy.stat().st_size and told["sha256"] == hashlib.sha256(copy.read_bytes()).hexdigest()
    assert told["verified"] is False and told["file"] == str(copy) and told["backup_at"].endswith("Z")
    assert daemon.ctl("backup", copy, check=False).returncode == 10, "what is there is replaced with a yes alone"
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == told["sha256"]
    daemon.ctl("-y", "-q", "backup", copy)
    assert daemon.ctl("backup", folder, check=False).returncode == 11
    piped = daemon.ctl("backup", "-", stdin=b"")
    assert piped.stdout.startswith(b"SQLite format 3\0") and b"standard output" in piped.stderr
    assert os.listdir(tmp_path / "folder") == [] and sorted(os.listdir(tmp_path)) == ["copy.db", "folder"]
    rows_of_audit = daemon.api("GET", "/v1/audit").json["items"]
    made = [row for row in rows_of_audit if row["action"] == "backup"]
    assert len(made) == 3 and made[-1]["after"]["sha256"] == told["sha256"] and made[-1]["after"]["verified"] is False
    assert daemon.api("GET", "/v1/backup?verify=perhaps").status == 400


def test_a_header_tells_all_before_the_first_byte(daemon):
    grow(daemon)
    stream = Stream(daemon, "?verify=1")
    head = stream.head()
    body = head.read()
    assert head.status == 200 and head.getheader("Content-Type") == "application/vnd.sqlite3" and head.getheader("Galloc-Verified") == "full"
    assert int(head.getheader("Content-Length")) == len(body) > LARGE * 0.8
    assert head.getheader("Galloc-Sha256") == hashlib.sha256(body).hexdigest()
    stream.connection.request("GET", "/healthz")  # the connection goes on
    assert stream.connection.getresponse().status == 200
    wait_until(lambda: not holds_copy(daemon), what="its room is given back")


def test_not_for_workers(make_daemon):
    daemon = make_daemon(NOBODY)
    daemon.arguments += ["--worker-socket", str(daemon.folder / "w")]
    daemon.start()
    connection = UnixConnection(str(daemon.folder / "w"))
    connection.request("GET", "/v1/backup")
    assert connection.getresponse().status == 403


def test_the_key_is_not_in_it(world, tmp_path):
    sim, daemon = world()
    daemon.wait_done(daemon.create(rows(20), AGENTS))
    assert sim.stats()["received"] >= 20
    daemon.ctl("backup", tmp_path / "copy.db")
    assert KEY.encode() not in (tmp_path / "copy.db").read_bytes()


# ---- clients ----

def test_two_at_once(daemon, tmp_path):
    """The second is told who, since when and how far; when the first has all of it, or is gone, the next may."""
    grow(daemon)
    stream = Stream(daemon)
    assert stream.head().status == 200
    second = daemon.ctl("backup", tmp_path / "copy.db", check=False)
    assert second.returncode == 6
    assert re.search(rf"a backup for \S+ \(process {os.getpid()}\) is under way since \d{{4}}-\S+: [\d.]+ \w+ of [\d.]+ MiB are sent", second.stderr), second.stderr
    assert not (tmp_path / "copy.db").exists()
    stream.close()
    wait_until(lambda: daemon.ctl("backup", tmp_path / "copy.db", check=False).returncode == 0, what="the next one")


@pytest.mark.parametrize("query", ["", "?verify=1"])
def test_client_gone(daemon, query):
    """At whatever moment: the copy is given up, its room given back, and the next one is made."""
    grow(daemon)
    for reads in (None, 0, 1 << 20):
        stream = Stream(daemon, query)
        if reads is not None:
            stream.head()
            stream.answer.read(reads)
        stream.close()
        wait_until(lambda: not holds_copy(daemon) and not list(daemon.state_dir.glob("galloc.db.backup*")), what="nothing is left of it")
    streams = []
    wait_until(lambda: streams.append(Stream(daemon, query)) or streams[-1].head().status == 200, what="another one")
    assert streams[-1].answer.read(16) == b"SQLite format 3\0"
    for stream in streams:
        stream.close()


def test_stop_cuts_it(daemon):
    grow(daemon)
    stream = Stream(daemon)
    assert stream.head().status == 200
    assert daemon.stop() == 0
    assert len(stream.answer.read1(64 << 20)) < int(stream.answer.getheader("Content-Length"))
    assert not list(daemon.state_dir.glob("galloc.db.backup*"))
    stream.close()


def test_kill_leaves_nothing_behind(daemon):
    grow(daemon)
    stream = Stream(daemon, "?verify=1")
    wait_until(lambda: list(daemon.state_dir.glob("galloc.db.backup*")) or holds_copy(daemon), what="a copy is being made")
    daemon.kill()
    stream.close()
    daemon.start()
    wait_until(lambda: not list(daemon.state_dir.glob("galloc.db.backup*")), what="a start removes what is left")
    assert daemon.api("GET", "/v1/runs").json["items"]


class Liar(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path, headers, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return "client"

            def log_message(self, *_):
                pass

        super().__init__(path, Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


GOOD = {"Content-Type": "application/vnd.sqlite3", "Content-Length": "8", "Galloc-Sha256": hashlib.sha256(b"12345678").hexdigest(),
        "Galloc-Backup-At": "2026-11-23T08:00:00.000Z"}


@pytest.mark.parametrize("headers,body,status,words", [
    (GOOD, b"12345678", 0, "written"),
    (GOOD, b"1234567X", 11, "not what the daemon sent"),
    (GOOD, b"1234", 3, "went away"),
    ({**GOOD, "Galloc-Sha256": "abc"}, b"12345678", 11, "does not tell"),
    ({name: value for name, value in GOOD.items() if name != "Galloc-Backup-At"}, b"12345678", 11, "does not tell"),
], ids=["good", "changed", "cut", "digest", "date"])
def test_what_arrived_is_looked_at(tmp_path, headers, body, status, words):
    server = Liar(str(tmp_path / "s"), headers, body)
    ran = subprocess.run([program("gallocctl"), "-S", str(tmp_path / "s"), "backup", str(tmp_path / "copy")], capture_output=True, text=True, timeout=60, check=False)
    server.shutdown()
    assert ran.returncode == status and words in ran.stderr, ran
    assert sorted(os.listdir(tmp_path)) == (["copy", "s"] if status == 0 else ["s"])


# ---- room ----

@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m,mode=0700", "tmpfs", str(folder)], capture_output=True, check=False).returncode != 0:
        pytest.skip("file systems cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_refused_before_it_begins(small_disk, make_daemon, tmp_path):
    daemon = make_daemon(NOBODY)
    daemon.state_dir = small_disk
    daemon.start()
    grow(daemon)
    daemon.ctl("backup", tmp_path / "copy.db")
    (small_disk / "ballast").write_bytes(b"x" * (100 << 20))
    ran = daemon.ctl("backup", tmp_path / "other.db", check=False)
    assert ran.returncode == 11 and "make room" in ran.stderr and re.search(r"needs \d+ MiB .* \d+ MiB are left", ran.stderr), ran.stderr
    assert not (tmp_path / "other.db").exists() and not list(small_disk.glob("*.backup*"))
    assert daemon.api("GET", "/readyz").status == 200, "work goes on"
    daemon.stop()
    (small_disk / "ballast").write_bytes(b"x" * (180 << 20))
    ran = restore(daemon, tmp_path / "copy.db")
    assert ran.returncode == 74 and "make room" in ran.stderr and "Nothing was touched" in ran.stderr, ran
    (small_disk / "ballast").unlink()
    must_restore(daemon, tmp_path / "copy.db")


# ---- restoring ----

def digest_of(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "lock" and not path.name.endswith("-shm")}


def test_refused_restores_touch_nothing(daemon, tmp_path):
    grow(daemon, 400000)
    copy = tmp_path / "copy.db"
    daemon.ctl("backup", copy)
    held = restore(daemon, copy)
    assert held.returncode == 75 and f"process {daemon.process.pid}" in held.stderr and "stop it" in held.stderr
    daemon.stop()
    before = digest_of(daemon.state_dir)
    whole = copy.read_bytes()
    (tmp_path / "cut.db").write_bytes(whole[:len(whole) // 2])
    (tmp_path / "flipped.db").write_bytes(whole.replace(b"x" * 3600, b"x" * 3599 + b"y", 1))
    (tmp_path / "longer.db").write_bytes(whole + b"x" * 8192)
    (tmp_path / "text.db").write_text("lan,city\n")
    for name, words in (("cut.db", "cut off"), ("longer.db", "more follows behind the database"), ("flipped.db", "digests: the input of 'G0"), ("text.db", "not a database"), ("none.db", "No such file"), (".", "not a file")):
        ran = restore(daemon, tmp_path / name)
        assert ran.returncode == 65 and words in ran.stderr and str(tmp_path / name) in ran.stderr and ran.stdout == "", (name, ran)
        assert digest_of(daemon.state_dir) == before, name
    ran = restore(daemon, daemon.database)
    assert ran.returncode == 65 and "in place itself" in ran.stderr
    assert restore(daemon, copy, "--nonsense").returncode == 64
    assert daemon.start().counts()["total"] == 400000 // 4000


def test_a_damaged_backup_ends_nothing_but_itself(daemon, tmp_path):
    """Whatever bytes are changed: refused in words that a terminal can bear and nothing touched, or restored and well."""
    print(f"seed {SEED}")
    grow(daemon, 300000)
    daemon.ctl("backup", tmp_path / "whole.db")
    daemon.stop()
    whole, dice, statuses = (tmp_path / "whole.db").read_bytes(), random.Random(SEED), set()
    for number in range(25):
        damaged = bytearray(whole)
        for _ in range(dice.choice((1, 3, 20))):
            damaged[dice.randrange(dice.choice((200, len(damaged))))] = dice.randrange(256)
        (tmp_path / "damaged\x1b[31m.db").write_bytes(damaged)
        before = digest_of(daemon.state_dir)
        ran = restore(daemon, tmp_path / "damaged\x1b[31m.db", "-q")
        assert ran.returncode in (0, 65), (number, ran)
        statuses.add(ran.returncode)
        if ran.returncode == 65:
            assert digest_of(daemon.state_dir) == before and ran.stderr.count("\n") == 1 and "\x1b" not in ran.stderr, (number, ran)
    assert 65 in statuses
    daemon.start()
    assert daemon.api("POST", "/v1/doctor", {"full": True}).json["ok"]


def test_what_a_restore_tells(daemon, tmp_path):
    run = grow(daemon, 400000)
    copy = tmp_path / "copy.db"
    daemon.ctl("backup", copy)
    kept_run = daemon.create(rows(2), AGENTS, paused=True)
    daemon.stop()
    told = must_restore(daemon, copy)
    assert hashlib.sha256(copy.read_bytes()).hexdigest() in told and "incarnation  2" in told and "1 open runs" in told
    kept = re.search(r"^kept +(\S+)$", told, re.M)[1]
    assert {row[0] for row in query(kept, "SELECT run_id FROM run")} == {run, kept_run}
    daemon.start()
    assert daemon.api("GET", f"/v1/runs/{kept_run}").status == 404
    row = next(row for row in daemon.api("GET", "/v1/audit").json["items"] if row["action"] == "restore")
    assert row["reason"] == str(copy) and row["after"]["incarnation"] == 2 and row["after"]["runs_paused"] == 1
    assert f"gallocctl resume {run}" in daemon.ctl("status", run).stdout
    daemon.stop()
    must_restore(daemon, kept)  # and back again
    daemon.start()
    assert daemon.api("GET", f"/v1/runs/{kept_run}").status == 200
    assert query(daemon.database, "SELECT value FROM meta WHERE name = 'incarnation'") == [(3,)]


def test_root_restores_as_the_owner(make_daemon, tmp_path):
    """The service's database belongs to its user, who need not be able to read the backup."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    daemon = make_daemon(NOBODY).start()
    grow(daemon, 100000)
    daemon.ctl("backup", tmp_path / "copy.db")
    daemon.stop()
    for path in (daemon.folder, daemon.state_dir, *daemon.state_dir.iterdir()):
        os.chown(path, 65534, 65534)
    os.chmod(daemon.folder, 0o755)
    must_restore(daemon, tmp_path / "copy.db")
    assert {path.stat().st_uid for path in daemon.state_dir.iterdir()} == {65534}
    assert json.loads(query(daemon.database, "SELECT detail FROM audit WHERE verb = 'restore'")[0][0])["reason"] == str(tmp_path / "copy.db")
    assert query(daemon.database, "SELECT uid FROM audit WHERE verb = 'restore'") == [(0,)]


# ---- who comes from before ----

def events_since(daemon, number):
    return daemon.api("GET", f"/v1/events?since={number}&follow=no").lines


def test_a_former_number_of_an_event_gets_reset(world, tmp_path):
    """Whatever number of the former incarnation somebody comes with, those given after the backup included: never a gap that nobody tells."""
    _, daemon = world()
    daemon.wait_done(daemon.create(rows(20), AGENTS))
    daemon.ctl("backup", tmp_path / "copy.db")
    daemon.wait_done(daemon.create(rows(40), AGENTS))
    last = daemon.run()["seq"]
    assert events_since(daemon, last - 5)[0]["type"] != "reset"
    daemon.stop()
    must_restore(daemon, tmp_path / "copy.db")
    daemon.start()
    for number in (0, 1, last - 1, last, last + 1, last + 1000):
        assert events_since(daemon, number)[0]["type"] == "reset", number
    daemon.wait_done(daemon.create(rows(60), AGENTS))
    for number in (1, last - 1, last, last + 1, last + 100):
        first = events_since(daemon, number)[0]
        assert first["type"] == "reset" and first["seq"] > last + 1000000, (number, first)
    assert events_since(daemon, events_since(daemon, 0)[0]["seq"]) == [], "a number of the new one is known"


def test_a_former_lease_is_over(make_daemon, tmp_path):
    daemon = make_daemon(NOBODY).start()
    run = daemon.create(rows(10), AGENTS, endpoint="workers")
    take = lambda count: daemon.api("POST", "/v1/leases", {"worker": "w", "run": run, "max": count, "ttl_ms": 600000})  # noqa: E731
    in_backup = take(3).json
    daemon.ctl("backup", tmp_path / "copy.db")
    after = take(3).json
    daemon.stop()
    told = must_restore(daemon, tmp_path / "copy.db")
    assert "1 leases of outside workers" in told
    daemon.start()
    assert daemon.api("GET", "/v1/leases").json["items"] == []
    for lease in (in_backup, after):
        assert daemon.api("POST", f"/v1/leases/{lease['lease']}/renew").status == 410
        results = [{"key": row["key"], "agent_id": "A1", "reason": "late"} for row in lease["assignments"]]
        told = daemon.api("POST", f"/v1/leases/{lease['lease']}/results", {"results": results}).json["items"]
        assert {item["verdict"] for item in told} == {"stale"}
    assert take(10).json["code"] == "paused", "the run waits for a person"
    daemon.ctl("resume", run)
    again = take(10).json
    assert len(again["assignments"]) == 10 and int(again["lease"]) > int(after["lease"])


def test_limits_learned_are_kept(make_sim, make_daemon, tmp_path):
    daemon = make_daemon(make_sim("--latency_ms", 5).url, endpoint="rpm = 600").start()
    daemon.ctl("endpoint", "set", "gemini", "rpm=1200")
    daemon.wait_done(daemon.create(rows(30), AGENTS))
    wait_until(lambda: daemon.stop() == 0, what="the stop")
    daemon.start()
    daemon.ctl("backup", tmp_path / "copy.db")
    before = query(tmp_path / "copy.db", "SELECT * FROM endpoint_state"), query(tmp_path / "copy.db", "SELECT endpoint, name, value FROM endpoint_setting")
    daemon.stop()
    must_restore(daemon, tmp_path / "copy.db")
    assert (query(daemon.database, "SELECT * FROM endpoint_state"), query(daemon.database, "SELECT endpoint, name, value FROM endpoint_setting")) == before


def test_a_restore_of_no_file_touches_nothing(tmp_path):
    ran = subprocess.run([program("gallocd"), "--state-dir", tmp_path / "state", "--restore", tmp_path / "none.db"], capture_output=True, text=True, check=False)
    assert ran.returncode == 65 and "cannot be read" in ran.stderr and "is copied" not in ran.stderr, ran.stderr
    assert not (tmp_path / "state").exists()
