"""Several endpoints in order: when a run goes on to the next, when it comes back, and what it says of that."""
import pytest

from harness import wait_until
from sim_client import MODEL
from test_provider_openai import make_agents, make_loans


@pytest.fixture
def ladder(make_daemon, make_sim):
    """ladder(2, "--rpd", 5) gives ([sims], daemon): endpoints a, b, … of both providers in turn, the first simulator with these settings."""
    def make(count, *settings, endpoint="time_scale = 0.02"):
        sims = [make_sim(*(settings if n == 0 else ())) for n in range(count)]
        daemon = make_daemon("http://127.0.0.1:1")
        sections = ""
        for n, sim in enumerate(sims):
            provider = f'provider = "openai" model = "{MODEL}"' if n % 2 else ""
            key = daemon.folder / f"key-{n}"
            key.touch(0o600)
            key.write_text("K\n")
            sections += f'endpoint "{"abc"[n]}" {{ {provider} base_url = "{sim.url}" api_key_file = "{key}" {endpoint} }}\n'
        daemon.configure("http://127.0.0.1:1", 'default_endpoint = "a"', sections=sections)
        return sims, daemon.start()

    return make


def on(daemon, run):
    return daemon.run(run)["endpoint"]


def rung(daemon, run, name):
    return next(item for item in daemon.run(run)["endpoints"] if item["name"] == name)


def deciders(daemon, run):
    return [daemon.api("GET", f"/v1/runs/{run}/assignments/{row['key']}/attempts").json["items"][-1]["endpoint"] for row in daemon.results(run)]


def moves(daemon, run):
    log = [line for line in daemon.log.splitlines() if " run_endpoint " in line and run in line]
    return [(line.split("from=")[1].split()[0], line.split("endpoint=")[1].split()[0], line.split("reason=")[1].split()[0]) for line in log]


def test_a_days_quota_moves_the_run(ladder):
    (a, b), daemon = ladder(2, "--rpd", 5)
    run = daemon.create(make_loans(20), make_agents(3, 10), endpoint="a,b")
    daemon.wait_done(run)
    told = deciders(daemon, run)
    assert told.count("a") == 5 and told.count("b") == 15  # an attempt tells which endpoint decided
    assert daemon.counts(run)["succeeded"] == 20 and daemon.run(run)["retries"]["transient"] == 0
    assert moves(daemon, run)[0] == ("a", "b", "quota_day")
    assert "b: on it since" in daemon.ctl("status", run).stdout and "the day's quota is used up" in daemon.ctl("status", run).stdout


def test_a_days_budget_moves_the_run_until_it_is_raised(ladder):
    (a, b), daemon = ladder(2, endpoint="max_output_tokens = 64 max_in_flight = 2")
    daemon.config.write_text(daemon.config.read_text() + f'price "{MODEL}" {{ currency = "USD" in = 1 cached_in = 1 out = 2 }}\n')
    daemon.restart()
    daemon.ctl("endpoint", "set", "a", "max_cost_per_day=0.01")
    b.set(latency_ms=100, workers=1)
    run = daemon.create(make_loans(200), make_agents(3, 200), endpoint="a,b")
    wait_until(lambda: on(daemon, run) == "b", what="the run to move")
    assert "day's budget of a is used up" in rung(daemon, run, "a")["text"] and "day's budget of a" in daemon.ctl("endpoint", "show", "a").stdout
    count = daemon.counts(run)["succeeded"]
    wait_until(lambda: daemon.counts(run)["succeeded"] > count + 15, what="b to go on")
    told = deciders(daemon, run)
    assert 0 < told.count("a") and on(daemon, run) == "b" and moves(daemon, run) == [("a", "b", "quota_day")]
    daemon.ctl("endpoint", "set", "a", "max_cost_per_day=10")
    wait_until(lambda: on(daemon, run) == "a", what="the run to come back")
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 200


@pytest.mark.parametrize("fault, code", [("error_401", "credentials"), ("error_402", "billing"), ("error_404", "config")])
def test_an_endpoint_that_is_down_moves_the_run_and_resume_brings_it_back(ladder, fault, code):
    (a, b), daemon = ladder(2)
    a.set(**{fault: 1.0})
    b.set(latency_ms=100, workers=1)
    run = daemon.create(make_loans(300), make_agents(3, 200), endpoint="a,b")
    wait_until(lambda: on(daemon, run) == "b", what="the run to move")
    assert daemon.run(run)["state"] == "running" and rung(daemon, run, "a")["reason"] == code and rung(daemon, run, "b")["reason"] is None
    wait_until(lambda: daemon.counts(run)["succeeded"] > 0, what="b to decide")
    a.set(**{fault: 0})
    daemon.ctl("endpoint", "resume", "a")
    wait_until(lambda: on(daemon, run) == "a", what="the run to come back")
    daemon.wait_done(run)
    assert set(deciders(daemon, run)) == {"a", "b"} and daemon.counts(run)["failed"] == 0
    assert moves(daemon, run) == [("a", "b", code), ("b", "a", "well")]


def test_an_outage_that_lasts_moves_the_run_and_a_test_request_brings_it_back(ladder):
    (a, b), daemon = ladder(2, endpoint="time_scale = 0.1")  # 30 s of an outage are 3
    a.set(outage="503")
    b.set(latency_ms=100, workers=1)
    run = daemon.create(make_loans(400), make_agents(3, 200), endpoint="a,b")
    wait_until(lambda: on(daemon, run) == "b", what="the run to move")
    assert rung(daemon, run, "a")["reason"] == "unavailable"
    a.set(outage="off")
    wait_until(lambda: on(daemon, run) == "a", 60, what="the run to come back")
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 400 and daemon.run(run)["retries"]["spent"] == 0


def test_a_days_quota_that_is_back_is_found_out_by_a_test_request(ladder):
    (a, b), daemon = ladder(2, "--rpd", 3)
    b.set(latency_ms=200, workers=1)
    run = daemon.create(make_loans(200), make_agents(3, 100), endpoint="a,b")
    wait_until(lambda: on(daemon, run) == "b", what="the run to move")
    a.set(rpd="none")
    wait_until(lambda: on(daemon, run) == "a", 60, what="the run to come back")
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 200


@pytest.mark.parametrize("fault, code", [("safety", "rejected"), ("malformed", "invalid_answer")])
def test_what_is_the_assignments_own_moves_nobody(ladder, fault, code):
    (a, b), daemon = ladder(2)
    daemon.wait_done(daemon.create(make_loans(2), make_agents(1, 10), endpoint="a,b"))
    a.set(poison_keys="K0001", poison_kind=fault)
    run = daemon.create(make_loans(4), make_agents(1, 10), endpoint="a,b")
    daemon.wait_done(run)
    assert [row["error"]["code"] for row in daemon.results(run) if row.get("error")] == [code]
    assert moves(daemon, run) == [] and b.stats()["calls"] == 0


def test_a_minutes_quota_is_waited_out(ladder):
    (a, b), daemon = ladder(2, "--rpm", 300, "--quota_kind", "fixed", "--time_scale", 0.02)
    run = daemon.create(make_loans(700), make_agents(3, 300), endpoint="a,b")
    daemon.wait_done(run)
    assert moves(daemon, run) == [] and b.stats()["calls"] == 0


def test_none_is_well(ladder):
    (a, b, c), daemon = ladder(3, "--rpd", 2)
    b.set(error_401=1.0)
    c.set(error_402=1.0)
    run = daemon.create(make_loans(10), make_agents(3, 100), endpoint="c,b,a")
    wait_until(lambda: on(daemon, run) == "a" and (daemon.run(run)["waiting"] or {}).get("code") == "quota_day", what="the one that comes back by itself")
    b.set(error_401=0)
    daemon.ctl("endpoint", "resume", "b")
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 10 and daemon.counts(run)["failed"] == 0


def test_it_survives_a_kill(ladder):
    (a, b), daemon = ladder(2)
    a.set(error_402=1.0)
    b.set(latency_ms=100, workers=1)
    run = daemon.create(make_loans(200), make_agents(3, 100), endpoint="a,b")
    wait_until(lambda: on(daemon, run) == "b", what="the run to move")
    daemon.kill()
    before = a.stats()["calls"]
    daemon.start()
    assert on(daemon, run) == "b"
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 200 and a.stats()["calls"] == before  # it was known to refuse: not one call went there


def test_what_was_paid_is_told_from_an_endpoint_without_a_price(ladder):
    (a, b), daemon = ladder(2, "--rpd", 5)
    daemon.ctl("endpoint", "set", "a", "price_in=1", "price_out=2")
    run = daemon.create(make_loans(20), make_agents(3, 10), endpoint="a,b")
    daemon.wait_done(run)
    cost = daemon.run(run)["cost"]
    assert on(daemon, run) == "b" and cost["currency"] == "USD" and cost["micros"] > 0 and cost["unknown_calls"] == 15
    assert "costs       at least 0." in daemon.ctl("status", run).stdout


def test_set(ladder):
    (a, b, c), daemon = ladder(3)
    b.set(error_401=1.0)
    run = daemon.create(make_loans(10), make_agents(3, 100), endpoint="b")
    wait_until(lambda: daemon.run(run)["reason"] == "credentials", what="b to go down")
    assert daemon.run(run)["endpoints"] is None
    told = daemon.ctl("set", run, "endpoint=b,c").stdout
    assert "endpoint c" in told and told.endswith(", set endpoint=b,c\n")
    daemon.wait_done(run)
    assert set(deciders(daemon, run)) == {"c"}


def test_fair_shares_hold_on_the_next_endpoint(ladder):
    (a, b), daemon = ladder(2)
    a.set(error_402=1.0)
    b.set(latency_ms=50, workers=4)
    first = daemon.create(make_loans(300), make_agents(3, 300), endpoint="b")
    wait_until(lambda: daemon.counts(first)["succeeded"] > 60, what="the other run to be under way")
    second = daemon.create(make_loans(200), make_agents(3, 300), endpoint="a,b")
    wait_until(lambda: daemon.counts(second)["succeeded"] > 40, what="the second run to get its share")
    assert daemon.counts(first)["succeeded"] < 300
    daemon.wait_done(first)
    daemon.wait_done(second)


@pytest.mark.parametrize("endpoint, status, words", [
    ("a,nobody", 404, 'there is no endpoint \\"nobody\\"'), ("a,b,a", 400, "named twice"), ("a,workers", 400, "cannot stand among others"), ("a,,b", 400, "empty name"),
    ("a,B", 404, 'did you mean \\"b\\"')])
def test_what_cannot_be(ladder, endpoint, status, words):
    _, daemon = ladder(2)
    answer = daemon.api("POST", "/v1/runs", {"agents": make_agents(1, 1), "endpoint": endpoint})
    assert answer.status == status and words in answer.body, answer
    run = daemon.create(make_loans(1), make_agents(1, 1), paused=True)
    assert daemon.api("PATCH", f"/v1/runs/{run}", {"endpoint": endpoint}).status == status


def test_a_service_without_a_test_comes_last(make_daemon, make_sim):
    sim = make_sim()
    daemon = make_daemon(sim.url, sections='endpoint "mine" { provider = "http" base_url = "http://127.0.0.1:1/x" }').start()
    answer = daemon.api("POST", "/v1/runs", {"agents": make_agents(1, 1), "endpoint": "mine,gemini"})
    assert answer.status == 400 and "mine has no test request" in answer.body
    assert daemon.api("POST", "/v1/runs", {"agents": make_agents(1, 1), "endpoint": "gemini,mine"}).status == 201
