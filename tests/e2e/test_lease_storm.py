"""Many workers at once, none of them reliable, and a daemon that is killed among them: whatever was told `succeeded` is what is stored, once."""
import os
import random
import threading
import time

from harness import SLOWNESS, wait_until
from lease_worker import Worker

AGENTS = [{"agent_id": f"A{n}", "capacity": 100} for n in range(8)]
COUNT, WORKERS = 400, 10


class Storm:
    def __init__(self, daemon, run, seed):
        self.daemon, self.run, self.seed = daemon, run, seed
        self.lock = threading.Lock()
        self.told = {}       # key: agents whose choice was answered `succeeded`
        self.latest = {}     # key: the highest lease that somebody holds or held it under
        self.passed = []     # what was taken from under a newer lease
        self.ends = threading.Event()
        self.faults = []

    def decide(self, rng, lease):
        return [{"key": row["key"], "agent_id": rng.choice(lease["agents"])["agent_id"], "reason": "drawn"} for row in lease["assignments"]]

    def tell(self, worker, lease, results):
        number = int(lease["lease"])
        with self.lock:
            fenced = {result["key"] for result in results if self.latest[result["key"]] > number}
        items = worker.tell(lease, results)
        with self.lock:
            for result, item in zip(results, items):
                if item["key"] in fenced and item["verdict"] not in ("stale", "duplicate"):
                    self.passed.append((number, item))
                if item["verdict"] == "succeeded":
                    self.told.setdefault(result["key"], []).append(result["agent_id"])
        return items

    def one(self, rng, worker):
        lease = worker.lease(max=rng.randint(1, 12), ttl_ms=rng.choice((300, 1000, 5000)), wait_ms=200)
        if lease is None:
            return
        with self.lock:
            for row in lease["assignments"]:
                self.latest[row["key"]] = max(int(lease["lease"]), self.latest.get(row["key"], 0))
        results = self.decide(rng, lease)
        way = rng.random()
        if way < 0.04:
            return                                                   # killed
        if way < 0.10:
            worker.give_back(lease)
        elif way < 0.16:                                             # stood still past its lease
            end = time.monotonic() + 0.5
            wait_until(lambda: time.monotonic() > end, 10, "it stands still")
            self.tell(worker, lease, results)
        elif way < 0.40:                                             # in parts, each told twice, in another order
            rng.shuffle(results)
            for part in (results[:3], results, results[3:]):
                self.tell(worker, lease, part)
        else:
            self.tell(worker, lease, results)

    def work(self, n):
        rng = random.Random(f"{self.seed}/{n}")
        worker = Worker(self.daemon.socket, f"w{n}")
        while not self.ends.is_set():
            try:
                self.one(rng, worker)
            except OSError:
                pass                                                 # the daemon is away
            except Exception as fault:                               # told by the test's own thread
                if "draining" not in str(fault) and "BadStatusLine" not in repr(fault) and "RemoteDisconnected" not in repr(fault):
                    self.faults.append(fault)


def test_unreliable_workers_and_a_killed_daemon(make_daemon):
    daemon = make_daemon("http://127.0.0.1:9").start()
    run = daemon.create([(f"K{n:04}", {"n": n}) for n in range(COUNT)], AGENTS, endpoint="workers")
    storm = Storm(daemon, run, os.environ["GALLOC_TEST_SEED"])
    threads = [threading.Thread(target=storm.work, args=(n,)) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    try:
        for share in (0.2, 0.6):
            wait_until(lambda: len(storm.told) > share * COUNT or storm.faults, 60, "work goes on")
            daemon.kill()
            daemon.start()
        wait_until(lambda: storm.faults or daemon.run(run)["state"] == "done", 120 * SLOWNESS, lambda: f"all is decided: {daemon.counts(run)}")
    finally:
        storm.ends.set()
        for thread in threads:
            thread.join()
    assert not storm.faults, storm.faults[0]
    results = {row["key"]: row for row in daemon.results(run)}
    assert len(results) == COUNT
    assert not storm.passed, "a late worker passed the fence"
    twice = {key: agents for key, agents in storm.told.items() if len(agents) > 1}
    assert not twice, "a decision was taken twice"
    lost = {key: agents for key, agents in storm.told.items() if results[key].get("agent_id") != agents[0]}
    assert not lost, "what was answered is not what is stored"
    failed = [row["error"]["code"] for row in results.values() if row.get("error")]
    assert set(failed) <= {"poison"} and len(failed) < COUNT // 20
    held = sum(agent["held"] for agent in daemon.api("GET", f"/v1/runs/{run}/load").json["items"])
    assert held == COUNT - len(failed)
    wait_until(lambda: daemon.api("GET", "/v1/leases").json["items"] == [], 20, "no lease is left")
    assert daemon.ctl("doctor", "--full").returncode == 0
