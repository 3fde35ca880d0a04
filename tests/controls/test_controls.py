"""Negative controls: a daemon that breaks one promise (base/negative.h), under the harness that holds it. A harness that stays content is void."""
import os
from pathlib import Path

import bench
import pytest
import table

SEED = int(os.environ["GALLOC_TEST_SEED"])
BUILD = Path(os.environ.get("GALLOC_PLAIN_BUILD") or os.environ["GALLOC_BUILD"])
PAIRS = [(row, control) for row in table.ROWS for control in row.controls]
TRIES = 5  # a harness that draws at random may need more than one of its short forms


@pytest.fixture(scope="module", autouse=True)
def has_controls():
    if b"GALLOC_BREAK" not in (BUILD / "gallocd").read_bytes():
        pytest.skip(f"{BUILD} is not built with --enable-negative-controls")


@pytest.mark.parametrize("row,control", PAIRS, ids=[f"{row.name}-{control}" for row, control in PAIRS])
def test_a_broken_promise_is_noticed(row, control, capsys):
    for seed in range(SEED, SEED + TRIES):
        try:
            report = row.run(bench.Options(row.short, seed, BUILD, BUILD, control))
        except bench.Skipped as why:
            pytest.skip(f"{row.name}: {why}")
        if not report.is_clean:
            with capsys.disabled():
                print(f"\n{control}: {report}")
            return
    pytest.fail(f"{row.name} did not notice {control}; again: tests/crash/run {row.name} --seed {SEED} --break {control} --build {BUILD}")
