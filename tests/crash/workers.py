"""R19: outside workers that misbehave: killed in the middle, stopped beyond their lease and then going on, telling twice, telling under a number that is not theirs,
telling of keys that they never had. Nothing of it changes what is in other hands (I-5, I-11), and nothing stays leased (I-12).
"""
import json
import signal
import subprocess
import sys
import time

from bench import Bench
from harness import wait_until
from history import Client
from load import Load, part_rows

TTL_MS = 1200
SLACK_S = 2.0  # within which the rows of a lease that ran out are pending again

# A worker of its own process: leases, says so, waits for a line, tells what it decided, prints the verdicts. Only http.client and json.
WORKER = """
import http.client, json, socket, sys
path, run, name, ttl = sys.argv[1:5]
def ask(method, target, body):
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request(method, target, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    return json.loads(text) if text else None
lease = ask("POST", "/v1/leases", {"worker": name, "run": run, "max": 3, "ttl_ms": int(ttl), "wait_ms": 5000})
print(json.dumps(lease), flush=True)
sys.stdin.readline()
results = [{"key": row["key"], "agent_id": lease["agents"][0]["agent_id"]} for row in lease["assignments"]]
print(json.dumps(ask("POST", "/v1/leases/%s/results" % lease["lease"], {"results": results})), flush=True)
"""


class Process:
    """That worker, as a process that can be killed and stopped."""

    def __init__(self, daemon, run, name, ttl_ms=TTL_MS):
        self.process = subprocess.Popen([sys.executable, "-c", WORKER, daemon.socket, run, name, str(ttl_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lease = self.read()
        self.taken_s = time.monotonic()

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line.strip() else None

    def tell(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def end(self):
        self.process.kill()
        self.process.communicate()


def verdicts(answer):
    return {item["key"]: item["verdict"] for item in answer["items"]}


def keys_of(lease):
    return [row["key"] for row in lease["assignments"]] if lease else []


def others_lease(bench, client, run, count):
    """Another worker's lease, over rows that are free again."""
    def take():
        op = client.call("lease", "POST", "/v1/leases", {"run": run}, {"worker": "other", "run": run, "max": count, "ttl_ms": 60000})
        return op.answer if op.is_ok and op.answer else None

    return wait_until(take, TTL_MS / 1000 + SLACK_S + 10, "the rows are handed out again")


def check_all(bench, what, answer, wanted):
    wrong = {key: verdict for key, verdict in verdicts(answer).items() if verdict not in wanted}
    if wrong:
        bench.violation("broken", f"{what}: {wrong}, allowed are {wanted}")


def killed(bench, daemon, client, run):
    """kill -9 in the middle: its rows are pending again in time."""
    worker = Process(daemon, run, "killed")
    worker.end()
    keys = keys_of(worker.lease)
    wait_until(lambda: daemon.counts(run)["leased"] == 0, TTL_MS / 1000 + SLACK_S + 20, "nothing is leased")
    late_s = time.monotonic() - worker.taken_s - TTL_MS / 1000
    if late_s > SLACK_S:
        bench.violation("broken", f"rows of a worker that was killed were held {late_s:.2f} s beyond their lease: {keys}")


def stopped(bench, daemon, client, run):
    """STOP beyond the lease; its rows go to another; CONT and tell: stale, and the other's decision counts."""
    worker = Process(daemon, run, "stopped")
    worker.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: daemon.counts(run)["leased"] == 0, TTL_MS / 1000 + SLACK_S + 20, "the lease runs out")
    other = others_lease(bench, client, run, 1)
    worker.process.send_signal(signal.SIGCONT)
    told = verdicts(worker.tell())
    for key in keys_of(other):
        if told.get(key, "stale") != "stale":
            bench.violation("broken", f"{key}, which another has under lease {other['lease']}, was decided under {worker.lease['lease']}: {told[key]}")
    for key, verdict in told.items():
        if verdict not in ("stale", "duplicate"):
            bench.violation("broken", f"{key} was decided under lease {worker.lease['lease']}, which had run out: {verdict}")
    tell(bench, client, run, other["lease"], keys_of(other), ("succeeded",), "the one who has it now")
    worker.end()


def tell(bench, client, run, lease, keys, wanted, what):
    about = {"lease": lease, "run": run, "agents": {key: "A" for key in keys}}
    op = client.call("results", "POST", f"/v1/leases/{lease}/results", about, {"results": [{"key": key, "agent_id": "A"} for key in keys]})
    if not op.is_ok:
        bench.violation("broken", f"{what}: {op}")
    else:
        check_all(bench, what, op.answer, wanted)


def twice(bench, daemon, client, run):
    """The same told twice, over a restart between: the second changes nothing."""
    lease = others_lease(bench, client, run, 2)
    tell(bench, client, run, lease["lease"], keys_of(lease), ("succeeded",), "told once")
    if bench.dice.random() < 0.3:
        daemon.kill()
        daemon.start()
    tell(bench, client, run, lease["lease"], keys_of(lease), ("duplicate", "stale"), "told twice")


def wrong(bench, daemon, client, run):
    """Numbers and keys that are not the worker's."""
    mine, other = others_lease(bench, client, run, 1), others_lease(bench, client, run, 1)
    tell(bench, client, run, mine["lease"], keys_of(other), ("stale",), "another's key")
    tell(bench, client, run, str(int(other["lease"]) + 100000), keys_of(mine), ("stale",), "a number that was never given")
    tell(bench, client, run, mine["lease"], ["nowhere"], ("stale",), "a key that is not there")
    tell(bench, client, run, mine["lease"], keys_of(mine), ("succeeded",), "its own")
    client.call("release", "DELETE", f"/v1/leases/{other['lease']}", {"lease": other["lease"]})


def cancelled(bench, daemon, client, run):
    """What an operator took away is told in vain."""
    lease = others_lease(bench, client, run, 1)
    keys = keys_of(lease)
    client.call("cancel", "POST", f"/v1/runs/{run}/cancel", {"run": run, "keys": keys}, {"keys": keys})
    client.call("retry", "POST", f"/v1/runs/{run}/retry", {"run": run, "keys": keys}, {"keys": keys})
    again = others_lease(bench, client, run, 99)
    tell(bench, client, run, lease["lease"], keys, ("stale",), "a lease whose row was cancelled, retried and handed out anew")
    client.call("release", "DELETE", f"/v1/leases/{again['lease']}", {"lease": again["lease"]})


FAULTS = (stopped, killed, twice, wrong, cancelled)


def run(options):
    with Bench(options, "R19", "faults of outside workers", sim=("--latency_ms", 10)) as bench:
        daemon = bench.subject()
        daemon.start()
        load = Load(daemon, bench.history, options.seed, importers=1, followers=0, readers=0, workers=2)
        bench.callback(load.stopping.set)
        load.start()
        client = Client(daemon, bench.history, "steady")
        for number in range(options.rounds):
            tag = f"faults{number}"
            op = client.call("create", "POST", "/v1/runs", {"idem": tag}, {"name": tag, "endpoint": "workers", "agents": [{"agent_id": "A", "capacity": 100}]},
                             headers={"Idempotency-Key": tag})
            run_id = op.answer["id"]
            text, rows = part_rows(tag, 1, 8, bench.dice)
            client.call("part", "PUT", f"/v1/runs/{run_id}/parts/1", {"run": run_id, "n": 1, "rows": rows}, text, content_type="application/x-ndjson")
            client.call("commit", "POST", f"/v1/runs/{run_id}/commit", {"run": run_id}, {"parts": 1})
            FAULTS[number % len(FAULTS)](bench, daemon, client, run_id)
            client.call("cancel_all", "POST", f"/v1/runs/{run_id}/cancel", {"run": run_id}, {"all": True})
            bench.report.rounds += 1
            if not bench.report.verdict.is_clean:
                return bench.done()
        bench.check_end(daemon, load)
        return bench.done()
