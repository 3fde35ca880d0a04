#!/usr/bin/env python3
"""A service that decides for galloc (provider "http"): each assignment goes to the candidate with the smallest share of their places taken.

Start it, and name it in gallocd.conf:

    ./http-decider.py 8088

    endpoint "mine" {
        provider = "http"
        base_url = "http://127.0.0.1:8088/allocate"
        test_path = "/health"
    }

    gallocctl endpoint test mine
    gallocctl enqueue assignments.csv --agents agents.csv --endpoint mine --follow

With DECIDER_KEY set it answers only who sends that key (`Authorization: Bearer KEY`, the endpoint's api_key_file). Standard library alone; what is
your own is decide(). The wire is described in gallocd.conf(5).
"""
import collections
import hmac
import http.server
import json
import os
import sys
import threading

KEY = os.environ.get("DECIDER_KEY", "")
LARGEST_BODY = 1 << 20
ANSWERS_KEPT = 10000  # so many are remembered for an attempt that is asked again


class Refusal(Exception):
    """Why an assignment is not decided; `retry` says whether asking again later is of use."""

    def __init__(self, code, message, retry=False):
        super().__init__(message)
        self.code, self.retry = code, retry


def decide(fields, candidates):
    """The decision itself: (agent_id, reason, confidence). Candidates have room now; `capacity` and `free` are None without a limit."""
    if not candidates:
        raise Refusal("no_candidate", "nobody was named as a candidate")
    region = fields.get("region")

    def rank(agent):
        is_far = region is not None and agent["attributes"].get("region") not in (None, region)
        taken = agent["held"] / agent["capacity"] if agent["capacity"] else 0
        return is_far, taken, agent["agent_id"]

    chosen = min(candidates, key=rank)
    return chosen["agent_id"], f"{chosen['held']} places taken", 1.0


class Decider(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # galloc keeps its connections and uses them again
    answers = collections.OrderedDict()
    lock = threading.Lock()

    def reply(self, status, answer):
        body = json.dumps(answer, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def is_allowed(self):
        return not KEY or hmac.compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {KEY}".encode())

    def do_GET(self):
        """The test request: well, or not."""
        self.reply(200 if self.is_allowed() else 401, {"ok": self.is_allowed()})

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST_BODY:
            self.close_connection = True
            self.reply(413, {"error": {"code": "too_large", "message": f"more than {LARGEST_BODY} bytes"}})
            return
        body = self.rfile.read(length)
        if not self.is_allowed():
            self.reply(401, {"error": {"code": "key", "message": "the key is missing or wrong"}})
            return
        attempt = self.headers.get("X-Galloc-Attempt")
        with self.lock:
            known = self.answers.get(attempt)
        answer = known if known is not None else self.answer(body)
        with self.lock:  # asked again, the same attempt gets the same answer
            self.answers[attempt] = answer
            while len(self.answers) > ANSWERS_KEPT:
                self.answers.popitem(last=False)
        self.reply(200, answer)

    def answer(self, body):
        try:
            asked = json.loads(body)
            agent_id, reason, confidence = decide(asked["fields"], asked["candidates"])
        except Refusal as refusal:
            return {"error": {"code": refusal.code, "message": str(refusal), "retry": refusal.retry}}
        except (ValueError, KeyError, TypeError) as problem:
            return {"error": {"code": "bad_request", "message": f"the request cannot be read: {problem!r}", "retry": False}}
        return {"agent_id": agent_id, "reason": reason, "confidence": confidence}

    def log_message(self, *args):
        """A line a request is too much."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8088
    server = Server(("127.0.0.1", port), Decider)
    print(f"deciding at http://127.0.0.1:{server.server_port}/allocate", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
