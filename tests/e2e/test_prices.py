"""What calls cost: list prices and the configuration's, a price set at run time, and what is not known."""
import pytest

from harness import wait_until

AGENTS = [{"agent_id": "A1", "attributes": {}}, {"agent_id": "A2", "attributes": {}}]
NO_PRICES = 'prices_file = ""'
OWN = 'price "gemini-3.8-flash" { currency = "USD"  in = 1  cached_in = 0.5  out = 2 }'


def price_of(daemon, endpoint="gemini"):
    answer = daemon.api("GET", f"/v1/endpoints/{endpoint}").json
    return next(row for row in answer["settings"] if row["name"] == "price")


def run_costs(daemon, count=3):
    """A run of so many assignments, to its end: its cost and the calls' tokens and costs."""
    run = daemon.create([(f"K{n}", {"text": "x"}) for n in range(count)], AGENTS)
    daemon.wait_done(run)
    attempts = [daemon.api("GET", f"/v1/runs/{run}/assignments/K{n}/attempts").json["items"][-1] for n in range(count)]
    return daemon.run(run)["cost"], attempts


def expected_micros(attempt, in_micros, cached_micros, out_micros):
    tokens = attempt["tokens"]
    out = tokens["out"] + (tokens.get("thinking") or 0) + (tokens.get("tool") or 0)
    cached = tokens.get("cached") or 0
    return -(-((tokens["in"] - cached) * in_micros + cached * cached_micros + out * out_micros) // 1000000)


def test_an_unknown_price_stays_unknown_until_one_is_set(world):
    _, daemon = world(settings=NO_PRICES)
    assert price_of(daemon)["value"] is None and price_of(daemon)["file_value"] is None
    cost, attempts = run_costs(daemon)
    assert cost["currency"] is None and cost["micros"] is None
    assert all(attempt["cost_micros"] is None for attempt in attempts), attempts
    daemon.ctl("endpoint", "set", "gemini", "price_in=0.100001", "price_out=3.75")
    assert price_of(daemon)["value"] == {"currency": "USD", "in_micros": 100001, "cached_in_micros": 100001, "out_micros": 3750000}
    assert price_of(daemon)["file_value"] is None and price_of(daemon)["set_by"] and price_of(daemon)["set_at"] and price_of(daemon)["until"] is None
    cost, attempts = run_costs(daemon)
    costs = [expected_micros(attempt, 100001, 100001, 3750000) for attempt in attempts]
    assert [attempt["cost_micros"] for attempt in attempts] == costs and min(costs) > 0
    assert cost["currency"] == "USD" and cost["micros"] == sum(costs)
    daemon.ctl("endpoint", "unset", "gemini", "price")
    assert price_of(daemon)["value"] is None
    _, attempts = run_costs(daemon)
    assert all(attempt["cost_micros"] is None for attempt in attempts)


def test_a_price_set_at_run_time_wins_over_the_file_and_outlives_the_daemon(world):
    _, daemon = world(sections=OWN)
    shown = daemon.ctl("endpoint", "set", "gemini", "price_in=0.5", "price_cached_in=0.05", "price_out=4.25", "--for", "2h").stdout
    line = next(line for line in shown.splitlines() if line.strip().startswith("price "))
    assert "0.50 in, 0.05 cached in, 4.25 out, USD per million tokens (set by " in line and " until " in line, line
    assert "the file has 1.00 in, 0.50 cached in, 2.00 out, USD per million tokens)" in line, line
    daemon.restart()
    assert price_of(daemon)["value"]["out_micros"] == 4250000 and price_of(daemon)["until"]
    _, attempts = run_costs(daemon)
    assert [attempt["cost_micros"] for attempt in attempts] == [expected_micros(attempt, 500000, 50000, 4250000) for attempt in attempts]
    row = next(row for row in daemon.api("GET", "/v1/audit").json["items"] if row["action"] == "endpoint_set")
    assert row["after"]["price"] == "price_in=0.50 price_cached_in=0.05 price_out=4.25 currency=USD", row


def test_a_price_for_a_while_ends_by_itself(world):
    _, daemon = world(sections=OWN)
    daemon.ctl("endpoint", "set", "gemini", "price_in=9", "price_out=9", "--for", "1s")
    wait_until(lambda: price_of(daemon)["set_value"] is None, 10, "the file's price again")
    assert price_of(daemon)["value"]["in_micros"] == 1000000


def test_the_price_counts_from_the_next_call_on(world):
    """One call is under way while the price changes: it costs what it did when it was sent, and the next one the new price."""
    sim, daemon = world("--latency_ms", "2000", sections=OWN)
    run = daemon.create([("K0", {"text": "x"})], AGENTS)
    wait_until(lambda: sim.stats()["in_flight"] == 1, 20, "the call")
    daemon.ctl("endpoint", "set", "gemini", "price_in=30", "price_out=40")
    assert daemon.counts(run)["leased"] == 1, "the call ended before the price was changed"
    daemon.wait_done(run)
    attempt = daemon.api("GET", f"/v1/runs/{run}/assignments/K0/attempts").json["items"][0]
    assert attempt["cost_micros"] == expected_micros(attempt, 1000000, 500000, 2000000)
    sim.set(latency_ms=10)
    _, attempts = run_costs(daemon, 1)
    assert attempts[0]["cost_micros"] == expected_micros(attempts[0], 30000000, 30000000, 40000000)


def test_a_reload_does_not_mix_currencies(world):
    sim, daemon = world(sections=OWN)
    cost, _ = run_costs(daemon)
    euros = OWN.replace("USD", "EUR")
    daemon.configure(sim.url, sections=euros)
    ran = daemon.ctl("reload", check=False)
    assert ran.returncode != 0 and "its costs are counted in USD, and a price in EUR cannot be added to them" in ran.stderr, ran.stderr
    assert price_of(daemon)["value"]["currency"] == "USD"
    daemon.restart()  # a start cannot be refused for it: no price is known then
    assert price_of(daemon)["value"] is None and price_of(daemon)["file_value"]["currency"] == "EUR"
    assert "price_passed_over" in daemon.log
    after, attempts = run_costs(daemon)
    assert after["micros"] is None and after["unknown_calls"] == 3, after
    assert all(attempt["cost_micros"] is None for attempt in attempts), attempts
    shown = daemon.api("GET", "/v1/endpoints/gemini").json["cost"]
    assert shown["currency"] == "USD" and shown["micros"] == cost["micros"], shown
    estimate = daemon.api("POST", "/v1/estimate", {"agents": AGENTS, "assignments": 1, "columns": ["text"]}).json
    assert "the price is in EUR, and the costs of gemini so far are counted in USD" in estimate["cost"]["text"]


@pytest.mark.parametrize("words,says", [
    (("price_in=1",), "half a price"), (("price_out=1",), "half a price"), (("currency=USD",), "no price"), (("price_cached_in=1",), "no price"),
    (("price_in=1", "price_out=2", "currency=usd"), "three letters"), (("price_in=1", "price_out=2", "currency=EUR"), "counted in USD"),
    (("price_in=0.0000001", "price_out=2"), "more than 6 digits"), (("price_in=-1", "price_out=2"), "amount"), (("price_in=1000001", "price_out=2"), "out of range"),
    (("price=1",), "by its parts"), (("prices_in=1",), "did you mean price_in"), (("price_in=1", "price_in=2", "price_out=2"), "price_in stands twice"),
])
def test_what_is_no_price_changes_nothing(world, words, says):
    _, daemon = world(sections=OWN)
    before = price_of(daemon)
    ran = daemon.ctl("endpoint", "set", "gemini", "rpm=7", *words, check=False)
    assert ran.returncode != 0 and says in ran.stderr, ran.stderr
    assert price_of(daemon) == before
    assert next(row for row in daemon.api("GET", "/v1/endpoints/gemini").json["settings"] if row["name"] == "rpm")["set_value"] is None


def test_a_part_of_a_price_is_not_unset(daemon):
    ran = daemon.ctl("endpoint", "unset", "gemini", "price_in", check=False)
    assert ran.returncode == 2 and "goes as a whole" in ran.stderr


DAY_S = 86400


@pytest.mark.parametrize("quota,limited_by,low_s,high_s", [
    ("rpd = 50", "rpd", 10 * DAY_S, 12 * DAY_S), ("tpm = 3000", "tpm", 600, 1e5), ("rpm = 60", "rpm", 600, 720), ("rpd = 600\n  rpm = 600", "rpm", 60, 400)])
def test_an_estimate_counts_with_the_configured_quotas(world, quota, limited_by, low_s, high_s):
    """Of 600 calls, and the slowest of what limits them is named."""
    _, daemon = world(endpoint=quota + "\n  max_in_flight = 64")
    found = daemon.api("POST", "/v1/estimate", {"agents": AGENTS, "assignments": 600, "columns": ["text"]}).json
    assert found["time"]["limited_by"] == limited_by, found["time"]
    assert low_s <= found["time"]["low_s"] <= found["time"]["high_s"] <= high_s, found["time"]
    assert "no limit" not in found["time"]["text"]
    if limited_by == "tpm":
        assert found["time"]["low_s"] == pytest.approx(found["tokens_in"]["low"] / 3000 * 60, abs=2)


def test_an_estimate_says_that_a_prompt_is_larger_than_a_minute(world):
    _, daemon = world(endpoint="tpm = 300")
    body = {"agents": AGENTS, "assignments": 1, "sample": [{"key": "K1", "fields": {"text": "word " * 2000}, "row": 1}]}
    problems = daemon.api("POST", "/v1/estimate", body).json["problems"]
    assert [(item["code"], item["is_fatal"]) for item in problems] == [("tpm", False)] and "alone in its minute" in problems[0]["message"], problems


def test_an_estimate_says_where_its_price_comes_from(world):
    _, daemon = world(sections=OWN)
    body = {"agents": AGENTS, "assignments": 10, "columns": ["text"]}
    text = daemon.api("POST", "/v1/estimate", body).json["cost"]["text"]
    assert "the configuration's price of gemini-3.8-flash: 1.00 USD in, 2.00 USD out" in text, text
    daemon.ctl("endpoint", "set", "gemini", "price_in=0.075", "price_out=3")
    text = daemon.api("POST", "/v1/estimate", body).json["cost"]["text"]
    assert "set at run time: 0.075 USD in, 3.00 USD out" in text, text
