"""What the end-to-end tests stand on: the built programs, a daemon in a folder of its own, waiting with a deadline."""
import csv
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("GALLOC_BUILD", ROOT / "build")).resolve()
SLOWNESS = float(os.environ.get("GALLOC_TEST_SLOWNESS", "1"))  # a slow machine's factor on every deadline
KEY = "AQ.test-key-of-the-harness"


def program(name):
    """The path of a built program; a test that needs one that is not built is told so."""
    path = BUILD / name
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path} is not built: make -C {BUILD} {name}, or set GALLOC_BUILD")
    return str(path)


def wait_until(condition, seconds=20, what="the condition"):
    """Looks until condition() is true and returns what it gave; after the deadline the test fails with `what`."""
    deadline = time.monotonic() + seconds * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.02)  # lint: poll


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout * SLOWNESS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    """What the API gave: status, headers, and the body as text and as JSON."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]

    def __repr__(self):
        return f"<{self.status} {self.body[:400]!r}>"


class Daemon:
    """gallocd in a folder of its own. `settings` are lines of the daemon's section, `endpoint` lines of the endpoint's."""

    def __init__(self, base_url, settings="", endpoint="", sections="", arguments=(), environment=None):
        self.folder = Path(tempfile.mkdtemp(prefix="galloc-"))  # short: a socket's path holds 107 bytes
        self.socket = str(self.folder / "s")
        self.state_dir = self.folder / "state"
        self.database = self.state_dir / "galloc.db"
        self.log_path = self.folder / "log"
        self.key_file = self.folder / "key"
        self.config = self.folder / "gallocd.conf"
        self.arguments = list(arguments)
        self.environment = environment or {}
        self.process = None
        self.configure(base_url, settings, endpoint, sections)
        self.set_key(KEY)

    def configure(self, base_url, settings="", endpoint="", sections=""):
        self.config.write_text(f'{settings}\nendpoint "gemini" {{\n  base_url = "{base_url}"\n  api_key_file = "{self.key_file}"\n'
                               f"{endpoint}\n}}\n{sections}\n")

    def set_key(self, key):
        self.key_file.touch(0o600)
        self.key_file.write_text(key + "\n")

    def start(self, ready=True):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [program("gallocd"), "-c", str(self.config), "--socket", self.socket, "--state-dir", str(self.state_dir), *self.arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.environment})
        log.close()
        if ready:
            wait_until(self.is_ready, 30, lambda: f"gallocd is not ready; its log:\n{self.log}")
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"gallocd ended with {self.process.returncode}; its log:\n{self.log}")
        try:
            return self.api("GET", "/readyz").status == 200
        except OSError:
            return False

    def kill(self):
        """kill -9, and the process is gone when this returns."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self, seconds=60):
        """SIGTERM; returns the exit status."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds * SLOWNESS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"gallocd did not stop within {seconds} s; its log:\n{self.log}") from None
        return self.process.returncode if self.process else None

    def restart(self):
        self.stop()
        return self.start()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def resident_bytes(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    # ---- clients ----
    def api(self, method, path, body=None, headers=None, content_type="application/json", timeout=60):
        connection = UnixConnection(self.socket, timeout)
        headers = dict(headers or {})
        if body is not None:
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            headers.setdefault("Content-Type", content_type)
        try:
            connection.request(method, path, body.encode() if isinstance(body, str) else body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace"))
        finally:
            connection.close()

    def ctl(self, *arguments, stdin=None, check=True, timeout=120, environment=None):
        """gallocctl against this daemon; with check, its failure is the test's."""
        ran = subprocess.run([program("gallocctl"), *map(str, arguments)], input=stdin, capture_output=True, timeout=timeout * SLOWNESS,
                             env={**os.environ, "GALLOC_SOCKET": self.socket, "NO_COLOR": "1", **(environment or {})}, check=False,
                             text=not isinstance(stdin, bytes))
        if check and ran.returncode != 0:
            raise AssertionError(f"gallocctl {' '.join(map(str, arguments))} ended with {ran.returncode}\n{ran.stdout}\n{ran.stderr}\n"
                                 f"gallocd's log ends:\n{self.log[-3000:]}")
        return ran

    def run(self, run="@last"):
        return self.api("GET", f"/v1/runs/{run}").json

    def counts(self, run="@last"):
        return self.run(run)["counts"]

    def wait_done(self, run="@last", seconds=120):
        return wait_until(lambda: (found := self.run(run))["state"] in ("done", "cancelled") and found, seconds,
                          lambda: f"run {run} is not done: {json.dumps(self.run(run))[:1500]}")

    def results(self, run="@last", state=None):
        return self.api("GET", f"/v1/runs/{run}/results" + (f"?state={state}" if state else "")).lines

    def create(self, rows, agents, **members):
        """A run through the API alone: rows are (key, fields). Returns the run's id."""
        created = self.api("POST", "/v1/runs", {"agents": agents, **members})
        assert created.status == 201, created
        run = created.json["id"]
        part = "".join(json.dumps({"key": key, "fields": fields, "row": row}) + "\n" for row, (key, fields) in enumerate(rows, start=1))
        put = self.api("PUT", f"/v1/runs/{run}/parts/1", part, content_type="application/x-ndjson")
        assert put.status == 200 and not put.json["rejected"], put
        committed = self.api("POST", f"/v1/runs/{run}/commit", {"parts": 1})
        assert committed.status == 200, committed
        return run


class Sim:
    """gallocsim on a free port of the loopback. Settings as on its command line: Sim("--latency_ms", "200")."""

    def __init__(self, *settings):
        self.folder = Path(tempfile.mkdtemp(prefix="gallocsim-"))
        self.port = None
        self.process = None
        self.start(*settings)

    def start(self, *settings):
        """Starts it, again on the port that it had. Counters begin at 0."""
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([program("gallocsim"), "--listen", f"127.0.0.1:{self.port or 0}", "--port-file", str(port_file),
                                             *map(str, settings)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: port_file.exists() or self.process.poll() is not None, 20, "gallocsim listens")
        if self.process.poll() is not None:
            raise AssertionError("gallocsim ended: " + (self.folder / "log").read_text(errors="replace"))
        self.port = int(port_file.read_text().split()[0])
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def control(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30 * SLOWNESS)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, f"{method} {path}: {answer.status} {text}"
            return text
        finally:
            connection.close()

    def set(self, **settings):
        """Changes settings while it runs: sim.set(outage="503")."""
        return json.loads(self.control("PATCH", "/sim/config", settings))

    def stats(self):
        found = json.loads(self.control("GET", "/sim/stats"))
        return {**found, "calls": found["received"]}

    def record(self):
        """One row a call, in the order of arrival."""
        return [json.loads(line) for line in self.control("GET", "/sim/record").splitlines() if line.strip()]

    def reset(self):
        self.control("POST", "/sim/reset")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def faketime_library():
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else None


def faketime(offset):
    """The environment in which gallocd's wall clock is off by what stands in the file. The sanitizer's own library, where gallocd has one, has to come first."""
    linked = subprocess.run(["ldd", program("gallocd")], capture_output=True, text=True, check=True).stdout
    sanitizer = re.search(r"libasan\S* => (\S+)", linked)
    preload = " ".join(([sanitizer.group(1)] if sanitizer else []) + [faketime_library()])
    return {"LD_PRELOAD": preload, "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def fill_disk(folder):
    """Not a byte more goes onto its file system, until folder/"ballast" is removed."""
    with open(folder / "ballast", "ab", buffering=0) as ballast:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                pass


def write_csv(path, rows):
    """Rows of dicts as a CSV file; returns its path as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    Path(path).write_text(text.getvalue(), encoding="utf-8")
    return str(path)


REGIONS = ("north", "south", "east", "west")


def make_loans(count):
    return [{"lan": f"LAN{number:07}", "region": REGIONS[number % 4], "status": "not paid" if number % 3 == 0 else "regular",
             "outstanding": str(1000 + number)} for number in range(count)]


def make_agents(count, capacity):
    return [{"agent_id": f"AG-{number:03}", "region": REGIONS[number % 4], "speciality": "recovery" if number % 2 else "servicing",
             "capacity": str(capacity)} for number in range(count)]


def check_allocation(results, keys, agents):
    """Every key once, each by a known agent, no agent over their capacity."""
    assert sorted(row["key"] for row in results) == sorted(keys)
    held = {}
    for row in results:
        assert row.get("error") is None, row
        held[row["agent_id"]] = held.get(row["agent_id"], 0) + 1
    capacities = {agent["agent_id"]: int(agent["capacity"]) for agent in agents}
    over = {agent: count for agent, count in held.items() if count > capacities[agent]}
    assert not over, over
