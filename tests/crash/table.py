"""All fault harnesses, a row each: what it does, how long its short form (scripts/check) and its long one (scripts/soak) are, and which broken promises it has to
notice. Readers: run (the command), test_harnesses.py, tests/controls, scripts/soak.
"""
import dataclasses
import importlib


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    module: str       # in this folder; its run(options) gives a bench.Report, or raises bench.Skipped
    short: int        # rounds
    soak: int
    what: str         # what a round is
    controls: tuple   # names of base/negative.h
    is_plain: bool = False  # cannot run with sanitizers: takes the plain build

    def run(self, options):
        return importlib.import_module(self.module).run(options)


ROWS = (
    Row("R1", "kill", 12, 1000, "kill -9 at a random moment of a mixed load", ("ack_before_commit", "no_fence", "call_before_attempt", "forget_lost", "capacity")),
)


def row_of(name):
    for row in ROWS:
        if row.name.lower() == name.lower():
            return row
    raise KeyError(name)
