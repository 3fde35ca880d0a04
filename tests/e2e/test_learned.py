"""What the pacer learned: told to people, and kept from life to life."""
import json
import re
import sqlite3

import pytest
from harness import wait_until

AGENTS = [{"agent_id": f"A{n}", "capacity": 100000} for n in range(3)]
SCALE = "time_scale = 0.1"  # a minute of the pacer's lasts 6 s
QUOTA = ("--rpm", 200, "--quota_kind", "sliding", "--time_scale", 0.1)


def enqueue(daemon, count, **members):
    return daemon.create([(f"K{n:05}", {"n": n}) for n in range(count)], AGENTS, **members)


def pacer(daemon):
    return daemon.api("GET", "/v1/endpoints/gemini").json["pacer"]


def kept(daemon):
    with sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True) as database:
        row = database.execute("SELECT learned FROM endpoint_state WHERE endpoint = 'gemini'").fetchone()
    return json.loads(row[0]) if row and row[0] else None


def texts(daemon):
    return [event["text"] for event in daemon.api("GET", "/v1/events?since=0&follow=false").lines if event["type"] == "endpoint"]


@pytest.fixture
def taught(world):
    """A daemon that has learned a window of 200 calls, and its stand-in."""
    sim, daemon = world(*QUOTA, endpoint=SCALE)
    run = enqueue(daemon, 2000)
    wait_until(lambda: pacer(daemon)["mode"] == "window", 90, lambda: f"it learns the window: {pacer(daemon)}")
    return sim, daemon, run


def test_it_is_told_in_words_and_as_events(taught):
    _, daemon, _ = taught
    told = pacer(daemon)
    assert 190 <= told["window"] <= 210 and "calls fit into a minute" in told["text"]
    assert "calls fit into a minute" in daemon.ctl("endpoint", "show", "gemini").stdout
    assert told["text"].startswith("goes by how many calls fit into a minute; about ") and "; what limits now: " in told["text"], told
    wait_until(lambda: any(re.fullmatch(r"goes by how many calls fit into a minute: about \d+", text) for text in texts(daemon)), 20, lambda: f"it is told: {texts(daemon)}")
    assert "takes calls again" in texts(daemon)


def test_a_life_that_is_killed_has_kept_it(taught):
    """Within the minute in which it was learned: a second after the window is known it is on disk."""
    _, daemon, _ = taught
    wait_until(lambda: (kept(daemon) or {}).get("window_calls"), 20, lambda: f"what was learned is kept: {kept(daemon)}")
    daemon.kill()
    daemon.start()
    assert pacer(daemon)["window"] is not None and pacer(daemon)["mode"] != "startup", pacer(daemon)


def test_the_next_life_begins_with_what_was_learned(taught):
    sim, daemon, run = taught
    daemon.ctl("pause", run)
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 30, "nothing is under way")
    learned = pacer(daemon)["window"]
    daemon.stop()
    assert kept(daemon)["window_calls"] == pytest.approx(learned, abs=3)
    daemon.start()
    assert pacer(daemon)["mode"] == "window" and abs(pacer(daemon)["window"] - learned) <= 3
    refused = sim.stats()["by_status"].get("429", 0)
    sent = sim.stats()["received"]
    daemon.ctl("resume", run)
    wait_until(lambda: sim.stats()["received"] >= sent + 300, 60, "more than a window is sent")
    assert sim.stats()["by_status"].get("429", 0) - refused <= 12


@pytest.mark.parametrize("change", ["key", "model", "spoilt"])
def test_what_was_learned_of_something_else_is_not_taken(taught, change):
    _, daemon, run = taught
    daemon.ctl("pause", run)
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 30, "nothing is under way")
    daemon.stop()
    if change == "key":
        daemon.set_key("another-key-of-someone-else-000000000000")
    elif change == "model":
        daemon.config.write_text(daemon.config.read_text().replace("time_scale", 'model = "gemini-other"\n  time_scale'))
    else:
        with sqlite3.connect(daemon.database) as database:
            database.execute("UPDATE endpoint_state SET learned = replace(learned, '\"window_calls\":', '\"window_calls\":-')")
    daemon.start()
    assert pacer(daemon)["mode"] == "startup"
    assert (change == "spoilt") == ("learned_unreadable" in daemon.log)
