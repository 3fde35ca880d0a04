"""What runs get of an endpoint: by priority, then by what their calls cost; each endpoint by itself."""
from harness import wait_until

AGENTS = [{"agent_id": f"A{n}", "capacity": 10000} for n in range(3)]


def enqueue(daemon, prefix, count, size=10, **members):
    return daemon.create([(f"{prefix}{n:04}", {"n": n, "text": "word " * (size // 5)}) for n in range(count)], AGENTS, **members)


def calls_of(sim):
    return [call["key"] for call in sim.record() if call.get("key")]


def start(daemon, *runs):
    """All in one turn."""
    assert daemon.api("POST", "/v1/drain").status == 200
    for run in runs:
        assert daemon.api("POST", f"/v1/runs/{run}/resume").status == 200
    assert daemon.api("POST", "/v1/undrain").status == 200


def test_runs_share_by_what_their_calls_cost(world):
    """A call of the one takes about five times the tokens of the other's: while both have work, it gets about a fifth of the calls."""
    sim, daemon = world("--latency_ms", 80, endpoint="max_in_flight = 6")
    small = enqueue(daemon, "S", 400, paused=True)
    large = enqueue(daemon, "L", 200, size=8000, paused=True)
    start(daemon, small, large)
    wait_until(lambda: len([key for key in calls_of(sim) if key[0] == "S"]) >= 300, 60, "both have sent")
    spent = {run: (tokens := daemon.run(run)["tokens"])["in"] + tokens["out"] for run in (small, large)}
    assert daemon.counts(large)["pending"] > 0
    assert 0.7 < spent[large] / spent[small] < 1.4, spent
    assert len([key for key in calls_of(sim) if key[0] == "L"]) < 150


def test_who_comes_later_is_owed_nothing(world):
    sim, daemon = world("--latency_ms", 40, endpoint="max_in_flight = 4")
    first = enqueue(daemon, "A", 600)
    wait_until(lambda: len(calls_of(sim)) >= 150, 60, "the first is under way")
    second = enqueue(daemon, "B", 300)
    wait_until(lambda: "B" in {key[0] for key in calls_of(sim)}, 30, "the second has begun")
    begun = next(i for i, key in enumerate(calls_of(sim)) if key[0] == "B")
    wait_until(lambda: len(calls_of(sim)) >= begun + 100, 60, "both go")
    assert daemon.counts(first)["pending"] > 0 and daemon.counts(second)["pending"] > 0
    assert 35 <= len([key for key in calls_of(sim)[begun:begun + 100] if key[0] == "B"]) <= 65


def test_the_higher_priority_goes_first(world):
    sim, daemon = world("--latency_ms", 40, endpoint="max_in_flight = 4")
    low = enqueue(daemon, "L", 300)
    wait_until(lambda: len(calls_of(sim)) >= 50, 60, "the lower is under way")
    high = enqueue(daemon, "H", 100, options={"priority": 5})
    daemon.wait_done(high)
    keys = calls_of(sim)
    high_at = [i for i, key in enumerate(keys) if key[0] == "H"]
    assert len([key for key in keys[high_at[0]:high_at[-1]] if key[0] == "L"]) <= 4, "the slots that were free were another's"
    assert daemon.counts(low)["pending"] > 0


def test_a_throttled_endpoint_holds_up_no_other(make_sim, make_daemon):
    slow, fast = make_sim("--rpm", 5, "--quota_kind", "fixed"), make_sim("--latency_ms", 10)
    daemon = make_daemon(slow.url)
    daemon.configure(slow.url, sections=f'endpoint "other" {{\n  base_url = "{fast.url}"\n  api_key_file = "{daemon.key_file}"\n}}\n')
    daemon.start()
    waits = enqueue(daemon, "W", 50, options={"priority": 100})
    wait_until(lambda: (daemon.run(waits)["waiting"] or {}).get("code") == "throttled", 60, "the one waits for its quota")
    goes = enqueue(daemon, "G", 200, endpoint="other")
    assert daemon.wait_done(goes)["counts"]["succeeded"] == 200
    assert daemon.run(waits)["state"] == "running" and daemon.counts(waits)["pending"] > 0
