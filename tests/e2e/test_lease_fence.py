"""The fence of outside workers' leases: whoever comes late, twice, or after a crash changes nothing, and no lease is held by somebody who is gone."""
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import BUILD, SLOWNESS, faketime, faketime_library, wait_until
from lease_worker import Worker, decide

AGENTS = [{"agent_id": "A0", "capacity": 500}, {"agent_id": "A1", "capacity": 500}]


@pytest.fixture
def alone(make_daemon):
    return make_daemon("http://127.0.0.1:9").start()


def enqueue(daemon, count=4, **members):
    return daemon.create([(f"K{n:03}", {"n": n}) for n in range(count)], AGENTS, endpoint="workers", **members)


class Process:
    """A worker that can be stopped and killed: it has a lease when this returns."""

    def __init__(self, daemon, **asks):
        self.process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("lease_worker.py")), daemon.socket, json.dumps({"worker": "process", **asks})],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "GALLOC_BUILD": str(BUILD)})
        self.lease = json.loads(self.process.stdout.readline())

    def signal(self, number):
        self.process.send_signal(number)

    def told(self):
        """Lets it tell its results, and gives the verdicts."""
        out, _ = self.process.communicate("go on\n", timeout=30 * SLOWNESS)
        return [item["verdict"] for item in json.loads(out)]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def processes():
    made = []

    def make(daemon, **asks):
        made.append(Process(daemon, **asks))
        return made[-1]

    yield make
    for process in made:
        process.end()


def database(daemon, query):
    with sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


def test_a_worker_that_stood_still_past_its_lease_is_stale(alone, processes):
    run = enqueue(alone)
    stopped = processes(alone, ttl_ms=500, max=4)
    stopped.signal(signal.SIGSTOP)
    other = Worker(alone.socket, "other")
    verdicts = []
    while len(verdicts) < 4:  # what was lost with a worker goes out alone from then on
        lease = other.lease(max=10, wait_ms=20000)
        assert len(lease["assignments"]) == 1 and int(lease["lease"]) > int(stopped.lease["lease"])
        verdicts += other.tell(lease, [{"key": row["key"], "agent_id": "A1"} for row in lease["assignments"]])
    before = alone.results(run)
    stopped.signal(signal.SIGCONT)
    assert stopped.told() == ["stale"] * 4
    assert alone.results(run) == before and {row["agent_id"] for row in before} == {"A1"}
    assert alone.run(run)["retries"]["lost"] == 4 and alone.run(run)["retries"]["spent"] == 0


def test_the_same_worker_does_not_pass_its_own_former_fence(alone):
    enqueue(alone, 1)
    worker = Worker(alone.socket)
    first = worker.lease(ttl_ms=100)
    second = worker.lease(ttl_ms=60000, wait_ms=20000)
    assert second["assignments"][0]["key"] == first["assignments"][0]["key"] and int(second["lease"]) > int(first["lease"])
    assert worker.tell(first, decide(first))[0]["verdict"] == "stale"
    assert worker.renew(first).status == 410 and worker.give_back(first).status == 410
    assert worker.tell(second, decide(second))[0]["verdict"] == "succeeded"
    assert worker.tell(second, decide(second))[0]["verdict"] == "duplicate"


def test_a_killed_worker_holds_nothing_longer_than_its_lease(alone, processes):
    run = enqueue(alone, 40)
    assert alone.api("GET", "/v1/status").json["leases"] == {"open": 0, "rows": 0, "expired": 0}
    dead = [processes(alone, ttl_ms=60000, max=10) for _ in range(4)]
    assert alone.counts(run)["leased"] == 40
    assert alone.api("GET", "/v1/status").json["leases"] == {"open": 4, "rows": 40, "expired": 0}
    for process in dead:
        assert Worker(alone.socket).renew(process.lease, ttl_ms=1000).status == 200
        process.signal(signal.SIGKILL)
    killed_at = time.monotonic()
    wait_until(lambda: alone.counts(run)["leased"] == 0, 10, "all are pending again")
    assert time.monotonic() - killed_at < 3 * SLOWNESS, "ttl + 2 s"
    assert alone.counts(run)["pending"] == 40
    wait_until(lambda: alone.log.count("lease_expired") > 0, 5, "it is told")
    line = next(line for line in alone.log.splitlines() if "lease_expired" in line)
    assert 'worker="process"' in line and f"run={run}" in line and "rows=10" in line
    metrics = alone.api("GET", "/metrics").body
    assert alone.api("GET", "/v1/status").json["leases"] == {"open": 0, "rows": 0, "expired": 4}
    assert "galloc_leases_expired_total 4" in metrics and 'galloc_leases{worker_kind="outside"} 0' in metrics
    events = [event for event in alone.api("GET", f"/v1/events?since=0&follow=false&run={run}").lines if event["type"] == "lease_expired"]
    assert len(events) == 4 and all(event["rows"] == 10 and event["worker"] == "process" for event in events)
    assert alone.ctl("doctor").returncode == 0


def test_an_assignment_that_loses_three_workers_alone_is_poison(alone):
    run = enqueue(alone, 2)
    assert len(Worker(alone.socket, "in-company").lease(max=2, ttl_ms=100)["assignments"]) == 2
    lost = []
    while len(lost) < 3:
        worker = Worker(alone.socket, f"number-{len(lost)}")
        lease = worker.lease(max=2, ttl_ms=100, wait_ms=20000)
        assert len(lease["assignments"]) == 1, "what was lost in company is handed out alone"
        if lease["assignments"][0]["key"] == "K000":
            lost.append(worker.name)
        else:
            assert worker.tell(lease, decide(lease))[0]["verdict"] == "succeeded"
    done = alone.wait_done(run)
    assert done["counts"]["failed"] == 1 and done["counts"]["succeeded"] == 1 and done["retries"]["spent"] == 0
    error = alone.results(run, "failed")[0]["error"]
    assert error["code"] == "poison" and all(name in error["message"] for name in lost) and "in-company" not in error["message"]


# ---- the daemon's own lives ----

def test_results_of_before_a_crash_are_taken_after_it(alone):
    run = enqueue(alone, 4, options={"match": []})
    worker = Worker(alone.socket)
    lease = worker.lease(max=4, ttl_ms=60000)
    assert worker.tell(lease, decide(lease)[:1])[0]["verdict"] == "succeeded"
    alone.kill()
    alone.start()
    assert [(item["lease"], item["worker"], item["rows"]) for item in alone.api("GET", "/v1/leases").json["items"]] == [(lease["lease"], "w1", 3)]
    assert alone.counts(run)["leased"] == 3
    assert [item["verdict"] for item in worker.tell(lease, decide(lease))] == ["duplicate", "succeeded", "succeeded", "succeeded"]
    alone.wait_done(run)
    assert database(alone, "SELECT count(*) FROM result")[0][0] == 4


def test_a_match_is_checked_after_a_restart_too(alone):
    agents = [{"agent_id": "N", "attributes": {"region": "north"}}, {"agent_id": "S", "attributes": {"region": "south"}}]
    run = alone.create([("K0", {"region": "north"}), ("K1", {"region": "south"})], agents, endpoint="workers", options={"match": ["region=region"]})
    worker = Worker(alone.socket)
    lease = worker.lease(max=2, ttl_ms=60000)
    alone.kill()
    alone.start()
    items = worker.tell(lease, [{"key": "K1", "agent_id": "S"}, {"key": "K0", "agent_id": "S"}])
    assert [item["verdict"] for item in items] == ["succeeded", "invalid_answer"], run


def test_a_lease_outlives_the_daemon_and_runs_out_under_the_next(alone):
    run = enqueue(alone, 3)
    worker = Worker(alone.socket)
    lease = worker.lease(max=3, ttl_ms=1000)
    alone.kill()
    alone.start()
    assert worker.renew(lease).status == 200, "a start leaves it time to be renewed"
    assert alone.counts(run)["leased"] == 3
    wait_until(lambda: alone.counts(run)["leased"] == 0, 10, "then it runs out")
    assert [item["verdict"] for item in worker.tell(lease, decide(lease))] == ["stale"] * 3


def test_places_in_outside_hands_are_kept_over_a_crash(alone):
    run = alone.create([(f"K{n}", {}) for n in range(9)], [{"agent_id": "A0", "capacity": 5}], endpoint="workers")
    worker = Worker(alone.socket)
    assert len(worker.lease(max=3, ttl_ms=60000)["assignments"]) == 3
    alone.kill()
    alone.start()
    assert len(worker.lease(max=9, ttl_ms=60000)["assignments"]) == 2 and worker.lease(max=9) is None
    assert alone.counts(run)["failed"] == 0


def test_numbers_of_leases_only_grow_over_crashes(alone):
    enqueue(alone, 6)
    worker = Worker(alone.socket)
    numbers = []
    for _ in range(4):
        numbers.append(int(worker.lease()["lease"]))
        alone.kill()
        alone.start()
    assert numbers == sorted(set(numbers))


def test_a_cancelled_assignment_is_stale(alone):
    run = enqueue(alone, 3)
    worker = Worker(alone.socket)
    lease = worker.lease(max=3)
    assert alone.api("POST", f"/v1/runs/{run}/cancel", {"keys": ["K001"]}).status == 200
    wait_until(lambda: alone.counts(run)["cancelled"] == 1, 10, "it is cancelled")
    assert [item["verdict"] for item in worker.tell(lease, decide(lease))] == ["succeeded", "stale", "succeeded"]
    alone.wait_done(run)
    held = {agent["agent_id"]: agent["held"] for agent in alone.api("GET", f"/v1/runs/{run}/load").json["items"]}
    assert sum(held.values()) == 2


def test_a_cancelled_run_ends_its_leases(alone):
    run = enqueue(alone, 3)
    worker = Worker(alone.socket)
    lease = worker.lease(max=3)
    assert alone.api("POST", f"/v1/runs/{run}/cancel", {"all": True}).status == 200
    alone.wait_done(run)
    wait_until(lambda: alone.api("GET", "/v1/leases").json["items"] == [], 10, "no lease stands")
    assert worker.renew(lease).status == 410
    assert [item["verdict"] for item in worker.tell(lease, decide(lease))] == ["stale"] * 3


@pytest.mark.skipif(faketime_library() is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("jump", ["+86400", "-86400"])
def test_a_clock_that_jumps_a_day_neither_cuts_nor_holds_a_lease(make_daemon, tmp_path, jump):
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    daemon = make_daemon("http://127.0.0.1:9", environment=faketime(offset)).start()
    run = enqueue(daemon, 2)
    worker = Worker(daemon.socket)
    kept, left = worker.lease(ttl_ms=60000), worker.lease(ttl_ms=1500)
    offset.write_text(jump + "\n")
    began = time.monotonic()
    assert worker.renew(kept, ttl_ms=60000).status == 200 and daemon.counts(run)["leased"] == 2, "neither is cut short"
    wait_until(lambda: daemon.counts(run)["leased"] == 1, 10, "the other runs out in its time")
    assert time.monotonic() - began < 4 * SLOWNESS
    assert worker.tell(kept, decide(kept))[0]["verdict"] == "succeeded" and worker.tell(left, decide(left))[0]["verdict"] == "stale"
