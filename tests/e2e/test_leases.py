"""Outside workers over the socket: what a lease holds, what a verdict says, how long it is theirs."""
import csv
import json
import socket
import threading
import time

import pytest

from fake_daemon import check_shape
from harness import ROOT, SLOWNESS, check_allocation, make_agents, make_loans, wait_until, write_csv
from lease_worker import Worker, decide

AGENTS = [{"agent_id": f"A{n}", "capacity": 100, "attributes": {"region": ("north", "south")[n % 2]}} for n in range(4)]


@pytest.fixture
def alone(make_daemon):
    """A daemon without any API that could be called: outside workers alone."""
    return make_daemon("http://127.0.0.1:9").start()


def rows(count, **fields):
    return [(f"K{n:03}", {"region": ("north", "south")[n % 2], "n": n, **fields}) for n in range(count)]


def enqueue(daemon, count=6, agents=None, **members):
    return daemon.create(rows(count), agents or AGENTS, **{"endpoint": "workers", **members})


def test_a_worker_allocates_the_examples(alone, tmp_path):
    loans, agents = ROOT / "examples" / "assignments.csv", ROOT / "examples" / "agents.csv"
    ran = alone.ctl("enqueue", loans, "--agents", agents, "--endpoint", "workers", "--match", "region=region", "-q")
    run = ran.stdout.strip()
    verdicts = Worker(alone.socket).work(max=50)
    assert {item["verdict"] for item in verdicts} == {"succeeded"}
    alone.wait_done(run)
    with open(loans, newline="") as file:
        keys = [row["lan"] for row in csv.DictReader(file)]
    results = alone.results(run)
    assert [row["key"] for row in results] == keys
    assert all(row["decided_by"] == "worker" and row["reason"] == "most free places" and row["confidence"] == 0.75 for row in results)
    assert alone.ctl("doctor").returncode == 0


def test_three_workers_share_a_run(alone, tmp_path):
    loans, agents = make_loans(600), make_agents(8, 75)
    run = alone.ctl("enqueue", write_csv(tmp_path / "loans.csv", loans), "--agents", write_csv(tmp_path / "agents.csv", agents), "-e", "workers", "-q").stdout.strip()

    def work(n):
        worker = Worker(alone.socket, f"w{n}")
        while alone.run(run)["state"] == "running":
            worker.work(max=20, wait_ms=200, run=run)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone.wait_done(run)
    check_allocation(alone.results(run), [loan["lan"] for loan in loans], agents)


def test_what_a_lease_holds(alone):
    run = enqueue(alone, options={"keep_back": ["n"], "match": ["region=region"]})
    lease = Worker(alone.socket).lease(max=2, ttl_ms=60000)
    assert lease["run"] == run and lease["ttl_ms"] == 60000 and int(lease["lease"]) > 0 and lease["expires_at"].endswith("Z")
    assert lease["assignments"] == [{"key": "K000", "attempt": 1, "fields": {"region": "north"}, "candidates": ["A0", "A2"]},
                                    {"key": "K001", "attempt": 1, "fields": {"region": "south"}, "candidates": ["A1", "A3"]}]
    assert sorted(agent["agent_id"] for agent in lease["agents"]) == ["A0", "A1", "A2", "A3"]
    assert lease["agents"][0] == {"agent_id": "A0", "attributes": {"region": "north"}, "capacity": 100, "held": 0, "free": 100}
    assert alone.counts(run)["leased"] == 2


def test_max_candidates_names_those_with_most_free_places(alone):
    agents = [{"agent_id": "A0", "capacity": 1}, {"agent_id": "A1", "capacity": 9}, {"agent_id": "A2"}]
    enqueue(alone, agents=agents, options={"max_candidates": 2})
    lease = Worker(alone.socket).lease(max=3)
    assert all(row["candidates"] == ["A1", "A2"] for row in lease["assignments"])
    assert [(agent["agent_id"], agent["capacity"], agent["free"]) for agent in lease["agents"]] == [("A1", 9, 9), ("A2", None, None)]


def test_max_candidates_is_advice_and_match_is_a_rule(alone):
    """As gallocctl(1) says: who matches is taken though he was not named, and nobody who does not."""
    enqueue(alone, options={"match": ["region=region"], "max_candidates": 1})
    worker = Worker(alone.socket)
    lease = worker.lease(max=2)
    assert [row["candidates"] for row in lease["assignments"]] == [["A0"], ["A1"]]
    items = worker.tell(lease, [{"key": "K000", "agent_id": "A2"}, {"key": "K001", "agent_id": "A2"}])
    assert [item["verdict"] for item in items] == ["succeeded", "invalid_answer"], items
    assert "not a candidate" in items[1]["message"]


def test_who_is_away_is_told_so(alone):
    agents = [{"agent_id": "A0", "available": False}, {"agent_id": "A1", "capacity": 1}]
    enqueue(alone, agents=agents)
    worker = Worker(alone.socket)
    lease = worker.lease(max=1)
    item, = worker.tell(lease, [{"key": "K000", "agent_id": "A0"}])
    assert item["verdict"] == "agent_full" and "is away" in item["message"], item


def test_answers_keep_their_contract(alone):
    run = enqueue(alone, options={"match": ["region=region"]})
    worker = Worker(alone.socket)
    check_shape("LeaseAsk", {"worker": "w1", "max": 3, "ttl_ms": 60000})
    lease = check_shape("Lease", worker.lease(max=3, ttl_ms=60000))
    check_shape("LeaseList", alone.api("GET", "/v1/leases").json)
    told = {"results": [*decide(lease)[:1], {"key": "K001", "error": {"code": "E", "message": "m", "retry": True}}, {"key": "K002", "agent_id": "nobody"}]}
    check_shape("LeaseResults", told)
    check_shape("LeaseVerdicts", worker.call("POST", f"/v1/leases/{lease['lease']}/results", told).json)
    worker.lease(max=1, ttl_ms=100)
    wait_until(lambda: "lease_expired" in alone.log, 10, "it runs out")
    for event in alone.api("GET", "/v1/events?since=0&follow=false&assignments=true").lines:
        check_shape("Event", event)
    check_shape("AttemptList", alone.api("GET", f"/v1/runs/{run}/assignments/K001/attempts").json)
    check_shape("Run", alone.run(run))
    check_shape("Status", alone.api("GET", "/v1/status").json)


def test_the_list_of_leases(alone):
    run = enqueue(alone)
    worker = Worker(alone.socket, "worker of the list")
    lease = worker.lease(max=4, ttl_ms=60000)
    items = alone.api("GET", "/v1/leases").json["items"]
    assert items == [{"lease": lease["lease"], "worker": "worker of the list", "run": run, "rows": 4, "ttl_ms": 60000, "expires_at": items[0]["expires_at"]}]
    worker.tell(lease, decide(lease)[:3])
    assert [item["rows"] for item in alone.api("GET", "/v1/leases").json["items"]] == [1]
    assert worker.give_back(lease).json == {"released": 1}
    assert alone.api("GET", "/v1/leases").json["items"] == []


def test_a_lease_is_renewed_given_back_and_lost(alone):
    run = enqueue(alone)
    worker = Worker(alone.socket)
    lease = worker.lease(max=3, ttl_ms=400)
    began = time.monotonic()
    while time.monotonic() < began + 1.2:  # three times as long as it was taken for
        assert worker.renew(lease).json["ttl_ms"] == 400
    assert worker.renew(lease, ttl_ms=90000).json["ttl_ms"] == 90000
    assert worker.tell(lease, decide(lease)[:1])[0]["verdict"] == "succeeded"
    assert worker.give_back(lease).json["released"] == 2
    for answer in (worker.renew(lease), worker.give_back(lease)):
        assert (answer.status, answer.json["code"]) == (410, "lease_lost")
    assert alone.counts(run) == {"total": 6, "pending": 5, "leased": 0, "succeeded": 1, "failed": 0, "cancelled": 0}
    assert alone.run(run)["retries"]["lost"] == 0
    again = worker.lease(max=10)
    assert [row["key"] for row in again["assignments"]] == ["K001", "K002", "K003", "K004", "K005"] and int(again["lease"]) > int(lease["lease"])


def test_verdicts_in_the_order_they_were_told(alone):
    run = enqueue(alone, 8, agents=[{"agent_id": "A0", "capacity": 1}, {"agent_id": "A1"}])
    worker = Worker(alone.socket)
    lease = worker.lease(max=8)
    told = [{"key": "K003", "agent_id": "A1"}, {"key": "K000", "agent_id": "A0"}, {"key": "K001", "agent_id": "A0"}, {"key": "K002", "agent_id": "A9"},
            {"key": "K004", "error": {"code": "E7", "message": "the scorer was down", "retry": True}}, {"key": "nowhere", "agent_id": "A1"},
            {"key": "K005", "error": {"code": "E8", "message": "no income is known"}}, {"key": "K003", "agent_id": "A1"}]
    items = worker.tell(lease, told)
    assert [(item["key"], item["verdict"]) for item in items] == [
        ("K003", "succeeded"), ("K000", "succeeded"), ("K001", "agent_full"), ("K002", "invalid_answer"), ("K004", "retry"), ("nowhere", "stale"),
        ("K005", "failed"), ("K003", "duplicate")]
    assert "A9" in items[3]["message"] and items[4]["retry_after_ms"] >= 0 and "E8: no income is known" in items[6]["message"]
    assert [item["verdict"] for item in worker.tell(lease, told)] == ["duplicate"] * 5 + ["stale"] + ["duplicate"] * 2
    failed = alone.results(run, "failed")
    assert [(row["key"], row["error"]["code"], row["error"]["message"]) for row in failed] == [("K005", "worker", "E8: no income is known")]
    group = alone.api("GET", f"/v1/runs/{run}/failures").json["items"]
    assert [(item["code"], item["message"], item["count"]) for item in group] == [("worker", "E8: no income is known", 1)]
    assert alone.counts(run) == {"total": 8, "pending": 3, "leased": 2, "succeeded": 2, "failed": 1, "cancelled": 0}
    assert alone.ctl("doctor", "--full").returncode == 0


def test_a_match_is_held_against_what_was_decided(alone):
    run = enqueue(alone, 2, options={"match": ["region=region"]})
    worker = Worker(alone.socket)
    lease = worker.lease(max=2)
    items = worker.tell(lease, [{"key": "K000", "agent_id": "A1"}, {"key": "K001", "agent_id": "A1"}])
    assert [item["verdict"] for item in items] == ["invalid_answer", "succeeded"] and "--match region=region" in items[0]["message"]
    assert worker.work(max=5)[-1]["verdict"] == "succeeded"
    assert [row["agent_id"] in ("A0", "A2") for row in alone.results(run)] == [True, False]


def test_an_error_told_again_and_again_fails(alone):
    run = enqueue(alone, 1, options={"max_retries": 1})
    worker = Worker(alone.socket)
    verdicts = []
    while lease := worker.lease(wait_ms=5000):
        verdicts += worker.tell(lease, [{"key": "K000", "error": {"message": "down", "retry": True}}])
        if verdicts[-1]["verdict"] == "failed":
            break
    assert [item["verdict"] for item in verdicts] == ["retry", "failed"]
    assert alone.results(run)[0]["error"] == {"code": "transient", "message": "down", "http_status": None}


def test_invalid_answers_have_a_budget(alone):
    run = enqueue(alone, 1)
    worker = Worker(alone.socket)
    verdicts = [worker.tell(worker.lease(), [{"key": "K000", "agent_id": "nobody"}])[0]["verdict"] for _ in range(5)]
    assert verdicts == ["invalid_answer"] * 4 + ["failed"]
    assert alone.results(run)[0]["error"]["code"] == "invalid_answer"


# ---- waiting for work ----

def test_a_poll_wakes_when_work_comes(alone):
    worker = Worker(alone.socket)
    got = []
    thread = threading.Thread(target=lambda: got.append((worker.lease(wait_ms=30000), time.monotonic())))
    thread.start()
    assert "galloc_leases" in alone.api("GET", "/metrics").body  # others are served meanwhile
    run = enqueue(alone)
    thread.join(20)
    assert got and got[0][0]["run"] == run


def test_a_poll_ends_without_work(alone):
    began = time.monotonic()
    answer = Worker(alone.socket).ask(wait_ms=700)
    assert answer.status == 204 and answer.body == "" and "Content-Length" not in answer.headers and time.monotonic() - began >= 0.7
    began = time.monotonic()
    for _ in range(10):
        assert Worker(alone.socket).ask(wait_ms=100).status == 204
    assert time.monotonic() - began < 5 * SLOWNESS, "each waits as long as it said, and not for the next full second"


def test_a_poll_wakes_when_an_assignment_is_due_again(alone):
    enqueue(alone, 1)
    worker = Worker(alone.socket)
    worker.tell(worker.lease(), [{"key": "K000", "error": {"retry": True}}])
    assert worker.lease(wait_ms=20000)["assignments"][0]["attempt"] == 2


def poll_and_leave(daemon, **asks):
    """A client that asks for work, and is gone before there is any."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(daemon.socket)
    body = json.dumps({"worker": "gone", "wait_ms": 60000, "max": 100, **asks}).encode()
    client.sendall(b"POST /v1/leases HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    return client


def test_a_poll_whose_client_is_gone_leaves_no_lease(alone):
    clients = [poll_and_leave(alone) for _ in range(20)]
    gone = poll_and_leave(alone)
    gone.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)  # so much behind it that its end is not read
    wait_until(lambda: "galloc_http_connections 22" in alone.api("GET", "/metrics").body, 20, "all are there")
    for client in [*clients, gone]:
        client.close()
    run = enqueue(alone)
    lease = Worker(alone.socket).lease(max=100, wait_ms=20000)
    assert len(lease["assignments"]) == 6, "nobody else has any"
    assert alone.counts(run)["leased"] == 6 and len(alone.api("GET", "/v1/leases").json["items"]) == 1


def test_polls_have_a_cap_of_their_own(make_daemon):
    daemon = make_daemon("http://127.0.0.1:9", settings="workers_per_uid = 3\nrequests_per_uid = 2").start()
    clients = [poll_and_leave(daemon) for _ in range(3)]
    worker = Worker(daemon.socket)
    refused = wait_until(lambda: (answer := worker.ask()).status == 429 and answer, 20, "a fourth is refused")
    assert refused.json["code"] == "too_many" and "workers_per_uid" in refused.json["detail"] and refused.headers["Retry-After"]
    assert daemon.api("GET", "/v1/status").status == 200, "requests are counted apart"
    for client in clients:
        client.close()
    wait_until(lambda: worker.ask().status == 204, 20, "there is room again")
