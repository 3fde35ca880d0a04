"""An outside worker as anybody would write one: it leases over the socket, decides by a rule, tells what it decided. Run as a program it is a process that
a test can stop and kill: python3 lease_worker.py SOCKET '{"worker": ...}' prints its lease as a line of JSON, and tells its results when it reads a line."""
import json
import sys

from harness import Answer, UnixConnection


class Worker:
    def __init__(self, socket, name="w1", **asks):
        self.socket, self.name, self.asks = socket, name, asks

    def call(self, method, path, body=None, timeout=90):
        connection = UnixConnection(self.socket, timeout)
        try:
            text = None if body is None else body if isinstance(body, (str, bytes)) else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if text is not None else {})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()

    def ask(self, **more):
        """One request for work, whatever comes of it."""
        return self.call("POST", "/v1/leases", {"worker": self.name, **self.asks, **more})

    def lease(self, **more):
        """A lease; None when there is nothing to do, or nothing left in the run."""
        answer = self.ask(**more)
        assert answer.status in (200, 204) or answer.json["code"] == "wrong_state", answer
        return answer.json if answer.status == 200 else None

    def tell(self, lease, results):
        answer = self.call("POST", f"/v1/leases/{lease['lease']}/results", {"results": results})
        assert answer.status == 200, answer
        return answer.json["items"]

    def renew(self, lease, **more):
        return self.call("POST", f"/v1/leases/{lease['lease']}/renew", more or None)

    def give_back(self, lease):
        return self.call("DELETE", f"/v1/leases/{lease['lease']}")

    def work(self, **more):
        """Leases and decides until there is nothing to do. Returns all verdicts."""
        verdicts = []
        while (lease := self.lease(**more)) is not None:
            verdicts += self.tell(lease, decide(lease))
        return verdicts


def decide(lease):
    """The candidate with most free places, each decision seen by the next."""
    free = {agent["agent_id"]: float("inf") if agent["free"] is None else agent["free"] for agent in lease["agents"]}
    results = []
    for assignment in lease["assignments"]:
        chosen = max(assignment.get("candidates", free), key=lambda agent_id: (free[agent_id], agent_id))
        free[chosen] -= 1
        results.append({"key": assignment["key"], "agent_id": chosen, "reason": "most free places", "confidence": 0.75})
    return results


def main():
    worker = Worker(sys.argv[1])
    worker.asks = json.loads(sys.argv[2])
    lease = worker.lease()
    print(json.dumps(lease), flush=True)
    sys.stdin.readline()
    print(json.dumps(worker.tell(lease, decide(lease))), flush=True)


if __name__ == "__main__":
    main()
