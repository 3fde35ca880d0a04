"""Mixed load on a daemon that may be gone at any moment: imports, what operators do, readers, an event's follower, outside workers. Every call is logged in a
history.History. A client that lost its answer asks again, under the same Idempotency-Key or part number, as the manual tells it to.
"""
import hashlib
import http.client
import json
import random
import threading
import time

import harness
from history import Client

AGENTS = 6
BACKLOG_ROWS = 3000  # importers wait while more are unfinished


def part_rows(tag, n, count, dice):
    """A part of `count` rows: its lines, and its content as the checker wants it."""
    lines, rows = [], {}
    for index in range(count):
        key = f"{tag}-{n}-{index}"
        fields = json.dumps({"region": harness.REGIONS[index % 4], "note": "x" * dice.randrange(120), "n": index})
        lines.append(f'{{"key":"{key}","fields":{fields},"row":{n * 100000 + index + 1}}}')
        rows[key] = hashlib.sha256(fields.encode()).digest()
    return "\n".join(lines) + "\n", rows


class Actor(threading.Thread):
    """A client with a thread of its own. work() is called again and again until the load is stopped; what goes wrong in it is the harness's own fault."""

    def __init__(self, load, name, seed):
        super().__init__(name=name, daemon=True)
        self.load, self.dice, self.client, self.fault = load, random.Random(f"{seed} {name}"), Client(load.daemon, load.history, name), None

    def run(self):
        try:
            while not self.load.is_stopped():
                self.work()
        except Exception as error:  # told to the harness, which fails
            self.fault = error

    def rest(self, seconds):
        self.load.stopping.wait(seconds)

    def insist(self, *arguments, **options):
        """Calls until there is a clear answer, or the load ends. The last Op."""
        while True:
            op = self.client.call(*arguments, **options)
            if op.is_ok or (op.status is not None and op.status < 500 and op.status != 429) or self.load.is_stopped():
                return op
            self.rest(0.01 + 0.05 * self.dice.random())


class Importer(Actor):
    count = 0

    def work(self):
        if self.load.backlog() > BACKLOG_ROWS:
            self.rest(0.05)
            return
        self.count += 1
        tag = f"{self.name}.{self.count}"
        run = self.create(tag)
        if run is None:
            return
        parts = self.dice.randrange(1, 4)
        for n in range(1, parts + 1):
            text, rows = part_rows(tag, n, self.dice.randrange(1, self.load.rows_most), self.dice)
            op = self.insist("part", "PUT", f"/v1/runs/{run}/parts/{n}", {"run": run, "n": n, "rows": rows}, text, content_type="application/x-ndjson")
            if not op.is_ok:
                return
            if op.answer["accepted"] != len(rows):
                self.load.history.complain(f"part {n} of {run} accepted {op.answer['accepted']} of {len(rows)} good rows")
            self.load.add_rows(run, list(rows))
        if self.insist("commit", "POST", f"/v1/runs/{run}/commit", {"run": run}, {"parts": parts}).is_ok:
            self.load.add_run(run)
            if self.dice.random() < 0.3:
                self.append(tag, run)

    def append(self, tag, run):
        """More rows for a run that may be done by then."""
        for n in range(901, 901 + self.dice.randrange(1, 3)):
            text, rows = part_rows(tag, n, self.dice.randrange(1, self.load.rows_most), self.dice)
            idem = f"{tag}+{n}"
            op = self.insist("append", "POST", f"/v1/runs/{run}/assignments", {"run": run, "idem": idem, "rows": rows}, text, headers={"Idempotency-Key": idem},
                             content_type="application/x-ndjson")
            if op.is_ok:
                self.load.add_rows(run, list(rows))

    def create(self, tag):
        agents = [{"agent_id": f"{tag}-A{n}", "capacity": self.load.capacity, "attributes": {"region": harness.REGIONS[n % 4]}} for n in range(AGENTS)]
        body = {"name": tag, "agents": agents, "profile": self.dice.choice(self.load.profiles), "options": {"workers_too": True} if self.load.has_leases else {}}
        op = self.insist("create", "POST", "/v1/runs", {"idem": tag}, body, headers={"Idempotency-Key": tag})
        return op.answer["id"] if op.is_ok else None


class Operator(Actor):
    """Cancels and retries keys, pauses and resumes runs: each run by this one actor alone, so that the last order is the one that holds."""

    def work(self):
        self.rest(0.02 * self.dice.random())
        run, keys = self.load.some_run(self.dice)
        if run is None:
            self.rest(0.05)
            return
        what = self.dice.randrange(4)
        if what == 0:
            self.client.call("pause", "POST", f"/v1/runs/{run}/pause", {"run": run})
            self.insist("resume", "POST", f"/v1/runs/{run}/resume", {"run": run})
        elif what == 1:
            self.insist("set", "PATCH", f"/v1/runs/{run}", {"run": run}, {"priority": self.dice.randrange(-9, 9)})
        else:
            chosen = self.dice.sample(keys, min(len(keys), self.dice.randrange(1, 8)))
            self.insist("cancel", "POST", f"/v1/runs/{run}/cancel", {"run": run, "keys": chosen}, {"keys": chosen})
            if what == 3:
                self.insist("retry", "POST", f"/v1/runs/{run}/retry", {"run": run, "keys": chosen}, {"keys": chosen})


class Purger(Actor):
    """Ends some runs as a whole, tries what failed again, and purges what has ended: by hand, or the one or two oldest by age."""

    def work(self):
        self.rest(0.1 + 0.4 * self.dice.random())
        run, oldest_s = self.load.some_old_run(self.dice)
        if run is None:
            return
        what = self.dice.randrange(6)
        if what == 0:
            self.insist("retry_all", "POST", f"/v1/runs/{run}/retry", {"run": run}, {"states": ["failed"]})
        elif what == 1:
            body = {"older_than_ms": int((time.monotonic() - oldest_s) * 1000)}
            self.purge(None, body)
        else:
            if what == 2:
                self.insist("cancel_all", "POST", f"/v1/runs/{run}/cancel", {"run": run}, {"all": True})
            self.purge(run, {"run": run, "release": self.dice.random() < 0.5})

    def purge(self, run, body):
        op = self.insist("purge", "POST", "/v1/purge", {"run": run}, body)
        if op.is_ok:
            self.load.forget([item["id"] for item in op.answer["items"]])
        elif run is not None and op.status == 404:
            self.load.forget([run])


class Worker(Actor):
    """An outside worker: leases, renews or does not, tells, tells twice, gives back, or forgets (I-11, I-12). Its leases are short, so that some run out."""

    TTL_MS = 2000

    def work(self):
        run, _ = self.load.some_run(self.dice)
        if run is None:
            self.rest(0.05)
            return
        op = self.client.call("lease", "POST", "/v1/leases", {"run": run}, {"worker": self.name, "run": run, "max": self.dice.randrange(1, 6), "ttl_ms": self.TTL_MS})
        if not op.is_ok or not op.answer:
            self.rest(0.05)
            return
        number, rows, agents = op.answer["lease"], op.answer["assignments"], op.answer["agents"]
        self.rest(0.03 * self.dice.random())
        what = self.dice.randrange(10)
        if what == 0:
            return  # forgotten: it runs out
        if what == 1:
            self.client.call("release", "DELETE", f"/v1/leases/{number}", {"lease": number})
            return
        if what == 2:
            self.client.call("renew", "POST", f"/v1/leases/{number}/renew", {"lease": number}, {})
        results = [self.result(row, agents) for row in rows]
        body, about = {"results": results}, {"lease": number, "run": run, "agents": {row["key"]: row.get("agent_id") for row in results}}
        told = self.insist("results", "POST", f"/v1/leases/{number}/results", about, body)
        if what == 3 and told.is_ok:
            again = self.insist("results", "POST", f"/v1/leases/{number}/results", about, body)
            for item in again.answer["items"] if again.is_ok else ():
                if item["verdict"] not in ("duplicate", "stale"):
                    self.load.history.complain(f"lease {number} told {item['key']} twice, and it counted twice: {item}")

    def result(self, row, agents):
        if not agents or self.dice.random() < 0.1:
            return {"key": row["key"], "error": {"code": "busy", "message": "not now", "retry": True}}
        return {"key": row["key"], "agent_id": self.dice.choice(agents)["agent_id"], "reason": "by hand"}


class Reader(Actor):
    """Reads results, and remembers what it was shown as decided."""

    def work(self):
        self.rest(0.03)
        run, _ = self.load.some_run(self.dice)
        if run is None:
            return
        try:
            answer = self.load.daemon.api("GET", f"/v1/runs/{run}/results", timeout=20)
            rows = answer.lines if answer.status == 200 else []
        except (OSError, http.client.HTTPException, ValueError):
            return
        for row in rows:
            if row.get("agent_id"):
                self.load.history.observe(run, row["key"], row["agent_id"], "succeeded")


class Follower(Actor):
    """Follows the events across every break: no number twice, none that falls, or `reset` (I-19)."""

    last, last_type = None, None

    def work(self):
        since = "" if self.last is None else f"&since={self.last}"
        connection = harness.UnixConnection(self.load.daemon.socket, 20)
        try:
            connection.request("GET", f"/v1/events?assignments=1{since}")
            answer = connection.getresponse()
            while not self.load.is_stopped():
                line = answer.readline()
                if not line:
                    break
                if line.strip():
                    self.take(json.loads(line))
        except (OSError, http.client.HTTPException, ValueError):
            pass
        finally:
            connection.close()
        self.rest(0.05)

    def take(self, event):
        if event["type"] in ("progress", "reset"):  # snapshots
            if event["type"] == "reset":
                self.last = event.get("seq", self.last)
            return
        if self.last is not None and event["seq"] < self.last:
            self.load.history.complain(f"event {event['seq']} ({event['type']}) came after {self.last} ({self.last_type})")
        self.last, self.last_type = max(self.last or 0, event["seq"]), event["type"]


class Load:
    """Starts all actors, and says what they have under way. `capacity` is that of each of a run's agents."""

    def __init__(self, daemon, history, seed, importers=2, operators=1, readers=1, followers=1, workers=1, purgers=1, rows_most=60, capacity=60,
                 profiles=("adaptive", "adaptive", "aggressive")):
        self.daemon, self.history, self.rows_most, self.capacity, self.profiles = daemon, history, rows_most, capacity, profiles
        self.has_leases = workers > 0
        self.stopping, self._lock, self._runs, self._rows, self._pending = threading.Event(), threading.Lock(), [], {}, (0, 0.0)
        self._added_s = {}
        kinds = ((Importer, importers), (Operator, operators), (Worker, workers), (Reader, readers), (Follower, followers), (Purger, purgers))
        self.actors = [kind(self, f"{kind.__name__.lower()}{n}", seed) for kind, count in kinds for n in range(count)]

    def start(self):
        for actor in self.actors:
            actor.start()
        return self

    def is_stopped(self):
        return self.stopping.is_set()

    def stop(self):
        """Ends all actors; what any of them fell over is raised."""
        self.stopping.set()
        for actor in self.actors:
            actor.join(60)
            if actor.is_alive():
                raise AssertionError(f"{actor.name} did not end")
            if actor.fault:
                raise actor.fault

    def add_rows(self, run, keys):
        with self._lock:
            self._rows.setdefault(run, []).extend(keys)

    def add_run(self, run):
        with self._lock:
            self._runs.append(run)
            self._added_s[run] = time.monotonic()

    def forget(self, runs):
        """They are gone."""
        with self._lock:
            self._runs = [run for run in self._runs if run not in runs]

    def some_old_run(self, dice):
        """One of those that were committed, and when the second of them was; none while there are few."""
        with self._lock:
            return (dice.choice(self._runs[:-6]), self._added_s[self._runs[1]]) if len(self._runs) > 12 else (None, None)

    def some_run(self, dice):
        """One of the latest runs that were committed, and its keys."""
        with self._lock:
            run = dice.choice(self._runs[-12:]) if self._runs else None
            return run, self._rows.get(run, [])

    def committed(self):
        with self._lock:
            return list(self._runs)

    def drain(self, seconds):
        """After stop(): until every run that was committed has ended."""
        committed = set(self.committed())

        def is_done():
            return committed.isdisjoint(run["id"] for run in self.daemon.api("GET", "/v1/status").json["open"])

        harness.wait_until(is_done, seconds, lambda: "all runs end; open are: " + self.daemon.api("GET", "/v1/status").body[:3000])

    def backlog(self):
        """Rows that wait, as the daemon tells at most ten times a second."""
        count, until_s = self._pending
        if time.monotonic() < until_s:
            return count
        try:
            runs = self.daemon.api("GET", "/v1/status", timeout=10).json["open"]
            count = sum(run["counts"]["pending"] + run["counts"]["leased"] for run in runs if run["state"] != "importing")
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            pass
        self._pending = (count, time.monotonic() + 0.1)
        return count
