"""Configured limits are never exceeded: not beside a test request, and not across a restart. Told by the simulator's record."""
from harness import wait_until

AGENTS = [{"agent_id": f"A{n}", "capacity": 1000} for n in range(3)]


def enqueue(daemon, count, **members):
    return daemon.create([(f"K{n:04}", {"n": n}) for n in range(count)], AGENTS, **members)


def most_within(record, window_ms):
    """The most calls that arrived within any such time."""
    arrivals = sorted(call["arrival_ms"] for call in record)
    return max(sum(1 for other in arrivals[first:] if other < begin + window_ms) for first, begin in enumerate(arrivals))


def test_the_endpoints_own_test_request_takes_no_place_in_a_quota_twice(world):
    """A failure that waits to be judged and assignments that wait for the quota: both may go when the window opens."""
    sim, daemon = world("--poison_keys", "K0001", "--poison_kind", "error_500", endpoint="rpm = 2\n  time_scale = 0.1")
    enqueue(daemon, 6)
    wait_until(lambda: sim.stats()["tests"] >= 1 and sim.stats()["received"] >= 5, 40, lambda: f"a test request and more calls are out: {sim.stats()}")
    assert most_within(sim.record(), 6000) <= 2, sim.record()


def test_a_place_that_a_failed_attempt_gives_up_is_taken_at_once(world):
    """All attempts at the last place but the last are refused: 40 turns of which each looked again after half a second would outlast the deadline."""
    refused = [f"K{n:04}" for n in range(1, 41)]
    sim, daemon = world("--latency_ms", "5", "--poison_keys", ",".join(refused), "--poison_kind", "error_400")
    run = daemon.create([(f"K{n:04}", {"n": n}) for n in range(42)], [{"agent_id": "A0", "capacity": 2}])
    assert daemon.wait_done(run, 10)["counts"] == {"total": 42, "pending": 0, "leased": 0, "succeeded": 2, "failed": 40, "cancelled": 0}
