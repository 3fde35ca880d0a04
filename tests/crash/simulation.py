"""R15: the deterministic simulation (tests/simulation/simulate). A round is a seed; each that fails is told with the command that repeats it."""
import os
import re
import subprocess
import time

from bench import Report, Skipped

PROGRAM = "tests/simulation/simulate"
SEEDS_A_RUN = 1000000  # seeds of two runs never overlap
MANY_SEEDS = 500      # so many go without sanitizers, several times as fast
WORDS = ("lost", "unexpected")  # a violation that does not begin with one of them is broken


def run(options):
    build = options.build if options.rounds < MANY_SEEDS else options.plain_build or options.build
    program = build / PROGRAM
    if not program.exists():
        raise Skipped(f"{program} is not built")
    report, started_s = Report("R15", "deterministic simulation", 0, options.seed), time.monotonic()
    command = [str(program), "--seeds", str(options.rounds), "--seed", str(options.seed * SEEDS_A_RUN)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "GALLOC_BREAK": options.breaks or ""})
    sums = re.fullmatch(r"seeds (\d+) failed (\d+) steps (\d+) calls (\d+) leases (\d+) kills (\d+) faults (\d+) digest ([0-9a-f]+)", (ran.stdout.splitlines() or [""])[-1])
    for line in ran.stdout.splitlines():
        failed = re.match(r"seed \d+: (\w+)", line)
        if failed:
            report.verdict.add(failed[1] if failed[1] in WORDS else "broken", line)
    if sums is None or (ran.returncode != 0) != (int(sums[2]) > 0):
        report.verdict.add("broken", f"{' '.join(command)} ended with {ran.returncode}: {ran.stderr.strip()[-800:]}")
    else:
        report.rounds, report.ops = int(sums[1]), int(sums[3]) + int(sums[4]) + int(sums[5])
        report.figures = {"calls": int(sums[4]), "leases": int(sums[5]), "kills": int(sums[6]), "faults": int(sums[7])}
    report.seconds = time.monotonic() - started_s
    return report
