"""The provider `openai`: the same runs, faults and quotas over chat completions, against gallocsim; and Gemini's own endpoint for that wire."""
import pytest

from harness import REGIONS, check_allocation, wait_until
from sim_client import MODEL

MODEL_SET = f'provider = "openai" model = "{MODEL}" time_scale = 0.02'


@pytest.fixture
def asked_of(make_daemon):
    """asked_of(sim, 'token_limit = max_tokens') gives a gallocd whose endpoint `mine` speaks chat completions to that simulator."""
    def make(sim, endpoint="", path="/v1", sections="", start=True):
        daemon = make_daemon("http://127.0.0.1:1")
        daemon.configure("http://127.0.0.1:1", 'default_endpoint = "mine"', sections=f"""
            endpoint "mine" {{ {MODEL_SET} base_url = "{sim.url}{path}" api_key_file = "{daemon.key_file}"
            {endpoint} }}
            {sections}""")
        return daemon.start() if start else daemon

    return make


def make_loans(count):
    return [(f"K{n:04}", {"region": REGIONS[n % 4], "status": "not paid" if n % 3 == 0 else "regular"}) for n in range(count)]


def make_agents(count, capacity):
    return [{"agent_id": f"A{n}", "capacity": capacity, "attributes": {"region": REGIONS[n % 4]}} for n in range(count)]


def endpoint(daemon, name="mine"):
    return daemon.api("GET", f"/v1/endpoints/{name}").json


def classes(daemon, run, key):
    return [attempt["class"] for attempt in daemon.api("GET", f"/v1/runs/{run}/assignments/{key}/attempts").json["items"]]


@pytest.mark.parametrize("path", ["", "/v1", "/v1/", "/v1beta/openai", "/v1/chat/completions"])
def test_a_run_is_allocated(make_sim, asked_of, path):
    sim = make_sim("--latency_ms", 5, "--thoughts_tokens", 30, "--cache_min_tokens", 10)
    daemon = asked_of(sim, path=path, sections=f'price "{MODEL}" {{ in = 1.0 cached_in = 0.1 out = 4.0 }}')
    loans, agents = make_loans(40), make_agents(5, 10)
    run = daemon.create(loans, agents)
    daemon.wait_done(run)
    results = daemon.results(run)
    check_allocation(results, [key for key, _ in loans], agents)
    assert all(row["model"] == MODEL for row in results)
    stats, told = sim.stats(), daemon.run(run)
    said = stats["tokens_out"] + stats["tokens_thought"]  # what was thought is billed as said, and once
    assert told["tokens"]["in"] == stats["tokens_in"] and told["tokens"]["out"] == stats["tokens_out"]
    assert stats["tokens_cached"] > 0
    exact = stats["tokens_in"] - stats["tokens_cached"] + stats["tokens_cached"] / 10 + 4 * said
    assert abs(told["cost"]["micros"] - exact) <= 40  # each call's is rounded


@pytest.mark.parametrize("settings", ["token_limit = max_tokens", "token_limit = none", "answer_format = json_object", "answer_format = text"])
def test_servers_that_know_less(make_sim, asked_of, settings):
    daemon = asked_of(make_sim(), settings)
    loans, agents = make_loans(10), make_agents(2, 10)
    run = daemon.create(loans, agents)
    daemon.wait_done(run)
    check_allocation(daemon.results(run), [key for key, _ in loans], agents)


@pytest.mark.parametrize("fault, seen", [
    ("error_500", ["transient", "succeeded"]), ("html_502", ["transient", "succeeded"]), ("html_503", ["unavailable", "succeeded"]),
    ("max_tokens", ["invalid_answer", "succeeded"]), ("max_tokens_empty", ["invalid_answer", "succeeded"]), ("empty", ["invalid_answer", "succeeded"]),
    ("malformed", ["invalid_answer", "succeeded"]), ("unknown_agent", ["invalid_answer", "succeeded"]), ("half_json", ["invalid_answer", "succeeded"]),
    ("odd_finish", ["invalid_answer", "succeeded"]), ("no_candidates", ["invalid_answer", "succeeded"]), ("error_429", ["throttled", "succeeded"]),
    ("array_429", ["throttled", "succeeded"]), ("capacity_429", ["unavailable", "succeeded"]), ("two_parts", ["succeeded"]), ("thought_first", ["succeeded"]),
    ("no_usage", ["succeeded"])])
def test_each_fault_is_waited_out(make_sim, asked_of, fault, seen):
    sim = make_sim()
    daemon = asked_of(sim)
    sim.set(**{f"{fault}_next": 1})
    run = daemon.create(make_loans(1), make_agents(1, 10))
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 1
    assert classes(daemon, run, daemon.results(run)[0]["key"]) == seen


@pytest.mark.parametrize("fault", ["safety", "blocked", "error_400"])
def test_what_the_model_will_not_do_fails_alone(make_sim, asked_of, fault):
    sim = make_sim()
    daemon = asked_of(sim)
    daemon.wait_done(daemon.create(make_loans(2), make_agents(1, 10)))
    sim.set(**{f"{fault}_next": 1})
    run = daemon.create(make_loans(3), make_agents(1, 10))
    daemon.wait_done(run)
    counts = daemon.counts(run)
    assert counts["succeeded"] == 2 and counts["failed"] == 1
    assert [row["error"]["code"] for row in daemon.results(run) if row.get("error")] == ["rejected"]


@pytest.mark.parametrize("fault, reason", [("error_401", "credentials"), ("error_402", "billing"), ("error_404", "config"), ("precondition", "config")])
def test_the_endpoint_goes_down_and_nothing_fails(make_sim, asked_of, fault, reason):
    sim = make_sim()
    daemon = asked_of(sim)
    sim.set(**{fault: 1.0})
    run = daemon.create(make_loans(8), make_agents(1, 10))
    wait_until(lambda: endpoint(daemon)["state"] == "down", what="the endpoint to go down")
    assert endpoint(daemon)["reason"] == reason and daemon.run(run)["reason"] == reason
    sim.set(**{fault: 0})
    daemon.ctl("endpoint", "resume", "mine")
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 8


@pytest.mark.parametrize("hints", ["full", "ra", "none"])
def test_a_quota_is_met_and_spends_nothing(make_sim, asked_of, hints):
    sim = make_sim("--rpm", 600, "--quota_kind", "fixed", "--hints", hints, "--time_scale", 0.02)
    daemon = asked_of(sim)
    run = daemon.create(make_loans(1500), make_agents(5, 1000))
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 1500
    assert daemon.run(run)["retries"]["transient"] == 0 and sim.stats()["by_kind"]["quota"] > 0


def test_a_days_quota_sleeps(make_sim, asked_of):
    sim = make_sim("--rpd", 5)
    daemon = asked_of(sim)
    run = daemon.create(make_loans(12), make_agents(1, 100))
    wait_until(lambda: (daemon.run(run)["waiting"] or {}).get("code") == "quota_day", what="the day's quota to be met")
    wait_until(lambda: daemon.counts(run)["leased"] == 0, what="the last answers")
    assert daemon.counts(run)["succeeded"] == 5 and daemon.counts(run)["failed"] == 0


def test_a_key_is_not_needed_and_its_lack_is_told_where_it_is(make_sim, make_daemon):
    sim = make_sim()
    daemon = make_daemon("http://127.0.0.1:1")
    daemon.configure("http://127.0.0.1:1", 'default_endpoint = "mine"', sections=f'endpoint "mine" {{ {MODEL_SET} base_url = "{sim.url}" }}')
    daemon.start()
    assert endpoint(daemon)["state"] == "up"
    run = daemon.create(make_loans(2), make_agents(1, 10))
    wait_until(lambda: daemon.run(run)["reason"] == "credentials", what="the server to want a key")


def test_its_own_test_request(make_sim, asked_of):
    sim = make_sim()
    daemon = asked_of(sim)
    told = daemon.api("POST", "/v1/endpoints/mine/test").json
    assert told["ok"] and told["class"] == "succeeded" and told["model"] == MODEL and sim.stats()["by_kind"]["ok"] == 1
    sim.set(outage="503")
    assert daemon.api("POST", "/v1/endpoints/mine/test").json["class"] == "unavailable"
