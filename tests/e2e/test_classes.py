"""Each class of outcome, shown by what it costs an assignment: retries, waiting, calls. A test fails when its class's rule is broken."""
import re
import shlex

import pytest
from harness import check_allocation, make_agents, make_loans, wait_until


def enqueue(daemon, count=20, agents=None, **members):
    agents = agents or [{"agent_id": f"A{n}", "capacity": count, "attributes": {"region": "north"}} for n in range(3)]
    return daemon.create([(f"K{n:04}", {"region": "north", "n": n}) for n in range(count)], agents, **members)


def attempts(daemon, run, key):
    return daemon.api("GET", f"/v1/runs/{run}/assignments/{key}/attempts").json["items"]


def classes(daemon, run, key):
    return [attempt["class"] for attempt in attempts(daemon, run, key)]


def failed(daemon, run):
    return {row["key"]: row["error"]["code"] for row in daemon.results(run) if row.get("error")}


def test_succeeded(world):
    sim, daemon = world()
    run = enqueue(daemon, 50)
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 50 and done["counts"]["failed"] == 0
    assert all(classes(daemon, run, f"K{n:04}") == ["succeeded"] for n in range(0, 50, 7))
    assert sim.stats()["received"] == 50
    assert done["tokens"]["in"] > 0 and done["tokens"]["out"] > 0


def test_invalid_answer_has_a_budget_of_its_own(world):
    sim, daemon = world("--malformed", "1")
    run = enqueue(daemon, 6)
    done = daemon.wait_done(run)
    assert done["counts"]["failed"] == 6
    assert failed(daemon, run) == {f"K{n:04}": "invalid_answer" for n in range(6)}
    assert classes(daemon, run, "K0003") == ["invalid_answer"] * 5  # the first and four re-asks
    assert done["retries"]["transient"] == 0


@pytest.mark.parametrize("fault", ["malformed", "wrong_shape", "unknown_agent", "empty", "no_candidates", "max_tokens", "max_tokens_empty", "half_json", "odd_finish"])
def test_an_answer_that_is_not_valid_is_asked_again(world, fault):
    sim, daemon = world(f"--{fault}_next", "3")
    run = enqueue(daemon, 10)
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 10, done
    assert sim.stats()["received"] == 13
    assert done["retries"]["invalid_answer"] == 3


@pytest.mark.parametrize("fault", ["error_500", "error_504", "reset_before", "reset_after", "short_body"])
def test_transient_spends_a_retry_once_confirmed(world, fault):
    sim, daemon = world("--poison_keys", "K0005", "--poison_kind", fault)
    run = enqueue(daemon, 30)
    done = daemon.wait_done(run, 180)
    assert failed(daemon, run) == {"K0005": "transient"}
    assert done["counts"]["succeeded"] == 29
    ways = classes(daemon, run, "K0005")
    assert ways.count("transient") == 4, ways  # the first, and max_retries 3
    assert len(ways) - 4 == ways.count("lost") <= 1, ways  # a reused connection that died told nothing; the retries went over new ones


def test_a_single_500_fails_nobody(world):
    sim, daemon = world("--error_500_next", "3")
    run = enqueue(daemon, 30)
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 30
    assert done["retries"]["transient"] == 3


def test_throttled_spends_nothing(world):
    sim, daemon = world("--rpm", "60", "--quota_kind", "bucket", "--burst", "10", "--time_scale", "0.05", endpoint="time_scale = 0.05")
    run = enqueue(daemon, 60)
    done = daemon.wait_done(run, 180)
    assert done["counts"]["succeeded"] == 60 and done["retries"]["transient"] == 0
    assert done["retries"]["throttled"] > 0
    # a share of calls is refused until the rate is found, not most of them
    assert sim.stats()["received"] < 60 + 60


def test_a_hint_is_waited_for_by_every_profile(world):
    sim, daemon = world("--rpm", "20", "--quota_kind", "fixed", "--quota_phase", "first", "--time_scale", "0.05", endpoint="time_scale = 0.05")
    run = enqueue(daemon, 45, profile="balanced")
    done = daemon.wait_done(run, 180)
    assert done["counts"]["succeeded"] == 45
    refused = sim.stats()["received"] - 45
    assert refused <= 5 * 5, refused  # a batch of five at most meets each of the windows


def test_quota_of_a_day_sleeps_and_says_until_when(world):
    sim, daemon = world("--rpd", "10", "--hints", "lie")
    run = enqueue(daemon, 30)
    waiting = wait_until(lambda: (found := daemon.run(run))["waiting"] and found, 30, "the run waits")
    assert waiting["waiting"]["code"] == "quota_day" and waiting["waiting"]["until"]
    assert "midnight Pacific" in waiting["waiting"]["text"] and not re.search(r"\d\d:\d\d", waiting["waiting"]["text"])  # when is told beside it
    assert waiting["state"] == "running" and waiting["counts"]["failed"] == 0
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 20, "nothing stays leased")
    before = sim.stats()["received"]
    sim.set(rpd=1000)
    assert daemon.api("POST", "/v1/endpoints/gemini/resume").status == 200
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 30 and done["retries"]["transient"] == 0
    assert before <= 10 + 64


@pytest.mark.parametrize("kind", ["503", "reset", "refuse"])
def test_an_outage_fails_nobody(world, kind):
    sim, daemon = world("--latency_ms", "100")
    run = enqueue(daemon, 400)
    wait_until(lambda: daemon.counts(run)["succeeded"] > 50, 30, "some are allocated")
    sim.set(outage=kind, outage_ms=4000 if kind == "refuse" else 0)  # a refused address cannot be asked to listen again
    waiting = wait_until(lambda: (found := daemon.run(run))["waiting"] and found, 30, "the run waits")
    assert waiting["waiting"]["code"] == "outage" and waiting["eta"] is None
    assert not re.search(r"\d\d:\d\d", waiting["waiting"]["text"])
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 30, "nothing stays leased")
    if kind != "refuse":
        sim.set(outage="off")
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 400 and done["counts"]["failed"] == 0, done


def test_wrong_key_takes_the_endpoint_down_until_resumed(world):
    sim, daemon = world("--api_key", "AQ.another-key")
    run = enqueue(daemon, 20)
    paused = wait_until(lambda: (found := daemon.run(run))["state"] == "paused" and found, 20, "the run is shown as paused")
    assert paused["reason"] == "credentials" and paused["counts"]["failed"] == 0
    endpoint = daemon.api("GET", "/v1/endpoints/gemini").json
    assert endpoint["state"] == "down" and endpoint["reason"] == "credentials"
    assert endpoint["text"].count("then: gallocctl endpoint resume gemini") == 1 and ".;" not in endpoint["text"]
    assert sim.stats()["received"] <= 64
    daemon.set_key("not a key: it has blanks")
    refused = daemon.api("POST", "/v1/endpoints/gemini/resume")
    assert refused.status >= 400 and "key" in refused.json["detail"]
    daemon.set_key("AQ.another-key")
    assert daemon.api("POST", "/v1/endpoints/gemini/resume").status == 200
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 20 and done["retries"]["transient"] == 0


def test_missing_key_tells_one_next_step(world):
    _, daemon = world()
    daemon.stop()
    daemon.key_file.unlink()
    daemon.start()
    endpoint = daemon.api("GET", "/v1/endpoints/gemini").json
    assert endpoint["state"] == "down" and str(daemon.key_file) in endpoint["text"]
    assert endpoint["text"].count("then: ") == 1, endpoint["text"]


@pytest.mark.parametrize("fault, reason", [("error_402", "billing"), ("error_404", "config"), ("error_401", "credentials"), ("error_403", "credentials"),
                                           ("precondition", "billing"), ("error_501", "config")])
def test_what_a_person_has_to_mend_pauses_and_spends_nothing(world, fault, reason):
    sim, daemon = world(f"--{fault}", "1")
    run = enqueue(daemon, 20)
    paused = wait_until(lambda: (found := daemon.run(run))["state"] == "paused" and found, 20, "the run is shown as paused")
    assert paused["reason"] == reason
    sim.set(**{fault: 0})
    daemon.api("POST", "/v1/endpoints/gemini/resume")
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 20, done


def test_rejected_is_final_once_the_run_has_a_success(world):
    sim, daemon = world("--poison_keys", "K0019", "--poison_kind", "blocked")
    run = enqueue(daemon, 20, profile="sequential")
    done = daemon.wait_done(run)
    assert failed(daemon, run) == {"K0019": "rejected"}
    assert classes(daemon, run, "K0019") == ["rejected"]


def test_rejected_before_any_success_pauses_the_run_after_five_alike(world):
    sim, daemon = world("--error_400", "1")
    run = enqueue(daemon, 20, profile="sequential")
    paused = wait_until(lambda: (found := daemon.run(run))["state"] == "paused" and found, 20, "the run is paused")
    assert paused["reason"] == "rejected" and paused["counts"]["failed"] == 0
    assert sim.stats()["received"] == 5
    sim.set(error_400=0)
    assert daemon.api("POST", f"/v1/runs/{run}/resume").status == 200
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 20  # those held were due again


def test_all_rejected_fail_when_nothing_else_is_left(world):
    sim, daemon = world("--error_400", "1")
    run = enqueue(daemon, 3)
    done = daemon.wait_done(run)
    assert done["counts"]["failed"] == 3 and set(failed(daemon, run).values()) == {"rejected"}


def test_agent_full_is_asked_again_and_capacity_holds(world):
    sim, daemon = world("--latency_ms", "50")
    loans, agents = make_loans(120), make_agents(12, 10)
    run = daemon.create([(loan["lan"], loan) for loan in loans],
                        [{"agent_id": a["agent_id"], "capacity": 10, "attributes": {"region": a["region"], "speciality": a["speciality"]}} for a in agents])
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 120, done
    check_allocation(daemon.results(run), [loan["lan"] for loan in loans], agents)


def test_no_capacity_when_every_place_is_taken(world):
    sim, daemon = world()
    run = enqueue(daemon, 25, agents=[{"agent_id": "A0", "capacity": 10}, {"agent_id": "A1", "capacity": 5}])
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 15 and done["counts"]["failed"] == 10
    assert set(failed(daemon, run).values()) == {"no_capacity"}


def test_no_candidate_without_a_call(world):
    sim, daemon = world()
    agents = [{"agent_id": "A0", "attributes": {"region": "south"}}, {"agent_id": "A1", "attributes": {"region": ["east", "west"]}}]
    run = daemon.create([("K0000", {"region": "north"}), ("K0001", {"region": "east"}), ("K0002", {"region": "south"})], agents,
                        options={"match": ["region=region"]})
    done = daemon.wait_done(run)
    assert failed(daemon, run) == {"K0000": "no_candidate"}
    assert {row["key"]: row["agent_id"] for row in daemon.results(run) if not row.get("error")} == {"K0001": "A1", "K0002": "A0"}
    assert sim.stats()["received"] == 2
    assert done["counts"]["succeeded"] == 2


def test_an_agent_away_until_a_date_is_waited_for(world):
    sim, daemon = world()
    run = enqueue(daemon, 5, agents=[{"agent_id": "A0", "capacity": 10, "available": False, "until": "2199-01-01T00:00:00Z"}])
    waiting = wait_until(lambda: (found := daemon.run(run))["waiting"] and found, 20, "the run waits")
    assert waiting["waiting"]["code"] == "no_places" and waiting["counts"]["failed"] == 0
    assert daemon.api("PATCH", f"/v1/pools/{run}/agents/A0", {"available": True}).status == 200
    assert daemon.wait_done(run)["counts"]["succeeded"] == 5
    assert sim.stats()["received"] == 5


def test_lost_when_a_reused_connection_dies_and_nobody_repeats_the_post(world):
    sim, daemon = world("--drop_reused", "0.2")
    run = enqueue(daemon, 200)
    done = daemon.wait_done(run, 180)
    assert done["counts"]["succeeded"] == 200 and done["counts"]["failed"] == 0
    assert done["retries"]["lost"] > 0
    recorded = sum(len(attempts(daemon, run, f"K{n:04}")) for n in range(200))
    assert sim.stats()["received"] <= recorded  # a repeat behind our back would be one more


def test_expired(world):
    sim, daemon = world("--outage", "503")
    run = enqueue(daemon, 10, options={"max_age_ms": 3000})
    done = daemon.wait_done(run, 60)
    assert set(failed(daemon, run).values()) == {"expired"} and done["counts"]["failed"] == 10


def test_a_field_that_the_template_needs_and_the_row_lacks(world):
    sim, daemon = world()
    template = "Allocate.\n{{roster}}\n--- user\nCity: {{city}}\n{{assignment}}\n{{loads}}\n"
    run = daemon.create([("K0000", {"city": "Brno"}), ("K0001", {"town": "Brno"})], [{"agent_id": "A0"}], template=template)
    daemon.wait_done(run)
    assert failed(daemon, run) == {"K0001": "template"}
    assert sim.stats()["received"] == 1


def test_a_cancelled_answer_is_paid_recorded_and_dropped(world):
    sim, daemon = world("--latency_ms", "1500")
    run = enqueue(daemon, 10)
    wait_until(lambda: sim.stats()["in_flight"] == 10, 20, "ten calls are in flight")
    assert daemon.api("POST", f"/v1/runs/{run}/cancel", {"all": True}).json["changed"] == 10
    wait_until(lambda: classes(daemon, run, "K0000") == ["dropped"], 20, "the answer is recorded")
    found = daemon.run(run)
    assert found["state"] == "cancelled" and found["counts"]["cancelled"] == 10 and found["counts"]["succeeded"] == 0
    assert found["tokens"]["in"] > 0


def test_what_the_model_said_is_kept_of_an_answer_that_was_not_valid(world):
    sim, daemon = world("--malformed_next", "1")
    run = enqueue(daemon, 1)
    daemon.wait_done(run)
    first, second = daemon.api("GET", f"/v1/runs/{run}/assignments/K0000/attempts?raw=1").json["items"]
    assert first["class"] == "invalid_answer" and first["raw"]
    assert second["class"] == "succeeded" and second["raw"] is None


def test_an_answer_without_its_usage_is_of_unknown_cost(world):
    sim, daemon = world("--no_usage_next", "3", sections='price "gemini-*" { in = 1  out = 2 }\n')
    run = enqueue(daemon, 10)
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 10 and done["retries"]["invalid_answer"] == 0
    assert done["cost"]["unknown_calls"] == 3 and done["cost"]["micros"] > 0 and done["cost"]["projected_micros"] is None
    rows = daemon.results(run)
    known = [row["tokens_in"] for row in rows if row["tokens_in"] is not None]
    assert len(known) == 7 and sum(known) == done["tokens"]["in"]
    assert f"at least {done['cost']['micros'] / 1e6:.6f} USD (3 calls came without their usage or had no price)" in daemon.ctl("status", run).stdout
    endpoint = daemon.api("GET", "/v1/endpoints/gemini").json
    assert endpoint["cost"]["unknown_calls"] == 3 and endpoint["cost"]["micros"] == done["cost"]["micros"]
    assert 'galloc_cost_unknown_calls_total{endpoint="gemini"} 3' in daemon.api("GET", "/metrics").body


def test_what_is_unknown_of_all_calls_is_not_zero(world):
    sim, daemon = world("--no_usage", "1", sections='price "gemini-*" { in = 1  out = 2 }\n')
    run = enqueue(daemon, 3)
    done = daemon.wait_done(run)
    assert done["cost"]["micros"] is None and done["cost"]["unknown_calls"] == 3
    assert daemon.api("GET", "/v1/endpoints/gemini").json["cost"]["micros"] is None
    assert "unknown (3 calls came without their usage" in daemon.ctl("status", run).stdout


def test_what_is_to_be_pasted_takes_a_key_as_it_is(world):
    key = "it's $(reboot) 1"
    sim, daemon = world("--poison_keys", key, "--poison_kind", "error_429", endpoint="time_scale = 0.02\nmax_in_flight = 1")
    run = daemon.create([(key, {"region": "north"})], [{"agent_id": "A0", "capacity": 1, "attributes": {}}])
    told = wait_until(lambda: "in a row" in ((daemon.run(run)["waiting"] or {}).get("text") or "") and daemon.run(run), what="the status says that it is refused")
    words = shlex.split(told["waiting"]["text"].split("to give it up: ")[1])
    assert words == ["gallocctl", "cancel", run, "--key", key]


def test_who_alone_is_refused_for_ever_holds_up_nobody_and_is_named(world):
    sim, daemon = world("--poison_keys", "K0003", "--poison_kind", "error_429", endpoint="time_scale = 0.02\nmax_in_flight = 1")
    run = enqueue(daemon, 20)
    told = wait_until(lambda: "in a row" in ((daemon.run(run)["waiting"] or {}).get("text") or "") and daemon.run(run), what="the status says that it is refused")
    assert told["counts"]["succeeded"] == 19 and told["counts"]["failed"] == 0 and told["retries"]["spent"] == 0
    assert told["state"] == "running" and told["waiting"]["code"] == "throttled" and told["eta"] is None  # nobody knows
    since = attempts(daemon, run, "K0003")[0]["ended_at"]
    assert since[:16] in told["waiting"]["text"] and f"gallocctl cancel {run} --key K0003" in told["waiting"]["text"]
    called = [call["key"] for call in sim.record()]
    assert called[:21].count("K0003") == 2, called  # refused again, it lets the others go first
    assert set(classes(daemon, run, "K0003")) - {"open"} == {"throttled"}  # the next may be leased
    daemon.ctl("cancel", run, "--key", "K0003")
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 19 and done["counts"]["cancelled"] == 1
