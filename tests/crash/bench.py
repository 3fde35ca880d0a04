"""What every fault harness stands on: a gallocsim, a gallocd that can be started behind a command (strace, prlimit) or with a library in front (faketime, fiu),
one history, one verdict, one line of report.
"""
import contextlib
import dataclasses
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import checker
import harness
from history import History

SETTINGS = "requests_per_uid = 64\n"
QUIET_ASAN = "detect_leaks=0:abort_on_error=0:allocator_may_return_null=1"  # the leak checker does not run under a tracer

ALLOWED_EXITS = (0, 65, 74, 75, 78)  # gallocd(8): a stop, the database refused, its input and output failed, held, the configuration not read


class Skipped(Exception):
    """This machine cannot run the harness; says what is missing."""


@dataclasses.dataclass
class Options:
    """What a harness is asked for. `breaks`: the promise that a build with negative controls is to break."""

    rounds: int
    seed: int
    build: Path
    plain_build: Path = None
    breaks: str = None
    keeps: bool = False

    def dice(self, what=""):
        return random.Random(f"{self.seed} {what}")


@dataclasses.dataclass
class Report:
    name: str
    title: str
    rounds: int
    seed: int
    ops: int = 0
    seconds: float = 0.0
    verdict: checker.Verdict = dataclasses.field(default_factory=checker.Verdict)
    figures: dict = dataclasses.field(default_factory=dict)
    skipped: str = None

    @property
    def is_clean(self):
        return self.skipped is None and self.verdict.is_clean

    def __str__(self):
        if self.skipped:
            return f"{self.name} {self.title}: skipped: {self.skipped}"
        figures = "".join(f", {name} {value:,}" if isinstance(value, int) else f", {name} {value}" for name, value in self.figures.items())
        broken = f", broken {len(self.verdict.broken)}" if self.verdict.broken else ""
        return (f"{self.name} {self.title}: rounds {self.rounds:,}, ops {self.ops:,}{figures}, lost {len(self.verdict.lost)}, "
                f"unexpected {len(self.verdict.unexpected)}, duplicated {len(self.verdict.duplicated)}{broken}, "
                f"recovered {len(self.verdict.recovered)}, seed {self.seed}")


def need(*programs):
    for name in programs:
        if shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            raise Skipped(f"{name} is not installed")


def is_sanitized(build):
    return b"__asan_init" in (Path(build) / "gallocd").read_bytes()


def is_alive(pid):
    """Also when its first thread is a zombie and others still end: until then they hold its locks and its socket."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


class Subject(harness.Daemon):
    """gallocd of any build. `before`: a command in front. A command that stays (strace) makes a group of its own, which ends as one."""

    def __init__(self, options, base_url, before=(), environment=None, state_dir=None, arguments=(), settings="", endpoint="", build=None):
        self.build, self.before = Path(build or options.build), tuple(before)
        super().__init__(base_url, settings=SETTINGS + settings, endpoint=endpoint, arguments=arguments, environment=environment)
        if state_dir:
            self.state_dir, self.database = Path(state_dir), Path(state_dir) / "galloc.db"
        if options.breaks:
            self.environment = {**self.environment, "GALLOC_BREAK": options.breaks}

    def command(self):
        return [*self.before, str(self.build / "gallocd"), "-c", str(self.config), "--socket", self.socket, "--state-dir", str(self.state_dir), *self.arguments]

    def start(self, ready=True, seconds=60):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            env={**os.environ, "ASAN_OPTIONS": QUIET_ASAN, **self.environment})
        if ready:
            harness.wait_until(self.is_ready, seconds, lambda: f"gallocd is not ready; its log ends:\n{self.log[-3000:]}")
        return self

    def is_up(self, seconds=60):
        """Waits until it serves (degraded counts) or has ended; whether it serves."""
        harness.wait_until(lambda: not self.is_running() or self.answers(), seconds, lambda: f"gallocd neither serves nor ends; its log ends:\n{self.log[-3000:]}")
        return self.is_running()

    def answers(self):
        try:
            return self.api("GET", "/healthz", timeout=10).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9 of it and of what stands before it; all are gone when this returns."""
        pid = self.pid()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        harness.wait_until(lambda: not is_alive(pid), 60, f"process {pid} is gone")

    def signal(self, number):
        os.kill(self.pid(), number)

    def pid(self):
        """The daemon's own, also where a command stays before it."""
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        except OSError:
            children = []
        return int(children[0]) if self.before and children else self.process.pid

    def end(self):
        if self.process:
            self.kill()

    def remove(self):
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bench(contextlib.ExitStack):
    """One harness's world. Everything that it makes is ended and removed when it is left, or kept (its folders) when options.keeps says so."""

    def __init__(self, options, name, title, sim=("--latency_ms", 8)):
        super().__init__()
        self.options, self.report = options, Report(name, title, 0, options.seed)
        self.folder = Path(tempfile.mkdtemp(prefix="galloc-fault-"))
        if not options.keeps:
            self.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.history, self.ops_before, self.subjects = None, 0, []
        self.new_history()
        self.callback(lambda: self.history.close())
        self.sim = harness.Sim("--seed", options.seed % 1000000, "--keys_max", 1000000, *sim)
        self.callback(self.sim.stop)
        self.started_s = time.monotonic()
        self.dice = options.dice(name)

    def new_history(self):
        if self.history:
            self.ops_before += len(self.history)
            self.history.close()
        self.history = History(self.folder / "history.ndjson")

    def new_store(self, **arguments):
        """A daemon in an empty folder, a stand-in that counts from 0, an empty history; what was before is removed."""
        for daemon in self.subjects:
            daemon.remove()
        self.subjects.clear()
        self.new_history()
        self.ops_before += self.sim.stats()["received"]
        self.sim.reset()
        return self.subject(**arguments)

    def subject(self, base_url=None, **arguments):
        daemon = Subject(self.options, base_url or self.sim.url, **{"endpoint": "max_in_flight = 32", **arguments})
        self.callback(daemon.end if self.options.keeps else daemon.remove)
        self.subjects.append(daemon)
        return daemon

    def merge(self, verdict):
        self.report.verdict.merge(verdict)
        return verdict.is_clean

    def violation(self, word, text):
        self.report.verdict.add(word, text)

    def dice_rest(self, most_s):
        """Anywhere between two things, as a kill comes: the moment is drawn, and nothing is waited for."""
        threading.Event().wait(self.dice.uniform(0, most_s))

    def calls_by_key(self):
        """The stand-in's own count, when nothing is on its way to it."""
        harness.wait_until(lambda: self.sim.stats()["in_flight"] == 0, 30, "the stand-in is quiet")
        rows = [json.loads(line) for line in self.sim.control("GET", "/sim/keys?over=0").splitlines() if line.strip()]
        return {row["key"]: row["calls"] for row in rows}

    def check_stopped(self, daemon, with_calls=True, at_rest=False):
        """The daemon is gone: its files against the log. Whether all is well."""
        calls = self.calls_by_key() if with_calls else None
        return self.merge(checker.check_store(self.history, daemon.database, calls, at_rest))

    def check_stopped_elsewhere(self, daemon):
        """check_stopped() on a copy: reading a log needs room."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for name in ("galloc.db", "galloc.db-wal"):
            if (daemon.state_dir / name).exists():
                shutil.copy(daemon.state_dir / name, copy / name)
        return self.merge(checker.check_store(self.history, copy / "galloc.db", self.calls_by_key()))

    def come_to_rest(self, daemon, load, seconds=60):
        """Every run that was committed comes to its end (I-15); each whose resume was not answered is resumed first."""
        for run in load.committed():
            daemon.api("POST", f"/v1/runs/{run}/resume")
        try:
            load.drain(seconds)
        except AssertionError as error:
            self.violation("broken", f"work waits while a slot is free: {error}")

    def deletes(self, daemon):
        """Whether rows of purged runs are still to go, as the doctor says."""
        return any("still to be deleted" in check["text"] for check in daemon.api("POST", "/v1/doctor", {}).json["checks"])

    def check_exit(self, daemon, where, allowed=ALLOWED_EXITS):
        """A daemon that ended by itself has ended in a way that the manual tells of."""
        if not daemon.is_running() and daemon.process.returncode not in allowed:
            self.violation("broken", f"{where}: ended with {daemon.process.returncode}: {daemon.log[-1500:]}")

    def check_end(self, daemon, load=None):
        """The last look: through the API at rest, then SIGTERM, then the files."""
        if load is not None:
            load.stop()
            self.come_to_rest(daemon, load)
        if not self.report.verdict.is_clean:
            return
        harness.wait_until(lambda: not self.deletes(daemon), 60, "the rows of purged runs are deleted")
        self.merge(checker.check_live(self.history, daemon))
        if daemon.stop() != 0:
            self.violation("broken", f"SIGTERM ended it with {daemon.process.returncode}")
        self.check_stopped(daemon, at_rest=True)

    def done(self, **figures):
        self.report.seconds = time.monotonic() - self.started_s
        self.report.ops = self.ops_before + len(self.history) + self.sim.stats()["received"]
        self.report.figures = figures
        return self.report
