"""A run's last stragglers, asked a second time where the endpoint allows it: the first answer wins, and the books say what it took."""
import sqlite3

import pytest
from harness import wait_until

AGENTS = [{"agent_id": f"A{n}", "capacity": 1000} for n in range(3)]
SUCCEEDED, TRANSIENT, LOST = 0, 2, 11  # classes
CALL_DONE, CALL_LOST = 1, 2
TAIL = 'hedge = "tail"'


def enqueue(daemon, count, **members):
    return daemon.create([(f"K{n:04}", {"n": n}) for n in range(count)], AGENTS, **members)


def attempts(daemon, key, run=None):
    """Its attempts: number, class, state of the call."""
    with sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True) as database:
        return database.execute("SELECT t.n, t.class, c.state FROM attempt t JOIN assignment a ON a.id = t.assignment LEFT JOIN call c ON c.id = t.call "
                                "JOIN run r ON r.id = a.run WHERE a.key = ? AND (? IS NULL OR r.run_id = ?) ORDER BY t.n", (key, run, run)).fetchall()


def check_books(daemon, sim):
    counts = daemon.api("GET", "/v1/endpoints/gemini").json["counts"]
    assert sim.stats()["received"] <= counts["calls"] + counts["test_calls"]
    assert daemon.ctl("doctor", "--full").returncode == 0


def know_latency(daemon):
    """What is usual has to be known before a call can be called slow."""
    assert daemon.wait_done(enqueue(daemon, 30))["counts"]["succeeded"] == 30


def in_flight(sim, count):
    wait_until(lambda: sim.stats()["in_flight"] == count, 30, f"{count} calls are in flight")


def test_the_second_answer_wins(world):
    sim, daemon = world("--hang_next", 2, endpoint=TAIL)
    run = daemon.create([(f"K{n:04}", {"n": n}) for n in range(60)], [{"agent_id": "A0", "capacity": 60}])
    done = daemon.wait_done(run, 60)  # long before the time limit of a call
    assert done["counts"]["succeeded"] == 60 and done["retries"]["spent"] == 0 and done["retries"]["lost"] == 2
    late = [key for key in (f"K{n:04}" for n in range(60)) if len(attempts(daemon, key)) > 1]
    assert len(late) == 2 and all(attempts(daemon, key) == [(1, LOST, CALL_LOST), (2, SUCCEEDED, CALL_DONE)] for key in late)
    wait_until(lambda: sim.stats()["in_flight"] == 0, 20, "the others are called off")
    check_books(daemon, sim)


def test_the_first_answer_wins(world):
    sim, daemon = world(endpoint=TAIL)
    know_latency(daemon)
    sim.set(latency_ms=4000)
    run = enqueue(daemon, 1)
    in_flight(sim, 1)
    sim.set(latency_ms=10, hang_next=1)
    in_flight(sim, 2)
    done = daemon.wait_done(run, 60)
    assert done["counts"]["succeeded"] == 1
    assert attempts(daemon, "K0000", run) == [(1, SUCCEEDED, CALL_DONE), (2, LOST, CALL_LOST)]
    check_books(daemon, sim)


def test_a_second_call_that_fails_spends_nothing_and_ends_nothing(world):
    sim, daemon = world(endpoint=TAIL)
    know_latency(daemon)
    sim.set(latency_ms=4000)
    run = enqueue(daemon, 1)
    in_flight(sim, 1)
    sim.set(latency_ms=10, error_500_next=1)
    done = daemon.wait_done(run, 60)
    assert done["counts"]["succeeded"] == 1 and done["retries"]["spent"] == 0
    assert attempts(daemon, "K0000", run) == [(1, SUCCEEDED, CALL_DONE), (2, TRANSIENT, CALL_DONE)]
    check_books(daemon, sim)


def test_both_fail_and_it_is_tried_again(world):
    sim, daemon = world("--hang_ms", 3000, endpoint=TAIL)
    know_latency(daemon)
    sim.set(hang_next=1)
    run = enqueue(daemon, 1)
    in_flight(sim, 1)
    sim.set(error_500_next=1)
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 1
    assert [row[1] for row in attempts(daemon, "K0000", run)] == [LOST, TRANSIENT, SUCCEEDED]  # the first hung on a connection used before
    check_books(daemon, sim)


def test_a_kill_gives_the_row_back_once(world):
    sim, daemon = world(endpoint=TAIL)
    know_latency(daemon)
    sim.set(hang_next=2)
    run = enqueue(daemon, 1)
    in_flight(sim, 2)
    daemon.kill()
    daemon.start()
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 1
    assert [row[1] for row in attempts(daemon, "K0000", run)] == [LOST, LOST, SUCCEEDED]
    check_books(daemon, sim)


@pytest.mark.parametrize("verb", ["cancel", "pause"])
def test_a_run_that_is_stopped_leaves_nothing_open(world, verb):
    sim, daemon = world("--hang_ms", 4000, endpoint=TAIL)
    know_latency(daemon)
    sim.set(hang_next=2)
    run = enqueue(daemon, 1)
    in_flight(sim, 2)
    daemon.ctl(*(("cancel", run, "--all", "--yes") if verb == "cancel" else ("pause", run)))
    in_flight(sim, 0)
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 30, "nothing is leased")
    if verb == "pause":
        daemon.ctl("resume", run)
    assert daemon.wait_done(run, 60)["counts"]["succeeded" if verb == "pause" else "cancelled"] == 1
    check_books(daemon, sim)


@pytest.mark.parametrize("endpoint,profile", [("", "adaptive"), (TAIL, "balanced")])
def test_nobody_is_asked_twice_unasked(world, endpoint, profile):
    """Off by default; and a profile with batches holds its size."""
    sim, daemon = world("--hang_ms", 3000, endpoint=endpoint)
    know_latency(daemon)
    sim.set(hang_next=1)
    run = enqueue(daemon, 1, profile=profile)
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 1
    assert [row[1] for row in attempts(daemon, "K0000", run)] == [LOST, SUCCEEDED]
    assert max(call["in_flight"] for call in sim.record() if call.get("key") == "K0000" and call["kind"] == "hang") == 1
