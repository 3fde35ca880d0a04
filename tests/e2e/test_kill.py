"""kill -9 in the middle: nothing is lost, nothing is twice, and what is called again is only what was in flight."""
import csv

import pytest
from harness import ROOT, check_allocation, wait_until

MAX_IN_FLIGHT = 24


def example(name):
    with open(ROOT / "examples" / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def loans():
    return example("assignments.csv")


@pytest.fixture
def agents():
    return example("agents.csv")


@pytest.fixture
def slow_world(world):
    return world("--latency_ms", "300", "--latency_sigma", "0.3", endpoint=f"max_in_flight = {MAX_IN_FLIGHT}")


def enqueue(daemon, loans, agents):
    key = next(column for column in loans[0] if column.lower() in ("lan", "lan_no", "key", "id"))
    given = [{"agent_id": agent["agent_id"], "capacity": int(agent["capacity"]),
              "attributes": {name: value for name, value in agent.items() if name not in ("agent_id", "capacity")}} for agent in agents]
    return daemon.create([(loan[key], loan) for loan in loans], given), [loan[key] for loan in loans]


def recorded(daemon, run, keys):
    """Attempts by class, over all assignments."""
    found = {}
    for key in keys:
        for attempt in daemon.api("GET", f"/v1/runs/{run}/assignments/{key}/attempts").json["items"]:
            found[attempt["class"]] = found.get(attempt["class"], 0) + 1
    return found


def test_five_kills_lose_nothing_and_repeat_only_what_was_in_flight(slow_world, loans, agents):
    sim, daemon = slow_world
    run, keys = enqueue(daemon, loans, agents)
    kills, in_doubt = 0, 0
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        wait_until(lambda goal=share * len(keys): daemon.counts(run)["succeeded"] >= goal and sim.stats()["in_flight"] >= MAX_IN_FLIGHT - 4, 60,
                   f"{share:.0%} are settled and calls are in flight")
        daemon.kill()
        kills += 1
        in_doubt += MAX_IN_FLIGHT
        daemon.start()
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == len(keys) and done["counts"]["failed"] == 0
    check_allocation(daemon.results(run), keys, agents)
    found = recorded(daemon, run, keys)
    stats = sim.stats()
    calls = stats["received"] - stats["tests"]
    assert calls <= sum(count for kind, count in found.items() if kind != "released"), (stats, found)
    assert calls - len(keys) <= found.get("agent_full", 0) + in_doubt
    assert found["lost"] <= 2 * in_doubt  # as many may be leased ahead as may be under way: nobody knows whether they were sent
    report = daemon.api("POST", "/v1/doctor").json
    assert report["ok"], report


def test_without_a_kill_every_call_is_recorded_once(slow_world, loans, agents):
    sim, daemon = slow_world
    run, keys = enqueue(daemon, loans, agents)
    daemon.wait_done(run)
    found = recorded(daemon, run, keys)
    assert sim.stats()["received"] == found["succeeded"] + found.get("agent_full", 0)
    assert set(found) <= {"succeeded", "agent_full", "released"}


def test_three_starts_within_a_minute_go_one_call_at_a_time_until_one_has_settled(slow_world, loans, agents):
    sim, daemon = slow_world
    run, _ = enqueue(daemon, loans, agents)
    wait_until(lambda: daemon.counts(run)["succeeded"] > 5, 30, "the run moves")
    for _ in range(2):
        daemon.kill()
        daemon.start()
    daemon.kill()
    sim.set(latency_ms=1500)
    wait_until(lambda: sim.stats()["in_flight"] == 0, 30, "the simulator is idle")
    sim.reset()
    daemon.start()
    wait_until(lambda: sim.stats()["received"] >= 1, 30, "a call is out")
    settled = daemon.counts(run)["succeeded"]
    wait_until(lambda: daemon.counts(run)["succeeded"] > settled, 30, "it has settled")
    first = sorted(sim.record(), key=lambda call: call["arrival_ms"])
    alone = [call for call in first if call["arrival_ms"] < first[0]["end_ms"]]
    assert len(alone) == 1, alone


def test_the_one_call_after_three_starts_is_one_in_all(world):
    """Neither a settle without a call nor a second run nor a test request lets another out while the first is under way."""
    sim, daemon = world("--latency_ms", "2500")
    agents = [{"agent_id": "A0", "attributes": {"region": "north"}}]
    nobody = daemon.create([(f"N{n}", {"region": "south"}) for n in range(20)], agents, options={"match": ["region=region"]}, paused=True)
    runs = [daemon.create([(f"{name}{n}", {}) for n in range(20)], agents, paused=True) for name in "AB"]
    for _ in range(2):
        daemon.kill()
        daemon.start()
    assert daemon.api("POST", f"/v1/runs/{nobody}/resume").status == 200
    assert daemon.wait_done(nobody, 20)["counts"]["failed"] == 20
    assert daemon.api("POST", "/v1/drain").status == 200  # so that both are seen in one turn
    for run in runs:
        assert daemon.api("POST", f"/v1/runs/{run}/resume").status == 200
    assert daemon.api("POST", "/v1/undrain").status == 200
    wait_until(lambda: sim.stats()["received"] >= 1, 20, "a call is out")
    test = daemon.api("POST", "/v1/endpoints/gemini/test").json
    assert not test["ok"] and "one call at a time" in test["message"], test
    sim.set(latency_ms=10)
    for run in runs:
        assert daemon.wait_done(run, 20)["counts"]["succeeded"] == 20
    record = sorted(sim.record(), key=lambda call: call["arrival_ms"])
    assert [call for call in record if call["arrival_ms"] < record[0]["end_ms"]] == record[:1]


def test_a_kill_in_the_import_loses_no_answered_part(slow_world):
    sim, daemon = slow_world
    created = daemon.api("POST", "/v1/runs", {"agents": [{"agent_id": "A0"}], "paused": True}).json["id"]
    for part in range(1, 4):
        lines = "".join('{"key":"P%dR%d","fields":{"n":%d},"row":%d}\n' % (part, row, row, row) for row in range(1, 501))
        assert daemon.api("PUT", f"/v1/runs/{created}/parts/{part}", lines, content_type="application/x-ndjson").json["accepted"] == 500
        daemon.kill()
        daemon.start()
        replay = daemon.api("PUT", f"/v1/runs/{created}/parts/{part}", lines, content_type="application/x-ndjson")
        assert replay.status == 200 and replay.json["accepted"] == 500
    assert daemon.api("POST", f"/v1/runs/{created}/commit", {"parts": 3}).status == 200
    assert daemon.counts(created)["pending"] == 1500


def test_sigterm_drains_and_spends_no_retry(slow_world, loans, agents):
    sim, daemon = slow_world
    run, keys = enqueue(daemon, loans, agents)
    wait_until(lambda: daemon.counts(run)["succeeded"] > 20, 30, "the run moves")
    assert daemon.stop() == 0
    daemon.start()
    done = daemon.wait_done(run)
    found = recorded(daemon, run, keys)
    assert done["counts"]["succeeded"] == len(keys)
    assert found.get("lost", 0) == 0 and done["retries"]["transient"] == 0  # every call in flight was waited for
    assert sim.stats()["received"] == found["succeeded"] + found.get("agent_full", 0)
