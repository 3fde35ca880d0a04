"""Large JSON bodies: parsed beside the loop, and refused in the same words as small ones."""
import json
from pathlib import Path

import pytest


@pytest.fixture
def alone(make_daemon):
    return make_daemon("http://127.0.0.1:9").start()


def thread_ns(daemon, name):
    """Time that a thread of the daemon has had of a processor."""
    for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int((task / "schedstat").read_text().split()[0])
    raise AssertionError(f"there is no thread {name}")


def test_a_large_body_is_not_parsed_by_the_loop(alone):
    run = alone.create([(f"K{n:03}", {}) for n in range(1000)], [{"agent_id": "A0"}], endpoint="workers")
    lease = alone.api("POST", "/v1/leases", {"worker": "w", "run": run, "max": 1000}).json
    results = {"results": [{"key": row["key"], "agent_id": "A0", "reason": "r" * 3000, "confidence": 1} for row in lease["assignments"]]}
    before_ns = thread_ns(alone, "ingest")
    items = alone.api("POST", f"/v1/leases/{lease['lease']}/results", results).json["items"]
    assert len(items) == 1000 and {item["verdict"] for item in items} == {"succeeded"}
    assert thread_ns(alone, "ingest") - before_ns > 1000000, "3 MB take longer than a millisecond"


@pytest.mark.parametrize("make", [lambda size: "{" * size, lambda size: f'{{"results":"{"x" * size}', lambda size: json.dumps([1] * size),
                                  lambda size: json.dumps({"resultz": "x" * size})], ids=["too_deep", "cut", "no_object", "unknown_member"])
def test_a_large_body_is_refused_as_a_small_one(alone, make):
    small, large = (alone.api("POST", "/v1/leases/1/results", make(size)) for size in (100, 100000))
    assert small.status == 400 and (large.status, large.json["code"]) == (small.status, small.json["code"]), (small, large)
