"""Which runs outside workers may lease from, and what keeps them from it: endpoints, places, pauses, ages, drains, a full disk."""
import json
import sqlite3
import threading
import time

import pytest

from harness import check_allocation, fill_disk, wait_until
from lease_worker import Worker, decide

AGENTS = [{"agent_id": f"A{n}", "capacity": 500, "attributes": {"region": "north"}} for n in range(2)]


@pytest.fixture
def alone(make_daemon):
    return make_daemon("http://127.0.0.1:9").start()


def enqueue(daemon, count=4, agents=None, **members):
    return daemon.create([(f"K{n:03}", {"region": "north", "n": n}) for n in range(count)], agents or AGENTS, **{"endpoint": "workers", **members})


# ---- endpoints ----

def test_the_built_in_endpoint(alone):
    shown = alone.api("GET", "/v1/endpoints/workers").json
    assert shown["is_built_in"] and shown["state"] == "up" and not shown["is_default"]
    assert [item["name"] for item in alone.api("GET", "/v1/endpoints").json["items"]] == ["gemini", "workers"]
    assert "built in" in alone.ctl("endpoint", "show", "workers").stdout
    for method, path in (("POST", "/test"), ("POST", "/resume")):
        answer = alone.api(method, f"/v1/endpoints/workers{path}")
        assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert alone.api("PATCH", "/v1/endpoints/workers", {"settings": {"rpm": 3}}).status == 409


def test_it_can_be_the_default(make_daemon):
    daemon = make_daemon("http://127.0.0.1:9", settings='default_endpoint = "workers"').start()
    run = enqueue(daemon, endpoint=None)
    assert daemon.run(run)["endpoint"] == "workers" and daemon.api("GET", "/v1/endpoints/workers").json["is_default"]
    assert len(Worker(daemon.socket).work(max=10)) == 4


def test_a_run_on_an_endpoint_is_not_leased_from(world):
    sim, daemon = world()
    run = enqueue(daemon, endpoint="gemini", paused=True)
    worker = Worker(daemon.socket)
    refused = worker.ask(run=run)
    assert (refused.status, refused.json["code"]) == (409, "conflict") and "--workers-too" in refused.json["detail"]
    assert daemon.api("PATCH", f"/v1/runs/{run}", {"endpoint": "workers"}).status == 200
    assert daemon.api("POST", f"/v1/runs/{run}/resume").status == 200
    assert len(worker.work(max=10)) == 4
    assert daemon.wait_done(run)["counts"]["succeeded"] == 4 and sim.stats()["received"] == 0
    assert worker.ask(run=run).json["code"] == "wrong_state"


def test_a_run_that_goes_back_to_an_endpoint_is_sent(world):
    sim, daemon = world()
    run = enqueue(daemon, 20)
    lease = Worker(daemon.socket).lease(max=5)
    assert daemon.api("PATCH", f"/v1/runs/{run}", {"endpoint": "gemini"}).status == 200
    wait_until(lambda: daemon.counts(run)["succeeded"] == 15, 20, "the built-in worker decides the rest")
    assert [item["verdict"] for item in Worker(daemon.socket).tell(lease, decide(lease))] == ["succeeded"] * 5
    daemon.wait_done(run)
    assert sim.stats()["received"] == 15


def test_workers_too_decide_beside_the_built_in_one(world):
    sim, daemon = world("--latency_ms", "100", endpoint="max_in_flight = 4")
    run = enqueue(daemon, 300, endpoint="gemini", options={"workers_too": True})
    worker = Worker(daemon.socket)
    assert worker.lease() is None, "without a name only runs on the endpoint workers are leased from"
    verdicts = []
    while daemon.run(run)["state"] == "running":
        verdicts += worker.work(run=run, max=10, wait_ms=100)
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 300 and {item["verdict"] for item in verdicts} == {"succeeded"}
    results = daemon.results(run)
    check_allocation(results, [f"K{n:03}" for n in range(300)], AGENTS)
    by = [row["decided_by"] for row in results]
    assert by.count("worker") == len(verdicts) and by.count("model") == 300 - len(verdicts) and 0 < len(verdicts) < 300
    assert sim.stats()["received"] == by.count("model"), "nobody paid for what a worker decided"
    assert daemon.ctl("doctor").returncode == 0


def test_the_command_line_leaves_a_run_to_workers(world, tmp_path):
    sim, daemon = world()
    loans, agents = tmp_path / "loans.csv", tmp_path / "agents.csv"
    loans.write_text("lan,region\nL1,north\nL2,north\n")
    agents.write_text("agent_id,capacity\nA0,5\n")
    checked = daemon.ctl("check", loans, "--agents", agents, "--endpoint", "workers")
    assert "workers" in checked.stdout and "outside workers decide" in checked.stdout and "model " not in checked.stdout.split("endpoint", 1)[1].splitlines()[0]
    run = daemon.ctl("enqueue", loans, "--agents", agents, "--endpoint", "gemini", "--workers-too", "--paused", "-q").stdout.strip()
    assert daemon.run(run)["options"]["workers_too"] is True
    left = daemon.ctl("enqueue", loans, "--agents", agents, "--endpoint", "workers", "-q").stdout.strip()
    assert len(Worker(daemon.socket).work(run=left, max=5)) == 2
    assert sim.stats()["received"] == 0


def test_an_estimate_of_a_run_for_workers(alone):
    rows = [{"key": "K0", "fields": {"region": "north"}}, {"key": "K1", "fields": {"region": "west"}}]
    found = alone.api("POST", "/v1/estimate", {"agents": AGENTS, "endpoint": "workers", "options": {"match": ["region=region"]}, "assignments": 2,
                                               "sample": rows, "prompts": 2}).json
    assert found["calls"] == 0 and found["tokens_in"] == found["tokens_out"] == {"low": None, "high": None}
    assert found["cost"]["low_micros"] is None and found["time"]["limited_by"] == "workers" and found["prompts"] == []
    assert [problem["code"] for problem in found["problems"]] == ["no_candidate"]


def test_a_run_that_no_worker_comes_for_says_so(alone):
    run = enqueue(alone)
    assert alone.run(run)["waiting"] is None, "workers have a moment to come"
    waiting = wait_until(lambda: alone.run(run)["waiting"], 20, "it waits for a worker")
    assert waiting["code"] == "workers" and f"gallocctl work --run {run}" in waiting["text"]
    assert "gallocctl work" in alone.ctl("status", run).stdout
    worker = Worker(alone.socket)
    lease = worker.lease()
    assert alone.run(run)["waiting"] is None
    assert worker.give_back(lease).status == 200


# ---- which run comes first ----

def test_a_run_that_workers_pass_over_names_the_one_they_work_on(alone):
    first, other = enqueue(alone, options={"priority": 5}), enqueue(alone)
    lease = Worker(alone.socket).lease(max=1)
    assert lease["run"] == first
    waiting = wait_until(lambda: alone.run(other)["waiting"], 30, "a run that waits to say so")
    assert waiting["code"] == "workers" and first in waiting["text"] and "priority 5, this one 0" in waiting["text"]
    assert f"gallocctl set {other} priority=" in waiting["text"]
    assert alone.run(first)["waiting"] is None
    assert Worker(alone.socket).lease(max=10, run=other)["run"] == other
    assert alone.run(other)["waiting"] is None


def test_priority_comes_first_and_then_fair_share(alone):
    low, high = enqueue(alone, 4, options={"priority": -1}), enqueue(alone, 2, options={"priority": 5})
    same = enqueue(alone, 4, options={"priority": -1})
    worker = Worker(alone.socket)
    got = [worker.lease(max=1)["run"] for _ in range(6)]
    assert got[:2] == [high, high] and got.count(low) == got.count(same) == 2


def test_sequential_keeps_the_order_one_at_a_time(alone):
    enqueue(alone, 3, profile="sequential")
    worker = Worker(alone.socket)
    first = worker.lease(max=10)
    assert [row["key"] for row in first["assignments"]] == ["K000"] and worker.lease() is None
    worker.tell(first, decide(first))
    second = worker.lease(max=10)
    assert [row["key"] for row in second["assignments"]] == ["K001"]
    assert sorted(agent["held"] for agent in second["agents"]) == [0, 1], "each sees what the one before has left"
    worker.tell(second, [{"key": "K001", "error": {"retry": True}}])
    third = worker.lease(max=10, wait_ms=20000)
    assert [row["key"] for row in third["assignments"]] == ["K001"], "one that waits for its retry holds the others"


# ---- places ----

def test_never_more_in_hands_than_there_are_places(alone):
    run = enqueue(alone, 20, agents=[{"agent_id": "A0", "capacity": 3}, {"agent_id": "A1", "capacity": 2}])
    worker = Worker(alone.socket)
    first, second = worker.lease(max=3), worker.lease(max=100)
    assert len(first["assignments"]) == 3 and len(second["assignments"]) == 2 and worker.lease(max=100) is None
    assert worker.give_back(second).status == 200
    assert len(worker.lease(max=100, wait_ms=20000)["assignments"]) == 2
    assert alone.counts(run)["failed"] == 0


def test_two_runs_on_one_ledger_have_its_places_together(world):
    sim, daemon = world("--latency_ms", "100")
    daemon.api("PUT", "/v1/pools/north", {"agents": [{"agent_id": "A0", "capacity": 6}]})

    def of_pool(name, **members):
        run = daemon.api("POST", "/v1/runs", {"pool": "north", "name": name, **members}).json["id"]
        part = "".join(json.dumps({"key": f"{name}{n}", "fields": {}, "row": n + 1}) + "\n" for n in range(6))
        assert daemon.api("PUT", f"/v1/runs/{run}/parts/1", part, content_type="application/x-ndjson").status == 200
        assert daemon.api("POST", f"/v1/runs/{run}/commit", {"parts": 1}).status == 200
        return run

    outside = of_pool("outside", endpoint="workers")
    lease = Worker(daemon.socket).lease(max=4, ttl_ms=60000)
    built_in = of_pool("inside", endpoint="gemini")
    wait_until(lambda: daemon.counts(built_in)["succeeded"] == 2, 20, "two places are left for the built-in worker")
    assert Worker(daemon.socket).lease(run=outside) is None
    end = time.monotonic() + 1.5
    wait_until(lambda: time.monotonic() > end, 10, "a while is over")
    assert daemon.counts(built_in)["failed"] == 0 and sim.stats()["received"] == 2
    assert [item["verdict"] for item in Worker(daemon.socket).tell(lease, decide_all(lease, "A0"))] == ["succeeded"] * 4
    assert daemon.wait_done(built_in)["counts"]["failed"] == 4 and daemon.run(built_in)["retries"]["agent_full"] == 0


def decide_all(lease, agent_id):
    return [{"key": row["key"], "agent_id": agent_id} for row in lease["assignments"]]


def test_what_can_go_to_nobody_is_settled_and_not_handed_out(alone):
    agents = [{"agent_id": "N", "capacity": 1, "load": 1, "attributes": {"region": "north"}}, {"agent_id": "S", "capacity": 5, "attributes": {"region": "south"}}]
    rows = [("full", {"region": "north"}), ("nobody", {"region": "west"}), ("fits", {"region": "south"})]
    run = alone.create(rows, agents, endpoint="workers", options={"match": ["region=region"]})
    lease = Worker(alone.socket).lease(max=10)
    assert [row["key"] for row in lease["assignments"]] == ["fits"] and [agent["agent_id"] for agent in lease["agents"]] == ["S"]
    wait_until(lambda: alone.counts(run)["failed"] == 2, 20, "the others are told so")
    assert {row["key"]: row["error"]["code"] for row in alone.results(run, "failed")} == {"full": "no_capacity", "nobody": "no_candidate"}
    assert [item["rows"] for item in alone.api("GET", "/v1/leases").json["items"]] == [1]
    events = [event for event in alone.api("GET", "/v1/events?since=0&follow=false&assignments=true").lines if event["type"] == "assignment"]
    assert {event["key"]: event["code"] for event in events} == {"full": "no_capacity", "nobody": "no_candidate"}
    assert alone.ctl("doctor").returncode == 0


def test_a_ledger_that_is_full_fails_what_is_left(alone):
    run = enqueue(alone, 700, agents=[{"agent_id": "A0", "capacity": 2}])
    verdicts = Worker(alone.socket).work(max=2, wait_ms=500)
    done = alone.wait_done(run)
    assert len(verdicts) == 2 and done["counts"]["succeeded"] == 2 and done["counts"]["failed"] == 698
    assert alone.api("GET", "/v1/leases").json["items"] == []


def test_who_is_away_until_a_date_is_waited_for(alone):
    agents = [{"agent_id": "A0", "available": False, "until": "2199-01-01T00:00:00Z", "attributes": {"region": "north"}},
              {"agent_id": "A1", "attributes": {"region": "south"}}]
    run = enqueue(alone, 3, agents=agents, options={"match": ["region=region"]})
    worker = Worker(alone.socket)
    assert worker.lease(max=3) is None
    assert wait_until(lambda: alone.run(run)["waiting"], 20, "the run waits")["code"] in ("no_places", "workers")
    assert alone.api("PATCH", f"/v1/pools/{run}/agents/A0", {"available": True}).status == 200
    assert len(worker.lease(max=3, wait_ms=20000)["assignments"]) == 3


def test_input_that_does_not_match_its_digest_is_not_served(alone):
    run = enqueue(alone, 3)
    alone.stop()
    with sqlite3.connect(alone.database) as database:
        database.execute("UPDATE payload SET fields = '{\"region\":\"forged\"}' WHERE assignment = (SELECT id FROM assignment WHERE key = 'K001')")
    alone.start()
    lease = Worker(alone.socket).lease(max=3)
    assert [row["key"] for row in lease["assignments"]] == ["K000", "K002"]
    wait_until(lambda: alone.counts(run)["failed"] == 1, 20, "it is told so")
    assert alone.results(run, "failed")[0]["error"]["code"] == "corrupt"


# ---- not now ----

def test_a_paused_run_is_told_so(alone):
    run = enqueue(alone, paused=True)
    worker = Worker(alone.socket)
    assert worker.lease() is None
    refused = worker.ask(run=run)
    assert (refused.status, refused.json["code"]) == (409, "paused") and f"gallocctl resume {run}" in refused.json["detail"]
    got = []
    thread = threading.Thread(target=lambda: got.append(worker.lease(run=run, wait_ms=30000)))
    thread.start()
    alone.api("POST", f"/v1/runs/{run}/resume")
    thread.join(20)
    assert got and got[0]["run"] == run
    alone.api("POST", f"/v1/runs/{run}/pause")
    assert worker.tell(got[0], decide(got[0]))[0]["verdict"] == "succeeded", "what is in hands may be told"


def test_runs_of_other_states(alone):
    worker = Worker(alone.socket)
    importing = alone.api("POST", "/v1/runs", {"agents": AGENTS, "endpoint": "workers"}).json["id"]
    assert worker.ask(run=importing).status == 204, "its work is still to come"
    run = enqueue(alone, 1)
    alone.api("POST", f"/v1/runs/{run}/cancel", {"all": True})
    alone.wait_done(run)
    assert worker.ask(run=run).json["code"] == "cancelled"
    assert worker.ask(run="nowhere").status == 404


def test_what_is_too_old_is_not_handed_out(alone):
    run = enqueue(alone, 3, options={"max_age_ms": 200})
    end = time.monotonic() + 0.25
    wait_until(lambda: time.monotonic() > end, 10, "it is over")
    assert Worker(alone.socket).lease(max=3) is None
    assert alone.wait_done(run)["counts"]["failed"] == 3 and alone.results(run)[0]["error"]["code"] == "expired"


def test_a_drain_leases_nothing_and_takes_results(alone):
    enqueue(alone)
    worker = Worker(alone.socket)
    lease = worker.lease(max=2)
    answers = []
    assert worker.lease(max=10) is not None  # nothing is left to lease, so a poll waits
    polls = [threading.Thread(target=lambda: answers.append(Worker(alone.socket, "waits").ask(wait_ms=60000))) for _ in range(3)]
    for thread in polls:
        thread.start()
    wait_until(lambda: "galloc_http_connections 4" in alone.api("GET", "/metrics").body, 20, "they wait")
    assert alone.api("POST", "/v1/drain").status == 200
    for thread in polls:
        thread.join(20)
    assert [(answer.status, answer.json["code"]) for answer in answers] == [(503, "draining")] * 3 and all("Retry-After" in answer.headers for answer in answers)
    assert worker.ask().json["code"] == "draining"
    assert worker.renew(lease).status == 200
    assert [item["verdict"] for item in worker.tell(lease, decide(lease))] == ["succeeded"] * 2


def test_a_stop_ends_polls_and_loses_nothing(alone):
    run = enqueue(alone, 2)
    worker = Worker(alone.socket)
    lease = worker.lease(max=2, ttl_ms=60000)
    answers = []
    poll = threading.Thread(target=lambda: answers.append(worker.ask(wait_ms=60000)))
    poll.start()
    wait_until(lambda: "galloc_http_connections 2" in alone.api("GET", "/metrics").body, 20, "it waits")
    assert alone.stop() == 0
    poll.join(20)
    assert answers[0].status == 503
    alone.start()
    assert [item["verdict"] for item in worker.tell(lease, decide(lease))] == ["succeeded"] * 2
    alone.wait_done(run)


def test_a_full_disk_leases_nothing_and_loses_nothing(make_daemon, disk):
    daemon = make_daemon("http://127.0.0.1:9")
    daemon.state_dir = disk / "state"
    daemon.database = daemon.state_dir / "galloc.db"
    daemon.start()
    run = daemon.create([(f"K{n:03}", {"pad": "x" * 500}) for n in range(400)], AGENTS, endpoint="workers")
    worker = Worker(daemon.socket)
    held = worker.lease(max=50, ttl_ms=3600000)
    fill_disk(disk)
    refused = wait_until(lambda: (answer := worker.ask(max=1)).status == 507 and answer, 30, "a lease is refused")
    assert refused.json["code"] == "disk_full" and refused.headers["Retry-After"]
    told = worker.call("POST", f"/v1/leases/{held['lease']}/results", {"results": decide(held)})
    assert told.status in (200, 503, 507), told
    (disk / "ballast").unlink()
    wait_until(lambda: worker.ask(max=1, ttl_ms=100).status == 200, 30, "there is room again")
    assert {item["verdict"] for item in worker.tell(held, decide(held))} <= {"duplicate", "succeeded"}, "whatever became of the first telling"
    assert daemon.counts(run)["succeeded"] == 50
    assert daemon.ctl("doctor").returncode == 0
    daemon.stop()
