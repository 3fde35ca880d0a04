"""A stand-in for gallocd for tests of gallocctl alone: the API of schema/openapi.yaml on a Unix socket, in memory. Every request
and every answer is checked against that document. Faults are set by attributes; `restart()` keeps what stood, as a daemon does."""
import hashlib
import json
import os
import socketserver
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = yaml.safe_load((ROOT / "schema" / "openapi.yaml").read_text(encoding="utf-8"))
RESOLVER = jsonschema.RefResolver.from_schema(DOCUMENT)
NOW = "2026-11-23T08:00:00.000Z"


def check_shape(name, value):
    """`value` against a schema of the document, by its name."""
    schema = DOCUMENT["components"]["schemas"][name]
    jsonschema.Draft202012Validator(schema, resolver=RESOLVER).validate(value)
    return value


def problem(status, code, detail, **more):
    return status, "application/problem+json", {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail, **more}


def tokens(n=0):
    return {"in": n, "cached": 0, "out": n // 10, "thinking": 0, "tool": 0}


ENDPOINT = {
    "name": "gemini", "provider": "gemini", "model": "gemini-3.8-flash", "base_url": "http://127.0.0.1:1", "has_key": True,
    "needs_key": True, "has_test_request": True, "is_default": True, "state": "up",
    "reason": None, "text": None, "since": NOW,
    "settings": [{"name": "rpm", "value": 300000, "file_value": 120000, "set_value": 300000, "set_at": NOW, "set_by": "root", "until": None},
                 {"name": "max_in_flight", "value": 64, "file_value": 64, "set_value": None, "set_at": None, "set_by": None, "until": None}],
    "in_flight": 3456,
    "pacer": {"mode": "rate", "rate_per_min": 4567.0, "window": 5678, "concurrency": 6789, "limited_by": "rpm", "breaker": "closed", "next_at": None,
              "text": "300 a minute, set by root"},
    "counts": {"calls": 12, "succeeded": 11, "transient": 1}, "tokens": tokens(1000), "cost": {"currency": "USD", "micros": 10190000, "unknown_calls": 0},
    "since_start": {"counts": {"calls": 2}, "tokens": tokens(10), "cost": {"currency": "USD", "micros": 190000, "unknown_calls": 0}}}


class FakeDaemon:
    def __init__(self, folder):
        self.socket = str(Path(folder) / "s")
        self.runs, self.pools, self.audit = {}, {}, []
        self.requests = []           # (method, path, body) as they came
        self.seq = 100
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.events = []
        self.faults = {}             # (method, path ending) -> list of callables(handler) that answer instead, one a request
        self.auto_finish = False     # a committed run is done at once
        self.fail_keys = set()       # keys that fail when a run is finished
        self.hostile = None          # text put into reasons
        self.server = None
        self.is_up = False
        self.start()

    # ---- life ----
    def start(self):
        """Listens again with what stood before; nothing where it listens already."""
        with self.lock:
            if self.is_up:
                return
            self.is_up = True
            self.listen()

    def listen(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        daemon = self

        class Handler(_Handler):
            fake = daemon

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(self.socket, Handler)
        self.connections = []
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        """As kill -9: the socket stays, nobody listens, connections are cut."""
        with self.changed:
            if not self.is_up:
                return
            self.is_up = False
            self.server.shutdown()
            self.server.server_close()
            for connection in self.connections:
                try:
                    connection.shutdown(2)
                except OSError:
                    pass
            self.changed.notify_all()

    def restart(self):
        self.stop()
        self.start()

    # ---- what tests do ----
    def event(self, kind, **members):
        with self.changed:
            self.seq += 1
            self.events.append(check_shape("Event", {"seq": self.seq, "at": NOW, "type": kind, **members}))
            self.changed.notify_all()

    def finish(self, run):
        """Allocates everything that is pending."""
        with self.lock:
            agents = [agent["agent_id"] for agent in run["agents"]] or ["A1"]
            for number, row in enumerate(run["rows"]):
                if row["state"] != "pending":
                    continue
                row["state"] = "failed" if row["key"] in self.fail_keys else "succeeded"
                row["agent_id"] = agents[number % len(agents)] if row["state"] == "succeeded" else None
            run["state"] = "done"
            run["finished_at"] = NOW
            self.event("run_done", run=run["id"], snapshot=self.run_object(run))

    def pause(self, run, reason, text):
        with self.lock:
            run["state"], run["reasons"], run["text"] = "paused", [reason], text
            self.event("run_paused", run=run["id"], snapshot=self.run_object(run))

    def the_run(self):
        assert len(self.runs) == 1, list(self.runs)
        return next(iter(self.runs.values()))

    # ---- objects ----
    def run_object(self, run):
        counts = {state: sum(row["state"] == state for row in run["rows"]) for state in ("pending", "leased", "succeeded", "failed", "cancelled")}
        total = len(run["rows"])
        ended = counts["succeeded"] + counts["failed"] + counts["cancelled"]
        return check_shape("Run", {
            "id": run["id"], "name": run["name"], "state": run["state"], "open": False, "reason": run["reasons"][0] if run["reasons"] else None,
            "reasons": run["reasons"], "text": run["text"], "waiting": run["waiting"], "profile": run["plan"].get("profile", "adaptive"),
            "endpoint": run["plan"].get("endpoint", "gemini"), "endpoints": None, "pool": run["plan"].get("pool"), "question": False, "priority": run["plan"]["options"].get("priority", 0),
            "counts": {"total": total, **counts}, "progress": ended / total if total else 0.0, "rate_per_min": 3120.0 if run["state"] == "running" else None,
            "eta": {"seconds": 1375, "low": 1180, "high": 1690, "limited_by": "rpm", "finish_at": NOW} if run["state"] == "running" else None,
            "retries": {"spent": 8080, "transient": 8888, "throttled": 4141, "invalid_answer": 9999, "lost": 1234, "agent_full": 0, "unavailable": 0, "unfinished": 0}, "tokens": tokens(1000),
            "cost": {"currency": "USD", "micros": 10190000, "unknown_calls": 0, "reserved_micros": 0, "max_micros": None, "projected_micros": None}, "source": run["plan"].get("source"),
            "created_at": NOW, "started_at": NOW, "finished_at": run["finished_at"], "seq": self.seq})

    def find(self, name):
        with self.lock:
            if name == "@last" and self.runs:
                return list(self.runs.values())[-1]
            return self.runs.get(name) or next((run for run in self.runs.values() if run["name"] == name), None)

    def create(self, plan):
        check_shape("RunCreate", plan)
        digest = plan.get("source", {}).get("sha256")
        same = json.dumps({key: value for key, value in plan.items() if key != "options"} | {"o": {k: v for k, v in plan["options"].items() if k != "again"}},
                          sort_keys=True)
        for run in self.runs.values():
            if digest and run["same"] == same and run["state"] != "cancelled" and not plan["options"].get("again"):
                if run["state"] == "importing":
                    return 200, None, self.run_object(run)
                return problem(409, "already_enqueued", "this input was enqueued before", run=self.run_object(run))
        run = {"id": f"r-{len(self.runs) + 1:04}TEST", "name": plan.get("name"), "state": "importing", "reasons": [], "text": None, "waiting": None,
               "plan": plan, "agents": plan.get("agents", []), "rows": [], "parts": [], "same": same, "finished_at": None}
        self.runs[run["id"]] = run
        return 201, None, self.run_object(run)

    def put_part(self, run, n, body):
        sha256 = hashlib.sha256(body).hexdigest()
        if n <= len(run["parts"]):
            part = run["parts"][n - 1]
            return (200, None, part["answer"]) if part["sha256"] == sha256 else problem(409, "part_differs", "another part stands")
        if n != len(run["parts"]) + 1:
            return problem(409, "part_out_of_order", f"part {n} after {len(run['parts'])}")
        if len(body) > 4 << 20 or body.count(b"\n") > 20000:
            return problem(413, "too_large", "a part has at most 4 MiB and 20,000 rows")
        answer = {"accepted": 0, "duplicates": 0, "replaced": 0, "rejected": []}
        known = {row["key"] for row in run["rows"]}
        for text in body.split(b"\n")[:-1]:
            row = check_shape("PartRow", json.loads(text))
            if row["key"] in known:
                if run["plan"]["options"].get("on_duplicate") == "error":
                    return problem(422, "invalid_input", "a key is repeated", errors=[{"row": row["row"], "code": "duplicate_key", "message": "repeated key"}])
                answer["duplicates"] += 1
                answer["rejected"].append({"row": row["row"], "key": row["key"], "column": None, "code": "duplicate_key", "message": "the key is repeated"})
                continue
            known.add(row["key"])
            answer["accepted"] += 1
            run["rows"].append({"key": row["key"], "row": row["row"], "fields": row["fields"], "state": "pending", "agent_id": None,
                                "text": text.decode()})
        run["parts"].append({"n": n, "sha256": sha256, "rows": body.count(b"\n"), "answer": check_shape("PartAnswer", answer)})
        return 200, None, answer

    def assignment(self, row, with_fields):
        is_well = row["state"] == "succeeded"
        failed = {"code": "rejected", "message": "blocked: SAFETY", "http_status": 400}
        value = {"key": row["key"], "row": row["row"], "state": row["state"], "attempts": 1, "agent_id": row["agent_id"],
                 "reason": (self.hostile or "least loaded in the region") if is_well else None, "confidence": 0.9 if is_well else None,
                 "answer": None, "decided_by": "model" if is_well else None, "error": failed if row["state"] == "failed" else None, "not_before": None,
                 "finished_at": NOW if row["state"] != "pending" else None}
        if with_fields:
            value["fields"] = row["fields"]
        return check_shape("Assignment", value)

    def result(self, row):
        value = {"key": row["key"], "state": row["state"], "agent_id": row["agent_id"], "reason": self.hostile or "=least, \"loaded\"",
                 "confidence": 0.9, "decided_by": "model", "attempts": 1, "latency_ms": 850, "tokens_in": 800, "tokens_out": 60,
                 "model": "gemini-3.8-flash", "finished_at": NOW, "cost_micros": 1010, "currency": "USD"}
        if row["state"] == "failed":
            value.update(agent_id=None, reason=None, confidence=None, decided_by=None)
            value["error"] = {"code": "rejected", "message": "blocked: SAFETY", "http_status": 400}
        return check_shape("ResultRow", value)

    def pool_object(self, name, with_agents=True):
        agents = [{"agent_id": agent["agent_id"], "capacity": agent.get("capacity"), "load": agent.get("load", 0), "held": agent.get("load", 0),
                   "free": None if agent.get("capacity") is None else agent["capacity"] - agent.get("load", 0), "available": agent.get("available", True),
                   "until": agent.get("until"), "attributes": agent.get("attributes", {})} for agent in self.pools[name]]
        value = {"name": name, "agent_count": len(agents), "capacity": None, "held": sum(agent["held"] for agent in agents), "free": None,
                 "open_runs": 0, "updated_at": NOW}
        return check_shape("Pool", {**value, "agents": agents} if with_agents else value)


def listing(items, **more):
    return 200, None, {"items": items, "next": None, **more}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake = None

    def log_message(self, *_):
        pass

    def address_string(self):
        return "local"

    def setup(self):
        super().setup()
        self.fake.connections.append(self.connection)

    def answer(self, status, content_type, value):
        if isinstance(value, (bytes, str)):
            body = value.encode() if isinstance(value, str) else value
        else:
            body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type or "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        fake = self.fake
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        with fake.lock:
            fake.requests.append((self.command, self.path, body))
        for (method, ending), faults in fake.faults.items():
            if method == self.command and url.path.endswith(ending) and faults:
                if faults.pop(0)(self) is None:
                    return
        names = [urllib.parse.unquote(name) for name in url.path.split("/")[1:]]
        query = dict(urllib.parse.parse_qsl(url.query))
        if names[:2] == ["v1", "events"]:
            self.stream_events(query)
            return
        with fake.lock:
            given = self.route(self.command, names, query, body)
        self.answer(*given)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # pylint: disable=invalid-name

    def cut(self):
        """A fault: the connection dies without an answer."""
        self.close_connection = True
        self.connection.shutdown(2)

    # ---- routes ----
    def route(self, method, names, query, body):
        fake = self.fake
        if names in (["healthz"], ["readyz"]):
            return 200, None, {"status": "ok"}
        if names == ["v1", "status"]:
            runs = [fake.run_object(run) for run in fake.runs.values()]
            return 200, None, check_shape("Status", {
                "daemon": {"version": "0.1.0", "pid": 1, "state": "ready", "text": None, "socket": fake.socket, "state_dir": "/tmp", "started_at": NOW,
                           "store": {"state": "ok", "detail": None}, "seq": fake.seq},
                "endpoints": [check_shape("Endpoint", ENDPOINT)], "leases": {"open": 0, "rows": 0, "expired": 0}, "open": [run for run in runs if run["state"] not in ("done", "cancelled")],
                "ended": [run for run in runs if run["state"] in ("done", "cancelled")]})
        if names == ["v1", "runs"] and method == "POST":
            return fake.create(json.loads(body))
        if names == ["v1", "runs"]:
            states = query.get("state", "").split(",") if query.get("state") else None
            return listing([fake.run_object(run) for run in reversed(fake.runs.values()) if states is None or run["state"] in states])
        if names[:2] == ["v1", "runs"]:
            run = fake.find(names[2])
            return self.route_run(method, run, names[3:], query, body) if run else problem(404, "not_found", f"there is no run {names[2]}")
        if names[:2] == ["v1", "pools"]:
            return self.route_pool(method, names[2:], body)
        if names[:2] == ["v1", "endpoints"]:
            return self.route_endpoint(method, names[2:], body)
        return self.route_system(method, names, query, body)

    def route_run(self, method, run, names, query, body):
        fake = self.fake
        if not names and method == "PATCH":
            run["plan"]["options"].update(check_shape("RunPatch", json.loads(body)))
        if not names:
            return 200, None, fake.run_object(run)
        if names[0] == "parts" and method == "GET":
            return 200, None, check_shape("PartList", {"items": run["parts"], "next": None})
        if names[0] == "parts":
            return fake.put_part(run, int(names[1]), body)
        if names[0] == "commit":
            if json.loads(body)["parts"] != len(run["parts"]):
                return problem(409, "conflict", "another number of parts")
            run["state"] = "paused" if run["plan"].get("paused") else "running"
            run["reasons"] = ["operator"] if run["plan"].get("paused") else []
            if fake.auto_finish:
                fake.finish(run)
            return 200, None, fake.run_object(run)
        if names[0] in ("pause", "resume"):
            run["state"], run["reasons"], run["text"] = ("paused", ["operator"], None) if names[0] == "pause" else ("running", [], None)
            return 200, None, fake.run_object(run)
        if names[0] in ("cancel", "retry"):
            selector = check_shape("Selector", json.loads(body))
            hit = [row for row in run["rows"] if selector.get("all") or row["key"] in selector.get("keys", []) or row["state"] in selector.get("states", [])]
            for row in hit:
                row["state"] = "cancelled" if names[0] == "cancel" else "pending"
            if selector.get("all") and names[0] == "cancel":
                run["state"] = "cancelled"
                fake.event("run_cancelled", run=run["id"], snapshot=fake.run_object(run))
            return 200, None, {"changed": len(hit)}
        if names[0] == "assignments" and len(names) == 1:
            states = query.get("state", "").split(",") if query.get("state") else None
            rows = [row for row in run["rows"] if states is None or row["state"] in states]
            start, limit = int(query.get("cursor", 0)), int(query.get("limit", 100))
            page = [fake.assignment(row, query.get("fields") == "1") for row in rows[start:start + limit]]
            return 200, None, {"items": page, "next": str(start + limit) if start + limit < len(rows) else None}
        if names[0] == "assignments":
            row = next((row for row in run["rows"] if row["key"] == names[1]), None)
            if row is None:
                return problem(404, "not_found", f"run {run['id']} has no assignment {names[1]}")
            if len(names) == 2:
                value = fake.assignment(row, True)
                if query.get("prompt"):
                    value["prompt"] = {"system": "You allocate.", "user": row["text"]}
                return 200, None, value
            attempt = {"n": 1, "class": "succeeded", "started_at": NOW, "ended_at": NOW, "latency_ms": 850, "endpoint": "gemini", "model": "m",
                       "http_status": 200, "tokens": tokens(800), "cost_micros": 12, "currency": "USD", "agent_id": "A1", "message": None,
                       "worker": "builtin", "person": None, "decision": None, "lease": "1", "is_possibly_billed": False}
            if query.get("raw"):
                attempt["raw"] = fake.hostile or "{}"
            return listing([check_shape("Attempt", attempt)])
        if names[0] == "failures":
            failed = [row for row in run["rows"] if row["state"] == "failed"]
            groups = [{"code": "rejected", "message": "blocked: SAFETY", "http_status": 400, "count": len(failed), "first_at": NOW, "last_at": NOW,
                       "example": failed[0]["key"], "retry": f"gallocctl retry {run['id']} --error rejected"}] if failed else []
            return 200, None, check_shape("FailureList", {"items": groups, "next": None})
        if names[0] == "load":
            loads = [{"agent_id": agent["agent_id"], "capacity": agent.get("capacity"), "held": 1, "free": None, "in_flight": 0, "available": True,
                      "until": None, "in_run": 1} for agent in run["agents"]]
            return 200, None, check_shape("LoadList", {"run": run["id"], "pool": None, "items": loads, "next": None})
        if names[0] == "results":
            return self.results(run, query)
        return problem(404, "no_such_route", "no such path")

    def results(self, run, query):
        states = query.get("state", "succeeded,failed,cancelled").split(",")
        rows = [self.fake.result(row) for row in run["rows"] if row["state"] in states]
        if query.get("format") == "csv":
            header = "key,state,agent_id,reason\r\n"
            return 200, "text/csv", header + "".join(f"{row['key']},{row['state']},{row['agent_id'] or ''},\"{row['reason'] or ''}\"\r\n" for row in rows)
        return 200, "application/x-ndjson", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def route_pool(self, method, names, body):
        fake = self.fake
        if not names:
            return listing([fake.pool_object(name, False) for name in fake.pools])
        if method == "PUT":
            value = json.loads(body)
            for agent in value["agents"]:
                check_shape("AgentIn", agent)
            is_new = names[0] not in fake.pools
            fake.pools[names[0]] = value["agents"]
            return (201 if is_new else 200), None, fake.pool_object(names[0])
        if names[0] not in fake.pools:
            return problem(404, "not_found", f"there is no pool {names[0]}")
        if len(names) == 3:
            agent = next((agent for agent in fake.pools[names[0]] if agent["agent_id"] == names[2]), None)
            if agent is None:
                return problem(404, "not_found", f"there is no agent {names[2]}")
            agent.update(json.loads(body))
            return 200, None, next(item for item in fake.pool_object(names[0])["agents"] if item["agent_id"] == names[2])
        return 200, None, fake.pool_object(names[0])

    def route_endpoint(self, method, names, body):
        if not names:
            return listing([ENDPOINT])
        if names[0] != "gemini":
            return problem(404, "not_found", f"there is no endpoint {names[0]}; there is gemini")
        if len(names) == 2 and names[1] == "test":
            return 200, None, check_shape("EndpointTest", {"name": "gemini", "ok": False, "class": "credentials", "http_status": 400, "latency_ms": 120,
                                                           "message": "API key not valid", "text": "put a good key into /etc/galloc/keys/gemini"})
        if method == "PATCH":
            self.fake.audit.append(check_shape("EndpointPatch", json.loads(body)))
        return 200, None, ENDPOINT

    def route_system(self, method, names, query, body):
        del method, query
        if names == ["v1", "profiles"]:
            return listing([check_shape("Profile", {"name": "adaptive", "mode": "continuous", "batch_size": None, "delay_ms": None, "max_retries": 3,
                                                    "backoff_max_ms": 8000, "is_default": True, "text": "a free slot takes the next"})])
        if names == ["v1", "template"]:
            text = json.loads(body)["template"] if body else "{{roster}}\n--- user\n{{fields}}\n"
            wrong = "{{nonsense}}" in text
            return 200, None, check_shape("Template", {"template": text, "ok": not wrong, "names": ["roster", "fields"],
                                                       "problems": [{"line": 1, "message": "unknown name"}] if wrong else []})
        if names == ["v1", "estimate"]:
            value = check_shape("EstimateRequest", json.loads(body))
            sent = value["options"].get("send") or [name for name in value["columns"] if name not in value["options"].get("keep_back", [])]
            return 200, None, check_shape("Estimate", {
                "assignments": value["assignments"], "endpoint": "gemini", "model": "m", "profile": "adaptive", "tier": "standard", "calls": value["assignments"],
                "calls_expected": {"low": value["assignments"], "high": value["assignments"]}, "basis": {"from": "history", "runs": 1, "calls": 5, "text": "by 1 earlier run"},
                "tokens_in": {"low": 1000, "high": 2000}, "tokens_out": {"low": 100, "high": 200},
                "cost": {"currency": "USD", "low_micros": 1000000, "high_micros": 2000000, "text": "list price of 2026-09-01", "max_micros": None, "other_tier": None},
                "time": {"low_s": 60, "high_s": 90, "limited_by": "rpm", "text": None},
                "columns": {"sent": sent, "kept_back": [name for name in value["columns"] if name not in sent]}, "prompt_bytes": {"average": 9012, "max": 12013},
                "agents": {"count": 2014, "capacity": 20000, "free": 10015},
                "prompts": [{"key": row["key"], "system": "You allocate.", "user": json.dumps(row["fields"])} for row in value["sample"][:value["prompts"]]],
                "problems": []})
        if names in (["v1", "drain"], ["v1", "undrain"]):
            return 200, None, {"draining": names[1] == "drain", "in_flight": 0}
        if names == ["v1", "reload"]:
            return 200, None, {"changed": ["drain_timeout"], "needs_restart": [], "problems": []}
        if names == ["v1", "doctor"]:
            return 200, None, check_shape("Doctor", {"ok": True, "checks": [{"name": "integrity", "ok": True, "found": 0, "text": "quick_check found nothing"}]})
        if names == ["v1", "audit"]:
            return 200, None, check_shape("AuditList", {"items": [{"id": 1, "at": NOW, "who": "root", "uid": 0, "action": "run_pause", "run": "r-1", "object": None,
                                                                   "reason": None, "before": None, "after": {"state": "paused"}}], "next": None})
        return problem(404, "no_such_route", "no such path")

    # ---- events ----
    def stream_events(self, query):
        fake = self.fake
        server = fake.server
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with fake.lock:
            run = fake.find(query["run"]) if "run" in query else None
            since = int(query.get("since", fake.seq))
        deadline = time.monotonic() + 30
        try:
            self.chunk(b"\n")
            while fake.server is server and time.monotonic() < deadline:
                with fake.changed:
                    fresh = [event for event in fake.events if event["seq"] > since and (run is None or event.get("run") in (run["id"], None))]
                    if not fresh and query.get("follow") != "0":
                        fake.changed.wait(0.05)
                for event in fresh:
                    since = event["seq"]
                    self.chunk(json.dumps(event, ensure_ascii=False).encode() + b"\n")
                if query.get("follow") == "0":
                    break
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()
