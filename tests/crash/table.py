"""All fault harnesses, a row each: what it does, how long its short form (scripts/check) and its long one (scripts/soak) are, and which broken promises it has to
notice. Readers: run (the command), test_harnesses.py, tests/controls, scripts/soak.
"""
import dataclasses
import importlib


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    function: str     # module:name in this folder; gives a bench.Report, or raises bench.Skipped
    short: int        # rounds
    soak: int         # 0: as many as there are
    what: str         # what a round is
    controls: tuple   # names of base/negative.h
    is_plain: bool = False  # cannot run with sanitizers: takes the plain build

    def run(self, options):
        module, name = self.function.split(":")
        return getattr(importlib.import_module(module), name)(options)


ROWS = (
    Row("R1", "kill:run", 12, 1000, "kill -9 at a random moment of a mixed load", ("ack_before_commit", "no_fence", "call_before_attempt", "forget_lost", "capacity", "forget_purge",
                                                                                             "leave_pool")),
    Row("R2", "syscalls:run_kills", 14, 0, "killed at one system call of one small piece of work", ("ack_before_commit",)),
    Row("R3", "syscalls:run_faults", 12, 500, "one system call fails, once or from then on", ("ack_before_commit",)),
    Row("R4", "power:run", 8, 200, "a power cut: the file system loses what was not synced", ("sync_normal",)),
    Row("R9", "diskfull:run", 3, 10, "a disk that is nearly full, full, and has room again", ("no_reserve",)),
    Row("R8", "randomfaults:run", 8, 100, "a life in which calls of one group fail at random", ("ack_before_commit",)),
    Row("R11", "mutate:run", 20, 300, "a database that something has changed", ("no_digest",)),
    Row("R12", "clockjump:run", 3, 50, "a jump of the wall clock, with leases and retries under way", ("wall_clock_leases",)),
    Row("R19", "workers:run", 5, 200, "an outside worker that is killed, stopped, late, or wrong", ("no_fence",)),
    Row("R16", "hostile:run", 1, 8, "a wave of slow and hostile clients of another user", ("no_connection_cap", "no_deadline")),
    Row("R17", "exhaust:run", 3, 30, "no descriptors, no address space, or no memory", ("dies_of_emfile",)),
    Row("R20", "signals:run", 4, 200, "SIGTERM, two of them, SIGHUPs, or restarts, one upon the other", ("no_drain",)),
    Row("R15", "simulation:run", 60, 10000, "a seed of the deterministic simulation",
        ("no_fence", "forget_lost", "capacity", "wall_clock_leases",  # not those that wait in real time before a commit: R1 and R2 have them
         "outage_spends", "refusal_spends", "leases_stand", "goes_together", "places_promised", "over_limits")),
    Row("R18", "network:run", 8, 80, "a storm of one kind of network faults; HTTP/2 that gives streams back, names that do not resolve", ("post_repeats",)),
    Row("R24", "money:run", 2, 100, "a run with a budget, 64 calls in flight, killed four times", ("overspends",)),
    Row("R23", "canary:run", 1, 3, "work, a refused key, a crash; then everything is read", ("key_in_log",)),
)


def row_of(name):
    for row in ROWS:
        if row.name.lower() == name.lower():
            return row
    raise KeyError(name)
