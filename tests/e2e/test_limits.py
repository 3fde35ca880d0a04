"""Configured limits are never exceeded: not beside a test request, and not across a restart. Told by the simulator's record."""
import sqlite3
import time

import pytest
from harness import wait_until

AGENTS = [{"agent_id": f"A{n}", "capacity": 1000} for n in range(3)]


def enqueue(daemon, count, **members):
    return daemon.create([(f"K{n:04}", {"n": n}) for n in range(count)], AGENTS, **members)


def most_within(record, window_ms):
    """The most calls that arrived within any such time."""
    arrivals = sorted(call["arrival_ms"] for call in record)
    return max(sum(1 for other in arrivals[first:] if other < begin + window_ms) for first, begin in enumerate(arrivals))


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "in flight"])
def test_rpm_holds_across_a_kill(world, settled):
    """The window of a minute (6 s here) is read back from the calls: those that had their answer, and those of which nobody knows."""
    sim, daemon = world("--latency_ms", "20" if settled else "3000", endpoint="rpm = 30\n  time_scale = 0.1")
    run = enqueue(daemon, 100)
    wait_until(lambda: sim.stats()["received"] >= 30 and (not settled or daemon.counts(run)["succeeded"] >= 30), 20, "the quota is used up")
    daemon.kill()
    sim.set(latency_ms=20)
    daemon.start()
    wait_until(lambda: sim.stats()["received"] >= 75, 40, lambda: f"the run goes on: {sim.stats()}")
    assert most_within(sim.record(), 6000) <= 30


@pytest.mark.parametrize("ends", ["kill", "stop"])
def test_rpd_holds_across_a_restart(world, ends):
    sim, daemon = world("--latency_ms", "100", endpoint="rpd = 20\n  max_in_flight = 4")
    run = enqueue(daemon, 50)
    wait_until(lambda: sim.stats()["received"] >= 8, 20, "some are called")
    getattr(daemon, ends)()
    daemon.start()
    assert daemon.api("POST", "/v1/endpoints/gemini/test").json["ok"]
    wait_until(lambda: (daemon.run(run)["waiting"] or {}).get("code") == "quota_day", 20, "the day's quota is used up")
    daemon.restart()
    wait_until(lambda: (daemon.run(run)["waiting"] or {}).get("code") == "quota_day", 20, "and is so after another start")
    test = daemon.api("POST", "/v1/endpoints/gemini/test").json
    assert test["class"] == "quota_day" and "rpd" in test["message"], test
    assert 16 <= sim.stats()["received"] <= 20  # what was leased at the kill and not called yet counts as called


@pytest.mark.parametrize("quota,code,words", [("rpd = 5", "quota_day", ("the configured requests a day are used", "midnight Pacific")),
                                              ("rpm = 5", "throttled", ("the configured requests a minute are used",)),
                                              ("tpm = 1000", "throttled", ("the configured tokens a minute are used",))])
def test_a_quota_that_is_used_up_is_told_with_its_time(world, quota, code, words):
    _, daemon = world("--latency_ms", "5", endpoint=quota)
    run = enqueue(daemon, 50)
    waiting = wait_until(lambda: daemon.run(run)["waiting"], 20, "the run waits")
    assert waiting["code"] == code and all(word in waiting["text"] for word in words), waiting
    assert waiting["until"] is not None and (code != "quota_day" or waiting["until"].endswith("00:00.000Z")), waiting
    assert daemon.api("GET", "/v1/endpoints/gemini").json["pacer"]["next_at"] is not None
    assert daemon.ctl("endpoint", "set", "gemini", f"{quota.split()[0]}=0").returncode == 0
    wait_until(lambda: daemon.counts(run)["succeeded"] == 50, 20, "without the quota it goes on")


def test_tpm_holds_across_a_kill(world):
    sim, daemon = world("--latency_ms", "20", endpoint="tpm = 4000\n  time_scale = 0.1")
    run = enqueue(daemon, 60)
    wait_until(lambda: daemon.run(run)["tokens"]["in"] > 2500, 20, "much of the quota is used")
    daemon.kill()
    daemon.start()
    wait_until(lambda: daemon.run(run)["tokens"]["in"] > 9000 or daemon.run(run)["state"] == "done", 40, "the run goes on")
    found = daemon.run(run)
    assert most_within(sim.record(), 6000) <= 4000 / (found["tokens"]["in"] / found["counts"]["succeeded"])  # all prompts are about as long


def test_tpm_holds_for_prompts_of_different_sizes(world):
    """Each is held to its own size: a large one that came after small ones waits for room, and is not sent as one of theirs."""
    sim, daemon = world("--latency_ms", "20", endpoint="tpm = 20000\n  time_scale = 0.1")
    run = daemon.create([(f"K{n:04}", {"text": "word " * (8000 if n % 10 == 9 else 20)}) for n in range(60)], AGENTS)
    daemon.wait_done(run)
    with sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True) as database:
        tokens = dict(database.execute("SELECT a.key, c.tokens_in FROM assignment a JOIN attempt t ON t.assignment = a.id JOIN call c ON c.id = t.call "
                                       "WHERE c.tokens_in IS NOT NULL"))
    calls = sorted((call["arrival_ms"], tokens[call["key"]]) for call in sim.record())
    assert max(tokens.values()) > 5000 and len(calls) == 60
    within = [sum(count for at_ms, count in calls if begin <= at_ms < begin + 6000) for begin, _ in calls]
    assert max(within) <= 20000, within


def test_tpm_holds_for_dense_text(world):
    """Of one byte a token there is four times what was thought: the first answer tells, and those that follow side by side are held to it."""
    sim, daemon = world("--latency_ms", "300", "--bytes_per_token", "1", endpoint="tpm = 60000\n  time_scale = 0.1")
    daemon.wait_done(enqueue(daemon, 1))
    each = daemon.run()["tokens"]["in"]
    daemon.wait_done(enqueue(daemon, 3 * 60000 // each), 60)
    assert most_within(sim.record(), 6000) * each <= 60000 * 1.01, each


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


def test_what_is_leased_and_cannot_go_is_given_back(world):
    """A run leases a little ahead; when its calls turn slow and another run has the precedence, nothing stays leased that is not called."""
    sim, daemon = world("--latency_ms", "5", endpoint="max_in_flight = 8")
    low = enqueue(daemon, 9000)
    wait_until(lambda: daemon.counts(low)["leased"] > 8, 30, "some are leased ahead")
    sim.set(latency_ms=60000)
    high = enqueue(daemon, 20, options={"priority": 10})
    wait_until(lambda: sim.stats()["in_flight"] == 8, 20, "every slot is taken")
    wait_until(lambda: daemon.counts(low)["leased"] + daemon.counts(high)["leased"] == 8, 15, lambda: f"what is not called is given back: {daemon.counts(low)}")
    assert daemon.run(low)["retries"]["transient"] == 0


@pytest.mark.parametrize("profile", ["adaptive", "aggressive"])
def test_no_more_is_leased_than_the_quota_lets_go(world, profile):
    sim, daemon = world("--latency_ms", "5", endpoint="rpm = 4")
    run = enqueue(daemon, 50, profile=profile)
    wait_until(lambda: daemon.counts(run)["succeeded"] == 4, 20, "the quota is used up")
    end = time.monotonic() + 2
    wait_until(lambda: time.monotonic() > end, 10, "two seconds are over")
    with sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True) as database:
        assert database.execute("SELECT count(*) FROM attempt").fetchone() == (4,)
