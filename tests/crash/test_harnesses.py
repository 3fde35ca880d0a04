"""Every fault harness in its short form. GALLOC_TEST_SEED repeats a run; tests/crash/run runs one alone, with as many rounds as you like."""
import os
from pathlib import Path

import bench
import harness
import pytest
import table

SEED = int(os.environ["GALLOC_TEST_SEED"])
BUILD = harness.BUILD
PLAIN = Path(os.environ.get("GALLOC_PLAIN_BUILD", BUILD))


@pytest.mark.parametrize("row", table.ROWS, ids=[row.name for row in table.ROWS])
def test_harness(row, capsys):
    again = f"tests/crash/run {row.name} --rounds {row.short} --seed {SEED} --build {BUILD} --plain {PLAIN}"
    try:
        report = row.run(bench.Options(row.short, SEED, BUILD, PLAIN))
    except bench.Skipped as why:
        pytest.skip(f"{row.name}: {why}")
    with capsys.disabled():
        print(f"\n{report}")
    assert report.is_clean, f"{report}\n{report.verdict}\nagain: {again}"
