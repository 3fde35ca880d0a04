"""gallocctl against the stand-in daemon of fake_daemon.py."""
import os
import subprocess
import tempfile
from pathlib import Path

import fake_daemon
import harness

AGENTS = "agent_id,capacity,region\nA1,10,north\nA2,,south\n"


class Bench:
    """A folder with a stand-in daemon; ctl() runs gallocctl in it."""

    def __init__(self):
        self.holder = tempfile.TemporaryDirectory(prefix="galloc-cli-")
        self.folder = Path(self.holder.name)
        self.fake = fake_daemon.FakeDaemon(self.folder)
        self.write("agents.csv", AGENTS)

    def write(self, name, content):
        path = self.folder / name
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content)
        return str(path)

    def environment(self, **more):
        return {**os.environ, "GALLOC_SOCKET": self.fake.socket, "TZ": "UTC", **more}

    def ctl(self, *arguments, stdin=None, **environment):
        ran = subprocess.run([harness.program("gallocctl"), *map(str, arguments)], input=stdin.encode() if isinstance(stdin, str) else stdin,
                             capture_output=True, timeout=60 * harness.SLOWNESS, cwd=self.folder, env=self.environment(**environment), check=False)
        ran.out, ran.err = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
        return ran

    def start(self, *arguments):
        return subprocess.Popen([harness.program("gallocctl"), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, cwd=self.folder, env=self.environment())

    def enqueue(self, name, content, *arguments):
        """enqueue of a file made here; the run is done at once when auto_finish is set."""
        return self.ctl("enqueue", self.write(name, content), "--agents", "agents.csv", *arguments)

    def rows(self):
        """(key, fields) of the only run, in the order in which they were sent."""
        return [(row["key"], row["fields"]) for row in self.fake.the_run()["rows"]]

    def rejects(self, name="in.csv.rejects.csv"):
        return (self.folder / name).read_bytes().decode(errors="replace").splitlines()

    def close(self):
        self.fake.stop()
        self.holder.cleanup()
