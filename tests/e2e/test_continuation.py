"""An answer that comes in several calls (finishReason CONTINUATION): joined, each call recorded and paid once, asked anew when the rest does not come."""
import pytest
from harness import wait_until

AGENTS = [{"agent_id": f"A{n}", "capacity": 100, "attributes": {"region": "north"}} for n in range(3)]


def attempts(daemon, run, key):
    return daemon.api("GET", f"/v1/runs/{run}/assignments/{key}/attempts?raw=1").json["items"]


def test_an_answer_in_several_calls_is_one_decision(world):
    sim, daemon = world("--continuation", "0.5", "--latency_ms", "5")
    keys = [f"K{n}" for n in range(60)]
    run = daemon.create([(key, {"region": "north"}) for key in keys], AGENTS)
    done = daemon.wait_done(run)
    results = daemon.results(run)
    assert sorted(row["key"] for row in results) == sorted(keys) and {row["agent_id"] for row in results} <= {"A0", "A1", "A2"}
    stats = sim.stats()
    unfinished = stats["by_kind"]["continuation"]
    assert unfinished == stats["rests"] > 20 and stats["refused"] == 0
    assert done["retries"]["unfinished"] == unfinished and done["retries"]["invalid_answer"] == 0
    # every call is recorded, and what it used: in the run, in the attempts, in the results
    assert stats["received"] - stats["tests"] == done["counts"]["succeeded"] + unfinished
    assert done["tokens"]["in"] == stats["tokens_in"] and done["tokens"]["out"] == stats["tokens_out"]
    assert sum(row["tokens_in"] for row in results) == stats["tokens_in"]
    hops = {key: attempts(daemon, run, key) for key in keys}
    assert {len(of_key) for of_key in hops.values()} == {1, 2, 3}
    for of_key in hops.values():
        assert [attempt["class"] for attempt in of_key] == ["unfinished"] * (len(of_key) - 1) + ["succeeded"]
        assert all(attempt["raw"] for attempt in of_key[:-1])


def test_an_answer_without_end_fails_and_says_so(world):
    sim, daemon = world("--poison_keys", "K3", "--poison_kind", "continuation")
    run = daemon.create([(f"K{n}", {"n": n}) for n in range(6)], AGENTS)
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 5 and done["counts"]["failed"] == 1
    assert [row["error"]["code"] for row in daemon.results(run) if row.get("error")] == ["unfinished"]
    assert len(attempts(daemon, run, "K3")) == 5 == len([call for call in sim.record() if call["key"] == "K3"])


@pytest.mark.parametrize("fault, told", [("error_500", "transient"), ("error_429", "throttled"), ("error_400", "invalid_answer")])
def test_a_call_that_ends_otherwise_has_the_whole_asked_anew(world, fault, told):
    sim, daemon = world("--continuation_next", "1", "--latency_ms", "300", endpoint="time_scale = 0.01")
    run = daemon.create([("K0", {"n": 0})], AGENTS)
    wait_until(lambda: sim.stats()["in_flight"] == 1, what="the first call is with the simulator, and its answer drawn")
    sim.set(**{f"{fault}_next": 1})
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 1
    assert [attempt["class"] for attempt in attempts(daemon, run, "K0")] == ["unfinished", told, "succeeded"]
    assert sim.stats()["rests"] == 1  # what was asked last had no token
