"""What the tests of gallocctl work and notify stand on: commands written in Python, and the program as a process that can be stopped and killed."""
import os
import subprocess
import sys
import textwrap

import harness

AGENTS = [{"agent_id": f"A{n}", "capacity": 1000, "attributes": {}} for n in range(3)]


def is_gone(pid):
    """Ended, be it reaped or not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(") ", 1)[1][0] == "Z"
    except FileNotFoundError:
        return True


class Bench:
    """A daemon, commands written in Python, and `gallocctl work` as a process that can be stopped and killed."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.folder = daemon.folder
        self.started = []

    def enqueue(self, count=6, **members):
        return self.daemon.create([(f"K{n:03}", {"n": n}) for n in range(count)], AGENTS, endpoint="workers", **members)

    def command(self, body):
        """A command whose Python sees `lease`, `keys`, a way to `decide` and to leave `marks` that a test can wait for."""
        path = self.folder / f"command{len(list(self.folder.glob('command*')))}.py"
        path.write_text(textwrap.dedent("""\
            import json, os, signal, sys, time
            lease = json.load(sys.stdin)
            keys = [assignment["key"] for assignment in lease["assignments"]]
            def mark(text):
                with open(MARKS, "a") as marks:
                    marks.write(text + "\\n")
            def decide(keys=keys, **more):
                print(json.dumps({"results": [{"key": key, "agent_id": "A1", "reason": "r", "confidence": 0.5, **more} for key in keys]}), flush=True)
            def wait_for(name):
                while not os.path.exists(os.path.join(FOLDER, name)):
                    if not os.path.exists(FOLDER):
                        sys.exit("the test is over")
                    time.sleep(0.01)  # lint: poll
            """).replace("MARKS", repr(str(self.folder / "marks"))).replace("FOLDER", repr(str(self.folder))) + textwrap.dedent(body))
        return [sys.executable, str(path)]

    def marks(self):
        path = self.folder / "marks"
        return path.read_text().splitlines() if path.exists() else []

    def work(self, *arguments, command, check=True, environment=None):
        return self.daemon.ctl("work", *arguments, "--", *command, check=check, environment=environment)

    def start(self, *arguments, command):
        process = subprocess.Popen([harness.program("gallocctl"), "work", *arguments, "--", *command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "GALLOC_SOCKET": self.daemon.socket})
        self.started.append(process)
        return process

    def end(self, process, seconds=60):
        out, err = process.communicate(timeout=seconds * harness.SLOWNESS)
        return process.returncode, out, err

    def attempts(self, run, key):
        return self.daemon.api("GET", f"/v1/runs/{run}/assignments/{key}/attempts").json["items"]

    def classes(self, run, key):
        return [attempt["class"] for attempt in self.attempts(run, key)]

    def leases(self):
        return self.daemon.api("GET", "/v1/leases").json["items"]

    def touch(self, name):
        """What a command that does wait_for(name) waits for."""
        (self.folder / name).touch()

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
