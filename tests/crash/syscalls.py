"""R2: kill -9 at the Nth system call that changes a file. R3: the Nth call of a kind fails, once or from then on. Each N on a store of its own, under strace.

Both draw their numbers from all that one small piece of work makes (as counted first); with as many rounds as there are numbers, every one is taken. strace counts
by thread, and the thread that makes a new database would reach most numbers before the work begins; so there are points on a new store, and three times as many on
one that stands already.
"""
import collections
import shutil

from bench import ALLOWED_EXITS, Bench, is_sanitized, need
from smallwork import SmallWork

CHANGES = "pwrite64,fdatasync,ftruncate,rename,link,unlink"
DISK = ("pwrite64", "fdatasync", "ftruncate")
NO_MEMORY = (-6,)  # memory that cannot be had ends the daemon, by its own decision
SLOWLY = "max_in_flight = 4"  # so that operators and workers come while the run still goes
LOADER = (127,)    # ended before the daemon's first line
LOADER_NO_MEMORY = (-11,)  # as ld.so ends of any program, /bin/true included, when its first mmap fails; without a line in the log

# Calls and how they fail. retval=0 is a disk that lies: it says that it synced.
FAULTS = (
    ("pwrite64", ("error=EIO", "error=ENOSPC", "error=EINTR", "error=EAGAIN")),
    ("fdatasync", ("error=EIO", "error=ENOSPC", "error=EINTR", "retval=0")),
    ("ftruncate", ("error=EIO", "error=ENOSPC")),
    ("pread64", ("error=EIO", "error=EINTR")),
    ("openat", ("error=EMFILE", "error=ENOMEM", "error=EIO", "error=ENOSPC")),
    ("accept4", ("error=EMFILE", "error=EINTR", "error=EAGAIN", "error=ENOMEM")),
    ("recvfrom", ("error=EIO", "error=EINTR", "error=EAGAIN")),
    ("sendto", ("error=EIO", "error=EINTR", "error=EAGAIN")),
    ("writev", ("error=EIO", "error=EAGAIN")),
    ("socket", ("error=EMFILE", "error=ENOMEM")),
    ("epoll_wait", ("error=EINTR",)),
    ("mmap", ("error=ENOMEM",)),
)


def strace(*arguments):
    return ("strace", "-f", "-qq", "-o", *arguments)  # --seccomp-bpf would be faster, but loses injected signals


def standing_store(bench):
    """The state of a daemon that was started and stopped once."""
    daemon = bench.new_store()
    daemon.start()
    daemon.stop()
    shutil.copytree(daemon.state_dir, bench.folder / "standing")
    return bench.folder / "standing"


def traced(bench, standing, *arguments):
    daemon = bench.new_store(before=strace(*arguments), endpoint=SLOWLY)
    if standing:
        shutil.copytree(standing, daemon.state_dir)
    return daemon


def count_calls(bench, standing, calls):
    """How many of each call the work makes in the thread that makes most of them."""
    listing = bench.folder / "calls"
    daemon = traced(bench, standing, str(listing), "-e", f"trace={calls}")
    daemon.start()
    SmallWork(daemon, bench.history, "count", bench.dice).go()
    daemon.kill()
    counts = collections.Counter()
    for line in listing.read_text(errors="replace").splitlines():
        words = line.split(None, 1)
        if len(words) == 2 and "(" in words[1]:
            counts[words[1].split("(")[0].strip("<. "), words[0]] += 1
    most = collections.Counter()
    for (call, _), count in counts.items():
        most[call] = max(most[call], count)
    listing.unlink()
    return most


def try_point(bench, standing, call, injection, allowed=ALLOWED_EXITS):
    """The work under an injection, then on a daemon without one. Whether all is well."""
    name, tag = f"{call} {injection} on a {'standing' if standing else 'new'} store", f"p{bench.report.rounds}"
    daemon = traced(bench, standing, "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{injection}")
    work = SmallWork(daemon, bench.history, tag, bench.dice)
    daemon.start(ready=False)
    sticks = injection.endswith("+")
    try:
        if daemon.is_up(5 if sticks else 30):
            work.go(3 if sticks else 8)
    except AssertionError as error:
        if not sticks:  # a call that fails for ever may keep it from ever serving; one failure may not
            bench.violation("broken", f"at {name}: {error}")
    if "signal" not in injection:
        bench.check_exit(daemon, name, allowed + (LOADER_NO_MEMORY if call == "mmap" and not daemon.log else ()))
    daemon.kill()
    bench.report.rounds += 1
    if daemon.database.exists() and not bench.check_stopped(daemon):
        bench.violation("broken", f"at {name}")
        return False
    daemon.before = ()
    daemon.start()
    try:
        work.finish()
    except OSError as error:
        bench.violation("broken", f"after {name}: {error}; gallocd {daemon.process.poll()}; its log ends: {daemon.log[-3000:]}")
    bench.check_end(daemon)
    if not bench.report.verdict.is_clean:
        bench.violation("broken", f"at {name}")
    return bench.report.verdict.is_clean


def draw(dice, points, rounds):
    """Points of a new store (standing None) and of one that stands, one to three; all of them when so many are asked for."""
    if rounds >= len(points):
        return points
    new, old = ([point for point in points if bool(point[0]) == stands] for stands in (False, True))
    from_new = min(rounds // 4, len(new))
    return dice.sample(new, from_new) + dice.sample(old, min(rounds - from_new, len(old)))


def run_kills(options):
    need("strace")
    with Bench(options, "R2", "kill at the Nth system call", sim=("--latency_ms", 15)) as bench:
        points = []
        for standing in (None, standing_store(bench)):
            counts = count_calls(bench, standing, CHANGES)
            points += [(standing, call, number) for call in CHANGES.split(",") for number in range(1, counts[call] + 1)]
        for standing, call, number in draw(bench.dice, points, options.rounds):
            if not try_point(bench, standing, call, f"signal=SIGKILL:when={number}"):
                break
        return bench.done(points=len(points))


def run_faults(options):
    need("strace")
    with Bench(options, "R3", "the Nth system call fails", sim=("--latency_ms", 15)) as bench:
        kinds = [row for row in FAULTS if row[0] != "mmap" or not is_sanitized(options.build)]
        faults = []
        for standing in (None, standing_store(bench)):
            counts = count_calls(bench, standing, ",".join(call for call, _ in kinds))
            for call, errors in kinds:
                drawn = [(standing, call, error, number, sticky) for error in errors for number in range(1, counts[call] + 1) for sticky in ("", "+")]
                most = options.rounds if call in DISK else max(1, options.rounds // 8)  # what a loader opens crowds nothing out
                faults += bench.dice.sample(drawn, min(len(drawn), most))
        for standing, call, error, number, sticky in draw(bench.dice, faults, options.rounds):
            allowed = ALLOWED_EXITS + LOADER + (NO_MEMORY if call == "mmap" else ())
            if not try_point(bench, standing, call, f"{error}:when={number}{sticky}", allowed):
                break
        return bench.done()
