"""What the dispatcher keeps in odd moments: an endpoint that refuses and fails at once, agents who are away, runs that pause themselves."""
import json
import sqlite3
import time

from harness import wait_until


AGENTS = [{"agent_id": f"A{n}", "capacity": 1000, "attributes": {"region": "north"}} for n in range(3)]


def enqueue(daemon, count=20, agents=None, **members):
    return daemon.create([(f"K{n:04}", {"region": "north", "n": n}) for n in range(count)], agents or AGENTS, **members)


def count_of(daemon, query):
    with sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True) as database:
        return database.execute(query).fetchone()[0]


def test_a_held_failure_is_not_tested_while_the_endpoint_refuses(world):
    sim, daemon = world("--rpd", "3", "--error_500_next", "3")
    run = enqueue(daemon, 30)
    wait_until(lambda: (found := daemon.run(run))["waiting"] and found["waiting"]["code"] == "quota_day", 30, "the run waits for the quota")
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 20, "nothing stays leased")
    before = sim.stats()["received"]
    end = time.monotonic() + 5
    wait_until(lambda: time.monotonic() > end, 10, "five seconds are over")
    assert sim.stats()["received"] - before <= 2  # the failures wait to be judged as long as the endpoint sleeps


def test_a_run_that_pauses_itself_is_told_once(world):
    sim, daemon = world("--error_400", "1")
    start = daemon.api("GET", "/v1/status").json["daemon"]["seq"]
    run = enqueue(daemon, 200, profile="adaptive")
    wait_until(lambda: daemon.run(run)["state"] == "paused", 20, "the run is paused")
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 20, "nothing stays leased")
    events = [e["type"] for e in daemon.api("GET", f"/v1/events?since={start}&follow=false").lines if e.get("run") == run]
    assert events.count("run_paused") == 1 and "run_resumed" not in events, events


def test_rows_that_wait_for_an_agent_leave_no_trail(world):
    sim, daemon = world()
    run = enqueue(daemon, 100, agents=[{"agent_id": "A0", "capacity": 1000, "available": False, "until": "2199-01-01T00:00:00Z"}])
    waiting = wait_until(lambda: daemon.run(run)["waiting"], 20, "the run waits")
    assert waiting["code"] == "no_places" and run in waiting["text"]
    end = time.monotonic() + 4
    wait_until(lambda: time.monotonic() > end, 10, "four seconds are over")
    assert count_of(daemon, "select count(*) from attempt") <= 100
    assert daemon.api("PATCH", f"/v1/pools/{run}/agents/A0", {"available": True}).status == 200
    assert daemon.wait_done(run)["counts"]["succeeded"] == 100


def test_rows_whose_agent_is_away_hold_up_nobody_else(world):
    sim, daemon = world()
    agents = [{"agent_id": "A0", "capacity": 1000, "available": False, "until": "2199-01-01T00:00:00Z", "attributes": {"region": "north"}},
              {"agent_id": "A1", "capacity": 1000, "attributes": {"region": "south"}}]
    run = daemon.create([(f"K{n:04}", {"region": "south" if n % 10 == 9 else "north"}) for n in range(1000)], agents, options={"match": ["region=region"]})
    wait_until(lambda: daemon.counts(run)["succeeded"] == 100, 20, lambda: f"the south is allocated: {daemon.counts(run)}")
    waiting = wait_until(lambda: (found := daemon.run(run))["waiting"] and found, 20, "the run waits")
    assert waiting["waiting"]["code"] == "no_places"
    end = time.monotonic() + 4
    wait_until(lambda: time.monotonic() > end, 10, "four seconds are over")
    assert count_of(daemon, "select count(*) from attempt") <= 2200
    assert daemon.api("PATCH", f"/v1/pools/{run}/agents/A0", {"available": True}).status == 200
    assert daemon.wait_done(run)["counts"]["succeeded"] == 1000


def test_a_test_without_a_key_leaves_no_lost_call(world):
    sim, daemon = world()
    daemon.key_file.unlink()
    daemon.restart()
    assert daemon.api("POST", "/v1/endpoints/gemini/test").json["class"] == "credentials"
    assert count_of(daemon, "select count(*) from call where state = 0") == 0
    daemon.kill()
    daemon.start()
    assert count_of(daemon, "select count(*) from call where class = 'lost' or state = 2") == 0


def test_a_test_within_a_block_does_not_end_the_sending(world):
    sim, daemon = world("--rpm", "10", "--quota_kind", "fixed", "--quota_phase", "first", "--time_scale", "0.1", endpoint="time_scale = 0.1")
    run = enqueue(daemon, 25)
    wait_until(lambda: (found := daemon.run(run))["waiting"] and found["waiting"]["code"] == "throttled", 30, "the run waits")
    sim.set(rpm=1000)
    assert daemon.api("POST", "/v1/endpoints/gemini/test").json["ok"]
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 25


def test_two_runs_on_one_ledger_ask_for_no_more_places_than_it_has(world):
    sim, daemon = world("--latency_ms", "400")
    daemon.api("PUT", "/v1/pools/north", {"agents": [{"agent_id": "A0", "capacity": 10}, {"agent_id": "A1", "capacity": 10}]})
    runs = []
    for name in ("first", "second"):
        created = daemon.api("POST", "/v1/runs", {"pool": "north", "name": name, "paused": True})
        assert created.status == 201, created
        runs.append(created.json["id"])
        part = "".join(json.dumps({"key": f"{name}{n}", "fields": {"n": n}, "row": n + 1}) + "\n" for n in range(20))
        assert daemon.api("PUT", f"/v1/runs/{runs[-1]}/parts/1", part, content_type="application/x-ndjson").status == 200
        assert daemon.api("POST", f"/v1/runs/{runs[-1]}/commit", {"parts": 1}).status == 200
    assert daemon.api("POST", "/v1/drain").status == 200  # so that both are seen in one turn
    for run in runs:
        assert daemon.api("POST", f"/v1/runs/{run}/resume").status == 200
    assert daemon.api("POST", "/v1/undrain").status == 200
    for run in runs:
        daemon.wait_done(run)
    assert sum(daemon.counts(run)["succeeded"] for run in runs) == 20
    record = [call for call in sim.record() if call.get("key")]
    edges = sorted([(call["arrival_ms"], 1) for call in record] + [(call["end_ms"], -1) for call in record])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    assert most <= 20, most
    assert all(daemon.run(run)["retries"]["agent_full"] == 0 for run in runs)


def test_an_outage_of_resets_spends_no_retry(world):
    sim, daemon = world("--latency_ms", "100")
    run = enqueue(daemon, 300)
    wait_until(lambda: daemon.counts(run)["succeeded"] > 30, 30, "some are allocated")
    sim.set(outage="reset")
    wait_until(lambda: (found := daemon.run(run))["waiting"] and found["waiting"]["code"] == "outage", 30, "the run waits")
    tests = daemon.api("GET", "/v1/endpoints/gemini").json["counts"]["test_calls"]
    wait_until(lambda: daemon.api("GET", "/v1/endpoints/gemini").json["counts"]["test_calls"] > tests + 1, 30, "a test request has failed")
    sim.set(outage="off")
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 300
    assert done["retries"]["transient"] > 0  # there were failures, and the failed tests dropped every one that was held
    assert count_of(daemon, "select sum(retries_spent) from assignment") == 0


def test_rejections_that_are_not_alike_do_not_pause_the_run(world):
    sim, daemon = world("--error_400_next", "4", "--error_413_next", "4")
    run = enqueue(daemon, 8, profile="sequential")
    done = daemon.wait_done(run)
    assert done["counts"]["failed"] == 8 and sim.stats()["received"] == 8


def test_runs_that_wait_take_no_slot_of_one_that_goes(world):
    sim, daemon = world("--latency_ms", "100", endpoint="max_in_flight = 4")
    away = [{"agent_id": "A0", "capacity": 10, "available": False, "until": "2199-01-01T00:00:00Z"}]
    for n in range(6):
        enqueue(daemon, 5, agents=away, name=f"waits{n}")
    run = enqueue(daemon, 20)
    assert daemon.wait_done(run, 20)["counts"]["succeeded"] == 20
    record = [call for call in sim.record() if call.get("key")]
    assert max(sum(1 for other in record if other["arrival_ms"] <= call["arrival_ms"] < other["end_ms"]) for call in record) == 4


def test_a_drain_cuts_what_outlasts_it_and_nothing_is_spent(world):
    sim, daemon = world("--latency_ms", "60000", settings='drain_timeout = "1s"')
    run = enqueue(daemon, 5)
    wait_until(lambda: sim.stats()["in_flight"] == 5, 20, "five calls are in flight")
    assert daemon.api("POST", "/v1/drain").status == 200
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 15, "the calls are cut")
    sim.set(latency_ms=10)
    assert daemon.api("POST", "/v1/undrain").status == 200
    done = daemon.wait_done(run, 60)
    assert done["counts"]["succeeded"] == 5 and done["retries"]["lost"] == 5
    assert count_of(daemon, "select sum(retries_spent) from assignment") == 0


def test_an_agent_of_the_pool_who_was_not_asked_for_is_no_answer(world):
    sim, daemon = world("--unknown_agent_next", "2")
    agents = [{"agent_id": "A0", "attributes": {"region": "north"}}, {"agent_id": "agent-of-no-pool", "attributes": {"region": "south"}}]  # the one that the simulator names
    run = enqueue(daemon, 2, agents=agents, options={"match": ["region=region"]})
    done = daemon.wait_done(run)
    assert done["retries"]["invalid_answer"] == 2
    assert [row["agent_id"] for row in daemon.results(run)] == ["A0", "A0"]


def test_a_success_that_was_sent_before_a_failure_confirms_nothing(world):
    sim, daemon = world("--latency_ms", "1500", "--poison_keys", "P", "--poison_kind", "reset_before")
    slow = daemon.create([("K", {"n": 1})], AGENTS)
    wait_until(lambda: sim.stats()["in_flight"] == 1, 20, "the slow call is in flight")
    sim.set(latency_ms=10)
    run = daemon.create([("P", {"n": 2})], AGENTS)
    calls = wait_until(lambda: len(found := [call for call in sim.record() if call.get("key") == "P"]) >= 2 and found, 30, "it is tried again")
    assert daemon.counts(slow)["succeeded"] == 1 and daemon.counts(run)["failed"] == 0
    assert calls[1]["arrival_ms"] - calls[0]["end_ms"] >= 1900  # held until the endpoint's own test request told


def test_an_answer_asked_for_again_keeps_its_slot_from_nobody(world):
    sim, daemon = world("--latency_ms", "1500", "--malformed_next", "1", endpoint="max_in_flight = 1")
    low = enqueue(daemon, 1)
    wait_until(lambda: sim.stats()["in_flight"] == 1, 20, "the only slot is taken")
    high = enqueue(daemon, 2, profile="sequential", options={"priority": 10})
    wait_until(lambda: daemon.run(high)["state"] == "running", 20, "a run of higher priority waits for it")
    sim.set(latency_ms=10)
    for run in (low, high):
        assert daemon.wait_done(run, 15)["counts"]["failed"] == 0
    assert daemon.run(low)["retries"]["invalid_answer"] == 1


def test_a_run_whose_waiting_row_was_cancelled_ends(world):
    sim, daemon = world("--poison_keys", "P", "--poison_kind", "error_400")
    agents = [{"agent_id": "A0", "capacity": 9, "available": False, "until": "2199-01-01T00:00:00Z", "attributes": {"region": "north"}},
              {"agent_id": "A1", "capacity": 9, "attributes": {"region": "south"}}]
    run = daemon.create([("K", {"region": "north"}), ("P", {"region": "south"})], agents, options={"match": ["region=region"]})
    wait_until(lambda: (daemon.run(run)["waiting"] or {}).get("code") == "no_places" and sim.stats()["received"] == 1, 20, "one waits for an agent, one is held")
    daemon.ctl("cancel", run, "--key", "K", "--yes")
    counts = daemon.wait_done(run, 10)["counts"]
    assert (counts["cancelled"], counts["failed"]) == (1, 1)
