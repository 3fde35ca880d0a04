"""R9: the disk fills up under load, and there is room again: first nearly full, where nothing new is begun and what is owed is still stored (I-27); then to the
last byte; then, without a restart or after a kill, all goes on. tmpfs and ext4 in turn; and a limit on the size of files.
"""
import http.client

from bench import Bench
from disks import Ext4, Tmpfs
from harness import wait_until
from history import Client
from load import Load

SIZE_MIB = 160
NEARLY_LEFT = 14 << 20  # below the reserve: 32 MiB, less what the log has already
FILE_LIMIT_BYTES = 1 << 20


def succeeded(daemon):
    """Rows decided so far, of all runs, or None while it does not say."""
    try:
        return sum(run["counts"]["succeeded"] for run in daemon.api("GET", "/v1/runs?limit=1000", timeout=10).json["items"])
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return None


def check_nearly_full(bench, daemon):
    """New work gets 507 with Retry-After once the daemon has looked at the disk; what was taken before goes on being stored."""
    client = Client(daemon, bench.history, "prober")

    def refused():
        tag = f"probe{len(bench.history)}"
        op = client.call("create", "POST", "/v1/runs", {"idem": tag}, {"agents": [{"agent_id": "A"}]}, headers={"Idempotency-Key": tag})
        return op if op.status != 201 else None

    try:
        op = wait_until(refused, 5, "new work is refused")
    except AssertionError:
        bench.violation("broken", "new work is taken on a disk that is nearly full")
        return
    if op.status != 507 or "Retry-After" not in op.headers:
        bench.violation("broken", f"new work on a nearly full disk: {op} {op.headers}")
    runs = lambda: daemon.api("GET", "/v1/status").json["open"]  # noqa: E731
    wait_until(lambda: not any(run["counts"]["leased"] for run in runs()), 60, "all that is owed is stored from the reserve")
    if any(run["waiting"] is None or run["waiting"]["code"] != "disk" for run in runs() if run["state"] == "running"):
        bench.violation("broken", f"a run does not say that it waits for the disk: {runs()}"[:1500])


def cycle(bench, daemon, disk, kills):
    disk.fill(NEARLY_LEFT)
    check_nearly_full(bench, daemon)
    if not bench.report.verdict.is_clean:
        return
    disk.fill()
    wait_until(lambda: daemon.api("GET", "/v1/status").json["daemon"]["store"]["state"] == "disk_full", 30, "the full disk is told")
    if kills:
        daemon.kill()
        bench.check_stopped_elsewhere(daemon)
        disk.fill()
        daemon.start(ready=False)
        if not daemon.is_up():
            bench.violation("broken", f"it does not start on a full disk: {daemon.process.returncode} {daemon.log[-800:]}")
            return
    before = succeeded(daemon) or 0
    pid = daemon.pid()
    disk.make_room()
    wait_until(lambda: daemon.api("GET", "/readyz").status == 200 and (succeeded(daemon) or 0) > before, 30, "work goes on when there is room again")
    if daemon.pid() != pid:
        bench.violation("broken", "it took a restart to go on")


def run(options):
    with Bench(options, "R9", "disk full", sim=("--latency_ms", 40)) as bench:
        for number in range(options.rounds):
            kind = Tmpfs if number % 2 == 0 else Ext4
            with kind(bench.folder / f"disk{number}", SIZE_MIB) as disk:
                daemon = bench.new_store(state_dir=disk.path / "state", endpoint="max_in_flight = 16")
                daemon.start()
                load = Load(daemon, bench.history, options.seed + number, importers=1, followers=0)
                bench.callback(load.stopping.set)
                load.start()
                wait_until(lambda: (succeeded(daemon) or 0) > 50, 60, "work")
                cycle(bench, daemon, disk, kills=number % 3 == 2)
                bench.report.rounds += 1
                if bench.report.verdict.is_clean:
                    bench.check_end(daemon, load)
                load.stop()
                daemon.remove()
            if not bench.report.verdict.is_clean:
                return bench.done()
        file_limit(bench)
        return bench.done()


def file_limit(bench):
    """No file may grow beyond a size: for the store that is a disk that fails, for the clients nothing is lost."""
    daemon = bench.new_store(before=("prlimit", f"--fsize={FILE_LIMIT_BYTES}"))
    daemon.start()
    load = Load(daemon, bench.history, bench.options.seed, followers=0)
    bench.callback(load.stopping.set)
    load.start()
    wait_until(lambda: not daemon.is_running() or "store_" in daemon.log, 60, "the limit is met")
    load.stop()
    bench.check_exit(daemon, "at a limit on the size of files")
    daemon.kill()
    if not bench.check_stopped(daemon):
        return
    daemon.before = ()
    daemon.start()
    bench.check_end(daemon, load)
