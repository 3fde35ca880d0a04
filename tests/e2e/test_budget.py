"""Budgets: of a run (--max-cost) and of an endpoint's day. What calls may cost at most is reserved before they are sent; the stand-in's own counts say what was spent."""
import json

import pytest
from harness import wait_until

AGENTS = [{"agent_id": f"A{n}"} for n in range(3)]
# A micro a token in, two a token out: the stand-in's counts are money without rounding.
PRICE = 'price "gemini-3.8-flash" { currency = "USD"  in = 1  cached_in = 1  out = 2 }'
NO_PRICES = 'prices_file = ""'
SMALL = "max_output_tokens = 64"


def rows(count, text="x" * 100):
    return [(f"K{n:04}", {"text": text}) for n in range(count)]


def spent(sim):
    stats = sim.stats()
    return stats["tokens_in"] + 2 * (stats["tokens_out"] + stats["tokens_thought"])


def amount(micros):
    return f"{micros / 1e6:.6f}"


def enqueue(daemon, count, **options):
    return daemon.create(rows(count), AGENTS, options=options)


def paused(daemon, run):
    return wait_until(lambda: (found := daemon.run(run))["reason"] == "budget" and found, 60, lambda: f"the run pauses: {json.dumps(daemon.run(run))[:1500]}")


def test_a_run_pauses_before_its_budget_is_passed(world):
    sim, daemon = world(sections=PRICE, endpoint=SMALL + "\n  max_in_flight = 64")
    run = enqueue(daemon, 400, max_cost=amount(100_000))
    found = paused(daemon, run)
    wait_until(lambda: sim.stats()["in_flight"] == 0, 20, "the stand-in is quiet")
    cost = daemon.run(run)["cost"]
    assert spent(sim) == cost["micros"] <= 100_000 and cost["reserved_micros"] == 0 and cost["max_micros"] == 100_000, cost
    assert cost["micros"] > 95_000, "it pauses when one more does not fit, and not before"
    assert found["state"] == "paused" and "max_cost is 0.10 USD" in found["text"] and f"gallocctl set {run} max_cost=0.1" in found["text"], found["text"]
    assert found["counts"]["succeeded"] > 0 and found["counts"]["pending"] > 0
    daemon.ctl("resume", run)  # nothing has changed: it pauses again, and nothing is sent
    before = sim.stats()["received"]
    paused(daemon, run)
    assert sim.stats()["received"] == before
    daemon.ctl("set", run, f"max_cost={amount(200_000)}")  # goes on by itself
    wait_until(lambda: daemon.run(run)["cost"]["micros"] > 190_000, 60, "it spends the rest")
    assert spent(sim) <= 200_000
    paused(daemon, run)
    daemon.ctl("set", run, "max_cost=none")
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 400 and done["cost"]["max_micros"] is None and done["cost"]["micros"] == spent(sim)
    assert daemon.ctl("doctor", "--full").returncode == 0
    changes = [row for row in daemon.api("GET", "/v1/audit").json["items"] if row["action"] == "run_set"]
    assert changes[0]["before"]["max_cost"] == "0.20" and changes[0]["after"]["max_cost"] == "", changes[0]


def test_re_asks_and_pieces_are_of_the_budget_too(world):
    sim, daemon = world("--malformed", 0.3, "--max_tokens", 0.1, "--continuation", 0.1, "--thoughts_tokens", 5, sections=PRICE, endpoint=SMALL)
    run = enqueue(daemon, 300, max_cost=amount(80_000))
    paused(daemon, run)
    wait_until(lambda: sim.stats()["in_flight"] == 0, 20, "the stand-in is quiet")
    assert spent(sim) == daemon.run(run)["cost"]["micros"] <= 80_000
    assert daemon.ctl("doctor", "--full").returncode == 0


def test_calls_whose_end_is_unknown_stay_reserved_over_a_kill(world):
    sim, daemon = world("--latency_ms", "60000", sections=PRICE, endpoint=SMALL + "\n  max_in_flight = 8")
    run = enqueue(daemon, 40, max_cost=amount(25_000))
    wait_until(lambda: sim.stats()["in_flight"] > 0, 20, "calls are under way")
    wait_until(lambda: daemon.run(run)["cost"]["reserved_micros"] > 0, 20, "their money is reserved")
    reserved, calls = daemon.run(run)["cost"]["reserved_micros"], sim.stats()["in_flight"]
    daemon.kill()
    sim.set(latency_ms=10)
    daemon.start()
    found = paused(daemon, run)
    cost = found["cost"]
    assert cost["reserved_micros"] >= reserved > 0 and found["retries"]["lost"] >= calls, (cost, reserved)
    assert cost["micros"] + cost["reserved_micros"] <= 25_000, cost
    assert "kept for calls whose end is not known" in found["text"], found["text"]
    assert daemon.ctl("doctor", "--full").returncode == 0
    shown = daemon.ctl("status", run).stdout
    assert "; at most 0.0250 USD, of which 0.0" in shown and "are reserved" in shown, shown
    assert spent(sim) <= 25_000


def test_a_budget_that_is_set_while_calls_are_under_way_counts_them(world):
    sim, daemon = world("--latency_ms", "60000", sections=PRICE, endpoint=SMALL + "\n  max_in_flight = 4")
    run = enqueue(daemon, 10)
    wait_until(lambda: sim.stats()["in_flight"] > 0, 20, "calls are under way")
    assert daemon.run(run)["cost"]["reserved_micros"] == 0
    daemon.ctl("set", run, "max_cost=0.5")
    wait_until(lambda: daemon.run(run)["cost"]["reserved_micros"] > 0, 20, "they are covered")


def test_an_endpoints_day_holds_all_its_runs_until_the_next(world):
    sim, daemon = world(sections=PRICE, endpoint=SMALL + "\n  max_cost_per_day = 0.05")
    run = enqueue(daemon, 300)
    found = wait_until(lambda: (found := daemon.run(run))["waiting"] and found["waiting"]["code"] == "budget" and found, 60, lambda: f"{daemon.run(run)}")
    assert found["state"] == "running" and "max_cost_per_day is 0.05 USD" in found["waiting"]["text"] and found["waiting"]["until"], found["waiting"]
    wait_until(lambda: sim.stats()["in_flight"] == 0, 20, "the stand-in is quiet")
    assert 45_000 < spent(sim) <= 50_000
    daemon.restart()
    wait_until(lambda: (daemon.run(run)["waiting"] or {}).get("code") == "budget", 60, "the day is remembered")
    assert spent(sim) <= 50_000
    daemon.ctl("endpoint", "set", "gemini", "max_cost_per_day=0.1")
    wait_until(lambda: spent(sim) > 95_000, 60, "it goes on")
    assert spent(sim) <= 100_000
    daemon.ctl("endpoint", "set", "gemini", "max_cost_per_day=0")
    assert daemon.wait_done(run)["counts"]["succeeded"] == 300
    shown = daemon.ctl("endpoint", "show", "gemini").stdout
    assert "max_cost_per_day   0.00 (no limit)" in shown, shown


def test_a_price_that_becomes_unknown_sends_nothing(world):
    sim, daemon = world(settings=NO_PRICES, endpoint=SMALL)
    refused = daemon.api("POST", "/v1/runs", {"agents": AGENTS, "options": {"max_cost": "1"}})
    assert refused.status == 422 and "max_cost: no price of gemini-3.8-flash is known" in refused.json["detail"], refused
    daemon.ctl("endpoint", "set", "gemini", "price_in=1", "price_out=2")
    run = daemon.create(rows(20), AGENTS, options={"max_cost": "1"}, paused=True)
    daemon.ctl("endpoint", "unset", "gemini", "price")
    daemon.ctl("resume", run)
    found = paused(daemon, run)
    assert "no price of gemini-3.8-flash is known" in found["text"] and sim.stats()["received"] == 0, found["text"]
    daemon.ctl("endpoint", "set", "gemini", "price_in=1", "price_out=2")
    daemon.ctl("resume", run)
    assert daemon.wait_done(run)["counts"]["succeeded"] == 20


@pytest.mark.parametrize("text,says", [
    ("-1", "is not an amount of money"), ("nan", "is not an amount of money"), ("1e5", "is not an amount of money"), ("99999999999999999999", "is not an amount of money"),
    ("5 EUR", "the budget is in EUR, and the price of gemini-3.8-flash in USD"), ("0.0001", "one call may cost up to"), ("0", "one call may cost up to")])
def test_what_is_no_budget_is_refused(world, text, says):
    sim, daemon = world(sections=PRICE)
    created = daemon.api("POST", "/v1/runs", {"agents": AGENTS, "options": {"max_cost": text}})
    assert created.status in (400, 422) and says in created.json["detail"], created
    run = daemon.create(rows(1), AGENTS, paused=True)
    patched = daemon.api("PATCH", f"/v1/runs/{run}", {"max_cost": text})
    assert patched.status in (400, 422) and says in patched.json["detail"], patched
    estimate = daemon.api("POST", "/v1/estimate", {"agents": AGENTS, "assignments": 10, "options": {"max_cost": text}})
    assert says in json.dumps(estimate.json), estimate
    assert sim.stats()["received"] == 0


@pytest.mark.parametrize("words,says", [
    (("max_cost_per_day=-1",), "is not an amount"), (("max_cost_per_day=5 EUR",), "the budget is in EUR"), (("max_cost_per_day=nan",), "is not an amount")])
def test_what_is_no_budget_of_a_day_is_refused(world, words, says):
    _, daemon = world(sections=PRICE)
    ran = daemon.ctl("endpoint", "set", "gemini", *words, check=False)
    assert ran.returncode != 0 and says in ran.stderr, ran.stderr


def test_flex_is_asked_for_and_priced_as_flex(world):
    flex = PRICE + '\nprice "gemini-3.8-flash" { tier = "flex"  currency = "USD"  in = 0.5  cached_in = 0.5  out = 1 }'
    sim, daemon = world(sections=flex)
    run = enqueue(daemon, 20, tier="flex")
    done = daemon.wait_done(run)
    assert done["options"]["tier"] == "flex"
    attempts = [daemon.api("GET", f"/v1/runs/{run}/assignments/K{n:04}/attempts").json["items"][-1] for n in range(20)]
    for attempt in attempts:
        tokens = attempt["tokens"]
        assert attempt["cost_micros"] == -(-(tokens["in"] + 2 * (tokens["out"] + (tokens["thinking"] or 0))) // 2), attempt
    estimate = daemon.api("POST", "/v1/estimate", {"agents": AGENTS, "assignments": 100, "options": {"tier": "flex"}}).json
    other = estimate["cost"]["other_tier"]
    assert estimate["tier"] == "flex" and other["tier"] == "standard" and other["high_micros"] == pytest.approx(2 * estimate["cost"]["high_micros"], rel=0.01), estimate["cost"]
    assert "(tier flex)" in estimate["cost"]["text"]


def test_an_estimate_is_made_of_earlier_runs_that_asked_alike(world, tmp_path):
    sim, daemon = world("--thoughts_tokens", 7, sections=PRICE)
    body = {"agents": AGENTS, "assignments": 1000, "columns": ["text"]}
    first = daemon.api("POST", "/v1/estimate", body).json
    assert first["basis"]["from"] == "assumptions" and first["calls_expected"] == {"low": 1000, "high": 1100}, first
    run = enqueue(daemon, 50)
    cost = daemon.wait_done(run)["cost"]["micros"]
    found = daemon.api("POST", "/v1/estimate", body).json
    assert found["basis"] == {"from": "history", "runs": 1, "calls": 50, "text": "by 1 earlier run with this template (50 calls)"}, found["basis"]
    assert found["cost"]["low_micros"] <= 20 * cost <= found["cost"]["high_micros"] <= 30 * cost, (found["cost"], cost)
    daemon.restart()
    again = daemon.api("POST", "/v1/estimate", body).json
    assert again["basis"] == found["basis"] and "earlier runs" in again["time"]["text"], again
    other = daemon.api("POST", "/v1/estimate", {**body, "template": "{{roster}}{{loads}}{{fields}} something else"}).json
    assert other["basis"]["from"] == "assumptions", other["basis"]
    tight = daemon.api("POST", "/v1/estimate", {**body, "options": {"max_cost": amount(cost)}}).json
    assert [item["code"] for item in tight["problems"]] == ["max_cost"] and "will pause (budget)" in tight["problems"][0]["message"], tight["problems"]
    file = tmp_path / "in.csv"
    file.write_text("key,text\n" + "".join(f"K{n},x\n" for n in range(30)))
    (tmp_path / "agents.csv").write_text("agent_id\nA1\nA2\n")
    shown = daemon.ctl("check", file, "--agents", tmp_path / "agents.csv", "--max-cost", "5").stdout
    assert "by 1 earlier run with this template" in shown and "at most 5.00 USD" in shown, shown
