#!/usr/bin/env python3
"""An outside worker for galloc; standard library alone. Put your own rule, or your own model, into decide().

As the command of `gallocctl work`, which leases, renews, retries and restarts for it:
    gallocctl work --parallel 4 -- ./worker.py
By itself on the daemon's socket (the worker socket, where there is one):
    ./worker.py /run/galloc/gallocd.sock [RUN]
"""
import http.client
import json
import os
import socket
import sys
import threading
import time


def speciality_of(fields):
    return "servicing" if fields.get("status", "regular") == "regular" else "recovery"


def decide(lease):
    """The rule: an agent of the same region and of the speciality that the loan needs; of several the one with the smallest load. Where nobody fits, the nearest match."""
    held = {agent["agent_id"]: agent["held"] for agent in lease["agents"]}
    free = {agent["agent_id"]: agent["free"] for agent in lease["agents"]}  # None: no limit

    def results():
        for assignment in lease["assignments"]:
            fields, allowed = assignment["fields"], assignment.get("candidates", held)
            able = [agent for agent in lease["agents"] if agent["agent_id"] in allowed and free[agent["agent_id"]] != 0]
            if not able:
                yield {"key": assignment["key"], "error": {"code": "no_room", "message": "nobody in this lease has room", "retry": True}}
                continue

            def misfit(agent, fields=fields):
                attributes = agent["attributes"]
                return ((attributes.get("region") != fields.get("region")) + (attributes.get("speciality") != speciality_of(fields)),
                        held[agent["agent_id"]], agent["agent_id"])

            misses, _, chosen = misfit(min(able, key=misfit))
            held[chosen] += 1
            if free[chosen] is not None:
                free[chosen] -= 1
            reason = "same region and speciality, smallest load" if misses == 0 else "nobody of the region and speciality has room: the nearest match"
            yield {"key": assignment["key"], "agent_id": chosen, "reason": reason, "confidence": [0.9, 0.5, 0.2][misses]}

    return list(results())


class Galloc(http.client.HTTPConnection):
    """The daemon's API on its Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=90)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def call(path, method, url, body=None):
    """(status, JSON). A daemon that restarts, drains or is busy is waited for: everything here may be repeated safely."""
    while True:
        galloc = Galloc(path)
        try:
            galloc.request(method, url, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
            answer = galloc.getresponse()
            text = answer.read()
            if answer.status not in (429, 503, 507):
                return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException):
            pass
        finally:
            galloc.close()
        time.sleep(1)


def renew(path, lease, is_done):
    """Holds the lease while the batch is decided. One that is lost (410) fences what is told of it: nothing comes of it twice."""
    while not is_done.wait(lease["ttl_ms"] / 3000):
        if call(path, "POST", f"/v1/leases/{lease['lease']}/renew")[0] != 200:
            return


def serve(path, run=None):
    ask = {"worker": f"{socket.gethostname()}:{os.getpid()}", "max": 10, "wait_ms": 20000, **({"run": run} if run else {})}
    while True:
        status, lease = call(path, "POST", "/v1/leases", ask)
        if status == 204:
            continue  # nothing to do within the wait
        if status != 200:
            print(lease["detail"], file=sys.stderr)
            if lease["code"] == "paused":
                continue
            return 0 if lease["code"] == "wrong_state" else 1  # wrong_state: the run is done
        is_done = threading.Event()
        threading.Thread(target=renew, args=(path, lease, is_done), daemon=True).start()
        try:
            results = decide(lease)
        finally:
            is_done.set()
        status, told = call(path, "POST", f"/v1/leases/{lease['lease']}/results", {"results": results})
        for item in told.get("items", []):
            if item["verdict"] not in ("succeeded", "duplicate"):
                print(f"{item['key']}: {item['verdict']} {item.get('message', '')}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(serve(*sys.argv[1:3]))
    json.dump({"results": decide(json.load(sys.stdin))}, sys.stdout)
