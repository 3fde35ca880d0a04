"""The simulation itself: a seed is repeated by its number alone, and what is broken is told with the command that repeats it. What it holds the daemon to: R15 in table.py."""
import os
import re
import subprocess

import harness
import pytest

SEED = int(os.environ["GALLOC_TEST_SEED"])


def simulate(*arguments):
    return subprocess.run([harness.program("tests/simulation/simulate"), *map(str, arguments)], capture_output=True, text=True, check=False)


def test_a_seed_gives_the_same_trace_byte_for_byte():
    first, second = (simulate("--seed", SEED, "--verbose") for _ in range(2))
    assert first.stdout == second.stdout
    assert first.stdout.count("\n") > 50
    assert re.search(r"digest [0-9a-f]{16}$", first.stdout.strip())


def test_another_seed_gives_another_trace():
    digests = {simulate("--seed", SEED + i).stdout.split()[-1] for i in range(2)}
    assert len(digests) == 2


@pytest.mark.parametrize("arguments", [("--seeds", "many"), ("--seed", "-1"), ("--no-such-option",), ("word",)])
def test_what_is_asked_wrongly_is_refused(arguments):
    ran = simulate(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "usage: simulate" in ran.stderr
