"""Places that a worker's results claim until the store has answered: none stays claimed, whatever becomes of the lease meanwhile."""
import contextlib
import json
import sqlite3
import time

import pytest

from harness import UnixConnection, wait_until
from lease_worker import Worker, decide

COUNT = 4


@pytest.fixture
def alone(make_daemon):
    return make_daemon("http://127.0.0.1:9").start()


@contextlib.contextmanager
def held_up(daemon):
    """The store commits nothing meanwhile: another process has the database's lock."""
    connection = sqlite3.connect(daemon.database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


class Sent:
    """A request whose answer is not waited for; once another one was answered, the daemon has it."""

    def __init__(self, daemon, method, path, body=None):
        self.connection = UnixConnection(daemon.socket, 60)
        self.connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"} if body else {})
        assert daemon.api("GET", "/v1/status").status == 200

    def answer(self):
        answer = self.connection.getresponse()
        text = answer.read()
        self.connection.close()
        assert answer.status == 200, text
        return json.loads(text)


def sum_of(daemon, run, name):
    return sum(agent[name] for agent in daemon.api("GET", f"/v1/runs/{run}/load").json["items"])


def tell(daemon, run, lease, times):
    """Results on so many connections, none of them stored yet when this returns."""
    told = [Sent(daemon, "POST", f"/v1/leases/{lease['lease']}/results", {"results": decide(lease)}) for _ in range(times)]
    wait_until(lambda: sum_of(daemon, run, "in_flight") == COUNT * times, 20, "the places are claimed")
    return told


def end_by_results(daemon, run, lease):
    with held_up(daemon):
        return tell(daemon, run, lease, 3)


def end_by_delete(daemon, run, lease):
    with held_up(daemon):
        return [Sent(daemon, "DELETE", f"/v1/leases/{lease['lease']}"), *tell(daemon, run, lease, 1)][1:]


def end_by_time(daemon, run, lease):
    assert Worker(daemon.socket).renew(lease, ttl_ms=100).status == 200
    with held_up(daemon):
        end = time.monotonic() + 0.3
        wait_until(lambda: time.monotonic() > end, 10, "its time is over")
        return tell(daemon, run, lease, 1)


@pytest.mark.parametrize("end, allocated", [(end_by_results, COUNT), (end_by_delete, None), (end_by_time, None)])
def test_no_place_stays_claimed_when_a_lease_ends_beside_its_results(alone, end, allocated):
    run = alone.create([(f"K{n}", {}) for n in range(COUNT)], [{"agent_id": "A0", "capacity": COUNT}], endpoint="workers")
    lease = Worker(alone.socket).lease(max=COUNT, ttl_ms=60000)
    verdicts = [item["verdict"] for told in end(alone, run, lease) for item in told.answer()["items"]]
    assert set(verdicts) <= {"succeeded", "duplicate", "stale"}, verdicts
    count = verdicts.count("succeeded")
    assert count == allocated or allocated is None and count in (0, COUNT)
    assert (sum_of(alone, run, "in_flight"), sum_of(alone, run, "held")) == (0, count)
    if alone.counts(run)["pending"] > 0:
        Worker(alone.socket).work(max=COUNT, wait_ms=5000)
    assert alone.wait_done(run, 20)["counts"]["succeeded"] == COUNT and sum_of(alone, run, "in_flight") == 0
