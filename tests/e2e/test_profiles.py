"""Each profile holds exactly its concurrency, with faults on, as the simulator's record shows."""
import pytest
from harness import wait_until

AGENTS = [{"agent_id": f"A{n}", "capacity": 200} for n in range(3)]
FAULTS = ("--seed", "5", "--error_500", "0.04", "--malformed", "0.05", "--error_503", "0.03", "--unknown_agent", "0.03")


def enqueue(daemon, count, **members):
    return daemon.create([(f"K{n:04}", {"n": n}) for n in range(count)], AGENTS, **members)


def allocations(sim):
    """Calls about an assignment: the endpoint's own test requests are no part of a profile."""
    return [row for row in sim.record() if row.get("key")]


def most_at_once(calls):
    """The most calls that overlap, by their times of arrival and end."""
    edges = sorted([(call["arrival_ms"], 1) for call in calls] + [(call["end_ms"], -1) for call in calls], key=lambda edge: (edge[0], edge[1]))
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


@pytest.mark.parametrize("profile, size", [("conservative", 3), ("balanced", 5), ("aggressive", 10)])
def test_a_batch_profile_holds_its_size(world, profile, size):
    sim, daemon = world("--latency_ms", "60", "--latency_sigma", "0.5", *FAULTS)
    run = enqueue(daemon, 8 * size, profile=profile)
    done = daemon.wait_done(run, 120)
    assert done["counts"]["succeeded"] == 8 * size, done
    assert most_at_once(allocations(sim)) == size


def test_a_batch_waits_for_all_of_the_last_and_for_the_delay(world):
    sim, daemon = world("--latency_ms", "100", "--straggler_share", "0.2", "--straggler_factor", "5")
    run = enqueue(daemon, 30, options={"batch_size": 5, "delay_ms": 300}, profile="balanced")
    daemon.wait_done(run, 120)
    calls = sorted(allocations(sim), key=lambda call: call["arrival_ms"])
    for first in range(5, 30, 5):
        batch_before, batch = calls[first - 5:first], calls[first:first + 5]
        assert min(call["arrival_ms"] for call in batch) - max(call["end_ms"] for call in batch_before) >= 300


def test_sequential_is_one_at_a_time_in_the_order_of_import(world):
    sim, daemon = world("--latency_ms", "10", "--error_500", "0.1", "--malformed", "0.1")
    run = enqueue(daemon, 40, profile="sequential")
    done = daemon.wait_done(run, 120)
    assert done["counts"]["succeeded"] == 40
    calls = allocations(sim)
    assert most_at_once(calls) == 1
    keys = [call["key"] for call in calls]
    assert keys == sorted(keys)  # a retry comes before the next assignment: a waiting one holds the run


def test_adaptive_fills_every_free_slot_and_never_more_than_max_in_flight(world):
    sim, daemon = world("--latency_ms", "200", *FAULTS, endpoint="max_in_flight = 17")
    run = enqueue(daemon, 200)
    done = daemon.wait_done(run, 120)
    assert done["counts"]["succeeded"] == 200, done
    assert most_at_once(allocations(sim)) == 17


def test_two_runs_share_the_limit_of_their_endpoint(world):
    sim, daemon = world("--latency_ms", "150", endpoint="max_in_flight = 8")
    first, second = enqueue(daemon, 60), enqueue(daemon, 60)
    wait_until(lambda: daemon.counts(first)["succeeded"] > 10 and daemon.counts(second)["succeeded"] > 10, 30, "both runs move")
    daemon.wait_done(first)
    daemon.wait_done(second)
    assert most_at_once(allocations(sim)) == 8


def test_priority_goes_first(world):
    sim, daemon = world("--latency_ms", "100", endpoint="max_in_flight = 4")
    low = enqueue(daemon, 60)
    high = enqueue(daemon, 40, options={"priority": 10})
    daemon.wait_done(high)
    assert daemon.counts(low)["succeeded"] < 30
    daemon.wait_done(low)
