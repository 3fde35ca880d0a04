"""The negative control of the store's own crash tests: a store that answers before it commits loses what it answered, and the checker sees it."""
import os
import random
from pathlib import Path

import pytest
import test_store_kill

SEED = int(os.environ["GALLOC_TEST_SEED"])
BUILD = Path(os.environ.get("GALLOC_PLAIN_BUILD") or os.environ["GALLOC_BUILD"])


def test_a_store_that_answers_before_it_commits_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(test_store_kill, "PROGRAM", BUILD / "tests/crash/store_kill")
    if b"GALLOC_BREAK" not in test_store_kill.PROGRAM.read_bytes():
        pytest.skip(f"{BUILD} is not built with --enable-negative-controls")
    store, dice = test_store_kill.Store(tmp_path), random.Random(SEED)
    for _ in range(60):
        process = store.start(runs=test_store_kill.RUNS * 100, GALLOC_BREAK="ack_before_commit")
        test_store_kill.kill_after_answers(store, process, dice.randrange(1, 60))
        if store.check().lost:
            return
    pytest.fail("a store that answers before it commits lost nothing in 60 kills: the harness does not see")
