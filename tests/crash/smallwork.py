"""A small piece of work that touches every way into the store, by one logged client: for harnesses that repeat it hundreds of times."""
import harness
from history import Client
from load import part_rows

ROWS = 16
TIMEOUT_S = 5


class SmallWork:
    """One run under one Idempotency-Key. go() as far as the daemon lets it; finish() on a daemon that is well."""

    def __init__(self, daemon, history, tag, dice):
        self.daemon, self.tag, self.client = daemon, tag, Client(daemon, history, tag)
        self.parts = {n: part_rows(tag, n, ROWS, dice) for n in (1, 2)}
        self.more, self.thrown = part_rows(tag, 9, 4, dice), part_rows(f"{tag}x", 1, 3, dice)
        self.body = {"name": tag, "agents": [{"agent_id": f"{tag}-A", "capacity": 1000}], "options": {"workers_too": True}}
        self.run = None

    def call(self, *arguments, **options):
        return self.client.call(*arguments, timeout=TIMEOUT_S, **options)

    def enqueue(self):
        """True: the run is committed."""
        created = self.call("create", "POST", "/v1/runs", {"idem": self.tag}, self.body, headers={"Idempotency-Key": self.tag})
        if not created.is_ok:
            return False
        self.run = created.answer["id"]
        if created.answer["state"] != "importing":
            return True
        for n, (text, rows) in self.parts.items():
            if not self.call("part", "PUT", f"/v1/runs/{self.run}/parts/{n}", {"run": self.run, "n": n, "rows": rows}, text,
                             content_type="application/x-ndjson").is_ok:
                return False
        return self.call("commit", "POST", f"/v1/runs/{self.run}/commit", {"run": self.run}, {"parts": len(self.parts)}).is_ok

    def operate(self):
        """What operators and an outside worker do meanwhile."""
        keys = list(self.parts[2][1])[-3:]
        self.call("cancel", "POST", f"/v1/runs/{self.run}/cancel", {"run": self.run, "keys": keys[:1]}, {"keys": keys[:1]})
        self.call("retry", "POST", f"/v1/runs/{self.run}/retry", {"run": self.run, "keys": keys[:1]}, {"keys": keys[:1]})
        text, rows = self.more
        self.call("append", "POST", f"/v1/runs/{self.run}/assignments", {"run": self.run, "idem": f"{self.tag}+", "rows": rows}, text,
                  headers={"Idempotency-Key": f"{self.tag}+"}, content_type="application/x-ndjson")
        self.call("pause", "POST", f"/v1/runs/{self.run}/pause", {"run": self.run})
        self.call("resume", "POST", f"/v1/runs/{self.run}/resume", {"run": self.run})
        lease = self.call("lease", "POST", "/v1/leases", {"run": self.run, "worker": "w"}, {"worker": "w", "run": self.run, "max": 3, "ttl_ms": 5000})
        if lease.is_ok and lease.answer.get("lease"):
            number = lease.answer["lease"]
            self.call("renew", "POST", f"/v1/leases/{number}/renew", {"lease": number}, {})
            results = [{"key": row["key"], "agent_id": f"{self.tag}-A"} for row in lease.answer["assignments"][:2]]
            self.call("results", "POST", f"/v1/leases/{number}/results", {"lease": number, "run": self.run, "agents": {row["key"]: row["agent_id"] for row in results}},
                      {"results": results})
            self.call("release", "DELETE", f"/v1/leases/{number}", {"lease": number})

    def throw_away(self):
        """A run that never starts is cancelled and purged."""
        tag = f"{self.tag}x"
        created = self.call("create", "POST", "/v1/runs", {"idem": tag}, {**self.body, "name": tag}, headers={"Idempotency-Key": tag})
        if not created.is_ok:
            return
        run, (text, rows) = created.answer["id"], self.thrown
        self.call("part", "PUT", f"/v1/runs/{run}/parts/1", {"run": run, "n": 1, "rows": rows}, text, content_type="application/x-ndjson")
        self.call("cancel_all", "POST", f"/v1/runs/{run}/cancel", {"run": run}, {"all": True})
        self.call("purge", "POST", "/v1/purge", {"run": run}, {"run": run})

    def is_over(self):
        if not self.daemon.is_running():
            return True
        try:
            return self.daemon.api("GET", f"/v1/runs/{self.run}", timeout=TIMEOUT_S).json["state"] == "done"
        except (OSError, ValueError, KeyError, harness.http.client.HTTPException):
            return False

    def go(self, seconds=8):
        """Stops where the daemon ends, where a request is not answered well, or after so long."""
        if not self.enqueue() or not self.daemon.is_running():
            return
        self.operate()
        self.throw_away()
        try:
            harness.wait_until(self.is_over, seconds)
        except AssertionError:
            pass

    def finish(self, seconds=60):
        """The same once more: what stood is recognised, what did not is sent again, and all of it comes to its end."""
        if not self.enqueue():
            raise AssertionError(f"{self.tag} cannot be enqueued on a daemon that is well: {self.client.history.ops[-1]}")
        self.call("resume", "POST", f"/v1/runs/{self.run}/resume", {"run": self.run})
        done = self.daemon.wait_done(self.run, seconds)
        if done["counts"]["total"] not in (2 * ROWS, 2 * ROWS + len(self.more[1])):
            raise AssertionError(f"{self.tag} has {done['counts']} of {2 * ROWS} rows")
