"""A booted Debian 12 in systemd-nspawn, with galloc installed as `make install` does it.

The root file system is made once by mmdebstrap (about half a minute, from apt's own sources) and kept in a cache beside the
build; each machine is a copy of it. The machine shares the host's loopback, so a gallocsim outside is reached from inside.
"""
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import BUILD, SLOWNESS, wait_until

PACKAGES = ("systemd systemd-sysv dbus passwd procps libsqlite3-0 libcurl4 libevent-core-2.1-7 libevent-pthreads-2.1-7 libjson-c5 libconfuse2 "
            "libssl3 libcsv3 libsmartcols1 libxlsxwriter4 libsystemd0 ca-certificates").split()


def why_not():
    """Why no machine can be booted here; None when one can."""
    if os.geteuid() != 0:
        return "booting a machine needs root"
    for program in ("mmdebstrap", "systemd-nspawn", "nsenter"):
        if not shutil.which(program):
            return f"{program} is not installed (apt-get install mmdebstrap systemd-container)"
    return None


def root_file_system():
    """The folder of a fresh Debian 12; made when it is not in the cache."""
    cache = BUILD.parent / "rootfs"
    if not (cache / "complete").exists() or (cache / "complete").read_text() != " ".join(PACKAGES):
        shutil.rmtree(cache, ignore_errors=True)
        made = subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", "--include=" + ",".join(PACKAGES), "bookworm", str(cache)],
                              capture_output=True, text=True, timeout=600 * SLOWNESS, check=False)
        if made.returncode != 0:
            shutil.rmtree(cache, ignore_errors=True)
            pytest.skip("mmdebstrap could not make a Debian 12: " + made.stderr.strip()[-300:])
        (cache / "complete").write_text(" ".join(PACKAGES))
    return cache


class Machine:
    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="galloc-machine-"))
        subprocess.run(["cp", "-a", "--reflink=auto", f"{root_file_system()}/.", str(self.root)], check=True)
        self.process = None
        self.log = open(self.root.with_suffix(".log"), "ab")

    def install(self):
        subprocess.run(["make", "-C", str(BUILD), "-s", "install", f"DESTDIR={self.root}"], check=True, capture_output=True)
        subprocess.run(["systemd-sysusers", f"--root={self.root}"], check=True, capture_output=True)
        subprocess.run(["systemctl", f"--root={self.root}", "enable", "gallocd.service", "gallocd.socket"], check=True, capture_output=True)

    def write(self, path, text, mode=0o644):
        full = self.root / path.lstrip("/")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.touch(mode)
        full.write_text(text, encoding="utf-8")
        full.chmod(mode)

    def boot(self):
        self.process = subprocess.Popen(["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "-D", str(self.root), "-b",
                                         f"--machine=galloc-{os.getpid()}"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        try:
            self.wait_booted()
        except AssertionError as error:
            pytest.skip(f"systemd-nspawn does not boot here: {error}; {self.root.with_suffix('.log').read_text(errors='replace')[-300:]}")

    def leader(self):
        """The machine's process 1 as the host numbers it; None while there is none."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False).stdout.split()
        return found[0] if found else None

    def wait_booted(self):
        def is_up():
            if self.process.poll() is not None:
                raise AssertionError("systemd-nspawn ended")
            return self.leader() and self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")
        wait_until(is_up, 60, "the machine is up")

    def run(self, *command, check=True, stdin=None, timeout=120):
        """A command inside, as root."""
        ran = subprocess.run(["nsenter", "-t", self.leader() or "0", "-a", *command], capture_output=True, text=True, input=stdin,
                             timeout=timeout * SLOWNESS, check=False)
        if check and ran.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {ran.returncode}\n{ran.stdout}{ran.stderr}\n{self.journal()}")
        return ran

    def as_user(self, user, *command, check=True):
        return self.run("runuser", "-u", user, "--", *command, check=check)

    def journal(self):
        return self.run("journalctl", "-b", "-u", "gallocd", "--no-pager", "-o", "cat", "-n", "40", check=False).stdout

    def reboot(self):
        self.run("systemctl", "reboot", check=False)
        wait_until(lambda: self.process.poll() is not None, 90, "the machine is down")  # nspawn leaves beginning anew to whoever runs it
        self.boot()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.run("systemctl", "poweroff", check=False)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.with_suffix(".log").unlink(missing_ok=True)
