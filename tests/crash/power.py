"""R4: the power is cut under mixed load: what was not synced is gone. The state directory lies on an ext4 of the harness's own.

The daemon is stopped (SIGSTOP, and seen stopped in all its threads) before the file system is shut down: else ext4 may answer an fsync as done while the cut is
under way, which no real cut lets a client see. Every answer that a client has by then is a promise.
"""
import subprocess
from pathlib import Path

from bench import Bench, need
from disks import Ext4
from harness import wait_until
from load import Load

SIZE_MIB = 256


def is_stopped(pid):
    states = [(task / "stat").read_text().rsplit(")", 1)[1].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(state == "T" for state in states)


def cut(daemon, disk):
    pid = daemon.pid()
    subprocess.run(["kill", "-STOP", str(pid)], check=True)
    wait_until(lambda: is_stopped(pid), 10, "the daemon is stopped")
    disk.shut_down()
    daemon.kill()
    disk.unmount()
    disk.mount()


def run(options):
    need("mkfs.ext4", "xfs_io", "losetup")
    with Bench(options, "R4", "power cut", sim=("--latency_ms", 8)) as bench:
        disk = bench.enter_context(Ext4(bench.folder / "disk", SIZE_MIB))
        daemon = bench.subject(state_dir=disk.path / "state")
        daemon.start()
        load = Load(daemon, bench.history, options.seed, rows_most=30)
        bench.callback(load.stopping.set)
        load.start()
        for _ in range(options.rounds):
            answers = len(bench.history)
            wait_until(lambda: len(bench.history) > answers + 3, 60, lambda: f"clients get answers; the log ends:\n{daemon.log[-3000:]}")
            bench.dice_rest(0.3)
            cut(daemon, disk)
            bench.report.rounds += 1
            if not bench.check_stopped(daemon):
                return bench.done()
            daemon.start()
        bench.check_end(daemon, load)
        return bench.done()
