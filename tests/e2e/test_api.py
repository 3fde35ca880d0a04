"""The routes: every answer is held against schema/openapi.yaml, and each family does what it says."""
import csv
import hashlib
import io
import json
import re
import socket

import jsonschema
import pytest
import yaml
from harness import KEY, ROOT, SLOWNESS, Daemon, Sim, make_agents, make_loans, program, wait_until

SPEC = yaml.safe_load((ROOT / "schema/openapi.yaml").read_text())
AGENTS = [{"agent_id": "A1", "capacity": 40, "attributes": {"region": "north"}}, {"agent_id": "A2", "capacity": None, "attributes": {"region": "south"}},
          {"agent_id": "A3", "capacity": 2, "available": False}]


@pytest.fixture(scope="module")
def sim():
    found = Sim()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def daemon(sim):
    found = Daemon(sim.url).start()
    yield found
    found.remove()


@pytest.fixture(scope="module")
def done_run(daemon):
    """A run that ended, with one failure among its rows: nobody matches the west."""
    rows = [(f"K{n:03}", {"region": ("north", "south")[n % 2], "note": "=1+1" if n == 3 else "plain"}) for n in range(20)]
    rows.append(("LAN/2026 ü", {"region": "west"}))
    run = daemon.create(rows, AGENTS, name="all-routes", options={"match": ["region=region"]})
    daemon.wait_done(run)
    return run


# ---- the contract ----

def operation_of(method, path):
    plain = path.split("?")[0]
    for pattern, item in SPEC["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", pattern), plain) and method.lower() in item:
            return item[method.lower()]
    raise AssertionError(f"{method} {path} is not in openapi.yaml")


def dereference(thing):
    while "$ref" in thing:
        found = SPEC
        for part in thing["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        thing = found
    return thing


def check_contract(method, path, answer):
    """The answer's body against the schema of its status."""
    responses = operation_of(method, path)["responses"]
    response = dereference(responses.get(str(answer.status)) or responses["default"])
    kind = answer.headers["Content-Type"].split(";")[0]
    assert kind in response["content"], (kind, list(response["content"]))
    schema = {**response["content"][kind]["schema"], "components": SPEC["components"]}
    bodies = [answer.json] if kind.endswith("json") and "ndjson" not in kind else answer.lines if "ndjson" in kind else [answer.body]
    for body in bodies:
        jsonschema.Draft202012Validator(schema).validate(body)
    return answer


def call(daemon, method, path, body=None, status=None, **more):
    answer = check_contract(method, path, daemon.api(method, path, body, **more))
    assert status is None or answer.status == status, answer
    return answer


def test_the_table_of_routes_is_the_documents():
    """`gallocd --print-routes` and openapi.yaml name the same."""
    import subprocess
    printed = subprocess.run([program("gallocd"), "--print-routes"], capture_output=True, text=True, check=True).stdout
    table = {(line.split()[0], re.sub(r"\{[^}]*\}", "{}", line.split()[1])) for line in printed.splitlines()}
    document = {(method.upper(), re.sub(r"\{[^}]*\}", "{}", path)) for path, item in SPEC["paths"].items() for method in item
                if method in ("get", "put", "post", "patch", "delete")}
    assert table == document


GETS = ["/healthz", "/readyz", "/metrics", "/openapi.yaml", "/v1/status", "/v1/profiles", "/v1/template", "/v1/runs", "/v1/runs/{run}", "/v1/runs/all-routes", "/v1/runs/@last",
        "/v1/runs?state=done,paused&limit=5", "/v1/runs?since=2020-01-01", "/v1/runs/{run}/parts", "/v1/runs/{run}/assignments?fields=1&limit=3",
        "/v1/runs/{run}/assignments?state=failed&code=no_candidate", "/v1/runs/{run}/assignments?key=K001&key=K002&agent=A1&agent=A2&where=region%3Dsouth",
        "/v1/runs/{run}/assignments/K001", "/v1/runs/{run}/assignments/K001?prompt=1", "/v1/runs/{run}/assignments/LAN%2F2026%20%C3%BC", "/v1/runs/{run}/assignments/K001/attempts",
        "/v1/runs/{run}/assignments/K001/attempts?raw=1", "/v1/runs/{run}/failures", "/v1/runs/{run}/load", "/v1/runs/{run}/results", "/v1/runs/{run}/results?format=csv",
        "/v1/events?follow=0", "/v1/events?follow=0&since=0&assignments=1", "/v1/events?follow=0&run={run}", "/v1/pools", "/v1/pools/{run}", "/v1/endpoints", "/v1/endpoints/gemini",
        "/v1/endpoints/workers", "/v1/leases", "/v1/audit", "/v1/audit?run={run}&limit=2"]


@pytest.mark.parametrize("path", GETS)
def test_every_get_keeps_its_contract(daemon, done_run, path):
    call(daemon, "GET", path.format(run=done_run), status=200)


MISSING = [("GET", "/v1/runs/r-0000000000", None), ("GET", "/v1/runs/none/results", None), ("GET", "/v1/runs/none/load", None), ("GET", "/v1/runs/{run}/assignments/none", None),
           ("GET", "/v1/pools/none", None), ("GET", "/v1/endpoints/none", None), ("PATCH", "/v1/endpoints/none", {"settings": {"rpm": 1}}),
           ("POST", "/v1/endpoints/none/test", None), ("POST", "/v1/runs/none/pause", None), ("POST", "/v1/runs/none/cancel", {"all": True}),
           ("PATCH", "/v1/runs/none", {"priority": 1}), ("PATCH", "/v1/pools/none/agents/A", {"capacity": 1}), ("POST", "/v1/pools/none/reset", None),
           ("GET", "/v1/events?run=none", None), ("GET", "/v1/audit?run=none", None)]


@pytest.mark.parametrize("method,path,body", MISSING)
def test_what_is_not_there_is_404(daemon, done_run, method, path, body):
    answer = call(daemon, method, path.format(run=done_run), body, status=404)
    assert answer.json["code"] == "not_found" and answer.json["detail"]


# ---- runs ----

def part_of(rows):
    return "".join(json.dumps({"key": key, "fields": {"a": "1"}, "row": row}) + "\n" for row, key in enumerate(rows, start=1))


def put(daemon, run, n, text):
    return call(daemon, "PUT", f"/v1/runs/{run}/parts/{n}", text, content_type="application/x-ndjson")


def begin(daemon, **members):
    return call(daemon, "POST", "/v1/runs", {"agents": AGENTS, **members}, status=201).json["id"]


def test_parts_in_order_replayed_and_refused(daemon):
    run = begin(daemon, paused=True)
    first = part_of(["a", "b", "a"])
    answer = put(daemon, run, 1, first)
    assert (answer.json["accepted"], answer.json["duplicates"]) == (2, 1)
    assert put(daemon, run, 1, first).body == answer.body, "a replay gets its stored answer"
    assert put(daemon, run, 1, part_of(["x"])).json["code"] == "part_differs"
    assert put(daemon, run, 3, part_of(["x"])).json["code"] == "part_out_of_order"
    assert put(daemon, run, 0, part_of(["x"])).json["code"] == "invalid_value"
    assert put(daemon, run, "one", part_of(["x"])).json["code"] == "invalid_value"
    bad = put(daemon, run, 2, '{"key":"c","fields":{"a":1},"row":7}\nnonsense\n{"key":"","fields":{},"row":9}\n{"key":"d","fields":{"a":1,"a":2},"row":10}\n')
    assert bad.json["accepted"] == 1 and len(bad.json["rejected"]) == 3, bad
    assert put(daemon, run, 3, part_of([f"k{n}" for n in range(20001)])).json["code"] == "too_large"
    assert call(daemon, "POST", f"/v1/runs/{run}/commit", {"parts": 3}).json["code"] in ("conflict", "part_out_of_order", "wrong_state")
    assert call(daemon, "POST", f"/v1/runs/{run}/commit", {"parts": 2}, status=200).json["counts"]["total"] == 3
    assert call(daemon, "POST", f"/v1/runs/{run}/commit", {"parts": 2}, status=200).json["id"] == run, "the same commit again"
    assert put(daemon, run, 3, part_of(["z"])).json["code"] == "wrong_state"
    assert [item["n"] for item in call(daemon, "GET", f"/v1/runs/{run}/parts").json["items"]] == [1, 2]
    call(daemon, "POST", f"/v1/runs/{run}/cancel", {"all": True}, status=200)


def test_an_empty_run_is_not_started(daemon):
    run = begin(daemon)
    assert call(daemon, "POST", f"/v1/runs/{run}/commit", {"parts": 0}, status=422).json["code"] == "empty_run"
    call(daemon, "POST", f"/v1/runs/{run}/cancel", {"all": True}, status=200)


def test_on_duplicate_error_names_the_rows(daemon):
    run = begin(daemon, options={"on_duplicate": "error"})
    answer = put(daemon, run, 1, part_of(["a", "b", "a"]))
    assert answer.status == 422 and answer.json["code"] == "invalid_input" and answer.json["errors"][0]["row"] == 3, answer
    assert put(daemon, run, 1, part_of(["a", "b"])).status == 200, "nothing of the refused part stands"
    call(daemon, "POST", f"/v1/runs/{run}/cancel", {"all": True})


def test_the_same_request_and_the_same_file_make_one_run(daemon):
    headers = {"Idempotency-Key": "test-1"}
    body = {"agents": AGENTS, "name": "once", "paused": True, "source": {"name": "x.csv", "sha256": hashlib.sha256(b"x").hexdigest()}}
    run = call(daemon, "POST", "/v1/runs", body, status=201, headers=headers).json["id"]
    again = call(daemon, "POST", "/v1/runs", body, headers=headers)
    assert again.status in (200, 201) and again.json["id"] == run
    assert call(daemon, "POST", "/v1/runs", {**body, "name": "twice"}, headers=headers, status=409).json["code"] == "idempotency_key_reused"
    assert call(daemon, "POST", "/v1/runs", body, status=200).json["id"] == run, "still importing: go on with it"
    put(daemon, run, 1, part_of(["a"]))
    call(daemon, "POST", f"/v1/runs/{run}/commit", {"parts": 1}, status=200)
    refused = call(daemon, "POST", "/v1/runs", body, status=409)
    assert refused.json["code"] == "already_enqueued" and refused.json["run"]["id"] == run
    other = call(daemon, "POST", "/v1/runs", {**body, "options": {"again": True}}, status=201).json["id"]
    assert other != run
    for each in (run, other):
        call(daemon, "POST", f"/v1/runs/{each}/cancel", {"all": True}, status=200)


WRONG_PLANS = {
    "no agents": ({}, "usage"),
    "both": ({"agents": AGENTS, "pool": "p"}, "usage"),
    "no such pool": ({"pool": "nowhere"}, "not_found"),
    "no such endpoint": ({"agents": AGENTS, "endpoint": "gemni"}, "not_found"),
    "no such profile": ({"agents": AGENTS, "profile": "adaptiv"}, "not_found"),
    "batch size of adaptive": ({"agents": AGENTS, "options": {"batch_size": 5}}, "usage"),
    "unknown option": ({"agents": AGENTS, "options": {"batchsize": 5}}, "unknown_field"),
    "unknown member": ({"agents": AGENTS, "endpont": "gemini"}, "unknown_field"),
    "name of an id": ({"agents": AGENTS, "name": "r-1"}, "invalid_value"),
    "template without its column": ({"agents": AGENTS, "template": "{{loads}} {{regoin}}", "columns": ["region"]}, "invalid_input"),
    "match of no column": ({"agents": AGENTS, "options": {"match": ["regoin=region"]}, "columns": ["region"]}, "invalid_input"),
    "match of no attribute": ({"agents": AGENTS, "options": {"match": ["region=regoin"]}, "columns": ["region"]}, "invalid_input"),
    "agent without an id": ({"agents": [{"capacity": 1}]}, None),
    "capacity -1": ({"agents": [{"agent_id": "A", "capacity": -1}]}, None),
    "agent twice": ({"agents": [{"agent_id": "A"}, {"agent_id": "A"}]}, None),
    "no agent": ({"agents": []}, None),
    "too many for a prompt": ({"agents": [{"agent_id": f"A{n}"} for n in range(501)]}, "invalid_input"),
    "too long for a prompt": ({"agents": [{"agent_id": f"A{n}", "words": "x" * 2000} for n in range(200)]}, "invalid_input"),
}


@pytest.mark.parametrize("name", WRONG_PLANS)
def test_a_plan_that_cannot_be_is_refused_with_the_way_out(daemon, name):
    body, code = WRONG_PLANS[name]
    answer = call(daemon, "POST", "/v1/runs", body)
    assert 400 <= answer.status < 500 and answer.json["detail"], answer
    assert code is None or answer.json["code"] == code, answer
    if name.startswith("too "):
        assert "--max-candidates" in answer.json["detail"]
    if name == "no such endpoint":
        assert '"gemini"' in answer.json["detail"]


def test_many_agents_are_fine_with_a_short_list(daemon):
    agents = [{"agent_id": f"A{n}"} for n in range(501)]
    run = call(daemon, "POST", "/v1/runs", {"agents": agents, "options": {"max_candidates": 20}}, status=201).json["id"]
    call(daemon, "POST", f"/v1/runs/{run}/cancel", {"all": True}, status=200)


def test_pause_resume_set_and_who_did_it(daemon):
    run = daemon.create([("a", {}), ("b", {})], [{"agent_id": "A", "capacity": 5}], paused=True)
    shown = call(daemon, "GET", f"/v1/runs/{run}").json
    assert (shown["state"], shown["reason"]) == ("paused", "operator")
    assert run in [item["id"] for item in call(daemon, "GET", "/v1/runs?state=paused").json["items"]]
    assert call(daemon, "POST", f"/v1/runs/{run}/pause", status=200).json["state"] == "paused"
    assert call(daemon, "PATCH", f"/v1/runs/{run}", {"priority": 7, "name": "renamed"}, status=200).json["priority"] == 7
    assert call(daemon, "GET", "/v1/runs/renamed", status=200).json["id"] == run
    for body in ({}, {"priority": 101}, {"endpoint": "none"}, {"profile": "none"}, {"name": "@x"}, {"prio": 1}):
        assert call(daemon, "PATCH", f"/v1/runs/{run}", body).status in (400, 404)
    call(daemon, "POST", f"/v1/runs/{run}/resume", status=200)
    daemon.wait_done(run)
    assert call(daemon, "POST", f"/v1/runs/{run}/pause", status=409).json["code"] == "wrong_state"
    actions = [row["action"] for row in call(daemon, "GET", f"/v1/audit?run={run}").json["items"]]
    assert {"run_create", "run_commit", "run_resume", "run_set"} <= set(actions), actions
    importing = begin(daemon)
    call(daemon, "POST", f"/v1/runs/{importing}/pause", status=200)
    assert "run_pause" in [row["action"] for row in call(daemon, "GET", f"/v1/audit?run={importing}").json["items"]]
    call(daemon, "POST", f"/v1/runs/{importing}/cancel", {"all": True}, status=200)
    assert all(row["who"] for row in call(daemon, "GET", "/v1/audit").json["items"])


SELECTORS = [{}, {"all": False}, {"all": True, "states": ["failed"]}, {"states": ["fialed"]}, {"codes": ["no_such_code"]}, {"where": ["novalue"]}, {"keys": [1]}, {"key": ["a"]}]


@pytest.mark.parametrize("selector", SELECTORS)
def test_nothing_selected_is_never_all(daemon, done_run, selector):
    for verb in ("cancel", "retry"):
        answer = call(daemon, "POST", f"/v1/runs/{done_run}/{verb}", selector, status=400)
        assert answer.json["code"] in ("invalid_value", "unknown_field")


def test_cancel_and_retry_by_selector(daemon):
    run = daemon.create([(f"K{n}", {"region": "north" if n < 3 else "south"}) for n in range(6)], [{"agent_id": "A", "capacity": 50}], paused=True)
    assert call(daemon, "POST", f"/v1/runs/{run}/cancel", {"where": ["region=north"]}, status=200).json == {"changed": 3}
    assert daemon.counts(run)["cancelled"] == 3
    assert call(daemon, "POST", f"/v1/runs/{run}/retry", {"keys": ["K1"], "states": ["cancelled"]}, status=200).json == {"changed": 1}
    call(daemon, "POST", f"/v1/runs/{run}/resume", status=200)
    assert daemon.wait_done(run)["counts"]["succeeded"] == 4


# ---- reading ----

def test_pages_hold_every_row_once(daemon):
    run = daemon.create([(f"K{n:04}", {}) for n in range(250)], [{"agent_id": "A"}], paused=True)
    keys, cursor = [], ""
    while cursor is not None:
        page = call(daemon, "GET", f"/v1/runs/{run}/assignments?limit=60" + (f"&cursor={cursor}" if cursor else "")).json
        keys += [item["key"] for item in page["items"]]
        cursor = page["next"]
    assert keys == [f"K{n:04}" for n in range(250)]
    for wrong in ("limit=0", "limit=1001", "limit=x", "cursor=x", "state=none", "code=none", "where=x", "fields=2"):
        assert call(daemon, "GET", f"/v1/runs/{run}/assignments?{wrong}").status == 400, wrong
    call(daemon, "POST", f"/v1/runs/{run}/cancel", {"all": True})


def test_results_as_csv_and_ndjson(daemon, done_run):
    rows = call(daemon, "GET", f"/v1/runs/{done_run}/results").lines
    assert [row["key"] for row in rows] == [f"K{n:03}" for n in range(20)] + ["LAN/2026 ü"]
    assert rows[-1]["error"]["code"] == "no_candidate" and rows[-1]["agent_id"] is None
    text = daemon.api("GET", f"/v1/runs/{done_run}/results?format=csv").body
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["key"] for row in table] == [row["key"] for row in rows] and text.count("\r\n") == len(rows) + 1
    assert table[-1]["error_code"] == "no_candidate" and table[0]["error_code"] == ""
    assert [row["agent_id"] for row in table[:20]] == [row["agent_id"] for row in rows[:20]]
    assert call(daemon, "GET", f"/v1/runs/{done_run}/results?state=failed").lines == rows[-1:]
    assert call(daemon, "GET", f"/v1/runs/{done_run}/results?format=xml").status == 400


def test_failures_loads_and_prompt(daemon, done_run):
    group = call(daemon, "GET", f"/v1/runs/{done_run}/failures").json["items"][0]
    assert (group["code"], group["count"], group["example"]) == ("no_candidate", 1, "LAN/2026 ü") and f"retry {done_run} --error no_candidate" in group["retry"]
    loads = {row["agent_id"]: row for row in call(daemon, "GET", f"/v1/runs/{done_run}/load").json["items"]}
    assert loads["A1"]["held"] == 10 and loads["A1"]["free"] == 30 and loads["A2"]["free"] is None and loads["A3"]["available"] is False
    assert call(daemon, "GET", f"/v1/runs/{done_run}/assignments/K003").json["fields"]["note"] == "=1+1"


# ---- events ----

def test_events_follow_a_run_and_come_back(daemon):
    run = daemon.create([(f"K{n}", {}) for n in range(5)], [{"agent_id": "A"}], paused=True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20 * SLOWNESS)
        sock.connect(daemon.socket)
        sock.sendall(b"GET /v1/events?assignments=1&run=%s HTTP/1.1\r\nHost: x\r\n\r\n" % run.encode())
        stream = sock.makefile("rb")
        assert stream.readline().split()[1] == b"200"
        while stream.readline() not in (b"\r\n", b""):
            pass
        call(daemon, "POST", f"/v1/runs/{run}/resume", status=200)
        events = []
        while not any(event["type"] == "run_done" for event in events):
            size = int(stream.readline(), 16)
            assert size > 0, "the stream ended before the run"
            events += [json.loads(line) for line in stream.read(size).splitlines() if line.strip()]
            stream.readline()
    assert events[0]["type"] == "progress" and events[0]["snapshot"]["id"] == run
    assert sorted(event["key"] for event in events if event["type"] == "assignment") == [f"K{n}" for n in range(5)]
    numbered = [event["seq"] for event in events if event["type"] != "progress"]
    assert numbered == sorted(numbered), "numbers only rise"
    half = numbered[len(numbered) // 2]
    later = call(daemon, "GET", f"/v1/events?follow=0&assignments=1&run={run}&since={half}").lines
    assert [event["seq"] for event in later if event["type"] not in ("progress", "endpoint")] == [seq for seq in numbered if seq > half]
    ahead = call(daemon, "GET", f"/v1/events?follow=0&since={max(numbered) + 100000}").lines
    assert ahead[0]["type"] == "reset"


# ---- pools and endpoints ----

def test_a_standing_pool(daemon):
    agents = [{"agent_id": "P1", "capacity": 3, "load": 1, "region": "north"}, {"agent_id": "P2"}]
    assert call(daemon, "PUT", "/v1/pools/north", {"agents": agents}, status=201).json["agent_count"] == 2
    assert call(daemon, "PUT", "/v1/pools/north", {"agents": agents}, status=200).json["name"] == "north"
    shown = {agent["agent_id"]: agent for agent in call(daemon, "GET", "/v1/pools/north").json["agents"]}
    assert shown["P1"]["held"] == 1 and shown["P1"]["free"] == 2 and shown["P1"]["attributes"] == {"region": "north"}
    set_ = call(daemon, "PATCH", "/v1/pools/north/agents/P1", {"capacity": 1, "available": False, "until": "2099-01-01T00:00:00Z"}, status=200).json
    assert (set_["capacity"], set_["available"], set_["until"]) == (1, False, "2099-01-01T00:00:00.000Z")
    assert call(daemon, "PATCH", "/v1/pools/north/agents/P1", {"capacity": None, "available": True}, status=200).json["capacity"] is None
    for body in ({}, {"capacity": -1}, {"until": "2099-01-01"}, {"available": "no"}, {"capcity": 1}):
        assert call(daemon, "PATCH", "/v1/pools/north/agents/P1", body).status == 400, body
    assert call(daemon, "PATCH", "/v1/pools/north/agents/none", {"capacity": 1}).status == 404
    run = daemon.api("POST", "/v1/runs", {"pool": "north", "paused": True}).json["id"]
    assert call(daemon, "POST", "/v1/pools/north/reset", status=409).json["code"] == "conflict"
    call(daemon, "POST", f"/v1/runs/{run}/cancel", {"all": True}, status=200)
    call(daemon, "POST", "/v1/pools/north/reset", status=200)
    assert [pool["name"] for pool in call(daemon, "GET", "/v1/pools").json["items"]] == ["north"]
    for name in ("r-x", "@x", "x" * 200, "%01"):
        assert call(daemon, "PUT", f"/v1/pools/{name}", {"agents": agents}).status == 400, name


def test_endpoint_settings(daemon):
    def setting(answer, name):
        return next(row for row in answer.json["settings"] if row["name"] == name)
    answer = call(daemon, "PATCH", "/v1/endpoints/gemini", {"settings": {"rpm": 5000, "max_in_flight": 32}, "for_ms": 3600000}, status=200)
    assert setting(answer, "rpm")["value"] == 5000 and setting(answer, "rpm")["file_value"] == 0 and setting(answer, "rpm")["until"]
    answer = call(daemon, "PATCH", "/v1/endpoints/gemini", {"settings": {"rpm": None, "max_in_flight": None}}, status=200)
    assert setting(answer, "rpm")["set_value"] is None and setting(answer, "rpm")["value"] == 0
    for body in ({"settings": {}}, {"settings": {"rpms": 1}}, {"settings": {"rpm": -1}}, {"settings": {"rpm": "x"}}, {"settings": {"max_in_flight": 5000}}, {}):
        assert call(daemon, "PATCH", "/v1/endpoints/gemini", body).status == 400, body
    tested = call(daemon, "POST", "/v1/endpoints/gemini/test", status=200).json
    assert tested["ok"] and tested["class"] == "succeeded"
    assert call(daemon, "POST", "/v1/endpoints/gemini/resume", status=200).json["state"] == "up"
    done = wait_until(lambda: [row for row in call(daemon, "GET", "/v1/audit").json["items"] if row["action"] == "endpoint_resume"], 5, "the audit row")
    assert done[0]["object"] == "gemini" and done[0]["before"]["state"] == "up"
    assert any(row["action"] == "endpoint_set" for row in call(daemon, "GET", "/v1/audit").json["items"])


# ---- the daemon ----

def test_template_check(daemon):
    assert call(daemon, "GET", "/v1/template").json["ok"] is True
    good = call(daemon, "POST", "/v1/template", {"template": "{{loads}} {{region}}", "columns": ["Region"]}, status=200).json
    assert good["ok"] and "region" in good["names"]
    bad = call(daemon, "POST", "/v1/template", {"template": "x\n{{loads}} {{regoin}}", "columns": ["region"]}, status=200).json
    assert not bad["ok"] and bad["problems"][0]["line"] == 2 and "region" in bad["problems"][0]["message"]


def test_estimate_tells_what_would_happen(daemon):
    sample = [{"key": f"K{n}", "fields": {"region": "north", "phone": "123"}, "row": n + 1} for n in range(10)]
    body = {"agents": AGENTS, "assignments": 1000, "sample": sample, "prompts": 2, "columns": ["region", "phone"], "options": {"keep_back": ["phone"]}}
    found = call(daemon, "POST", "/v1/estimate", body, status=200).json
    assert found["calls"] == 1000 and found["columns"] == {"sent": ["region"], "kept_back": ["phone"]} and len(found["prompts"]) == 2
    assert "123" not in found["prompts"][0]["user"] and found["tokens_in"]["high"] > found["tokens_in"]["low"] > 0
    assert found["prompt_bytes"]["max"] >= found["prompt_bytes"]["average"] > 0 and found["time"]["high_s"] >= found["time"]["low_s"]
    short = call(daemon, "POST", "/v1/estimate", {"agents": [{"agent_id": "A", "capacity": 3}], "assignments": 10}, status=200).json
    assert any(problem["code"] == "no_capacity" and not problem["is_fatal"] for problem in short["problems"])
    assert short["calls"] == 3 # an assignment without a place costs no call
    body = {"agents": AGENTS, "assignments": 1000, "sample": sample, "options": {"match": ["region=regoin"]}}
    mistyped = call(daemon, "POST", "/v1/estimate", body, status=200).json["problems"]
    assert [problem["code"] for problem in mistyped] == ["invalid_input"] and mistyped[0]["is_fatal"] and 'did you mean "region"' in mistyped[0]["message"]
    body = {"agents": [{"agent_id": "A1", "attributes": {"region": "far away"}}], "assignments": 1000, "sample": sample, "options": {"match": ["region=region"]}}
    nobody = call(daemon, "POST", "/v1/estimate", body, status=200).json
    assert nobody["calls"] == 0 and any(problem["code"] == "no_candidate" and "K0" in problem["message"] for problem in nobody["problems"])
    wrong = call(daemon, "POST", "/v1/estimate", {"agents": AGENTS, "assignments": 1, "template": "{{loads}}{{regoin}}", "columns": ["region"]}, status=200).json
    assert wrong["problems"][0]["is_fatal"]
    for bad in ({"agents": AGENTS}, {"agents": AGENTS, "assignments": -1}, {"agents": AGENTS, "assignments": 1, "sample": [{"key": 1}]}, {"assignments": 1, "agents": AGENTS, "nme": 1}):
        assert call(daemon, "POST", "/v1/estimate", bad).status == 400, bad


def test_drain_refuses_new_runs_and_ends(daemon):
    assert call(daemon, "POST", "/v1/drain", status=200).json["draining"] is True
    try:
        assert call(daemon, "GET", "/readyz").json["code"] == "draining"
        refused = call(daemon, "POST", "/v1/runs", {"agents": AGENTS})
        assert refused.json["code"] == "draining" and refused.headers["Retry-After"]
        assert call(daemon, "GET", "/v1/status").json["daemon"]["state"] == "draining"
    finally:
        assert call(daemon, "POST", "/v1/undrain", status=200).json["draining"] is False
    assert call(daemon, "GET", "/readyz").status == 200


def test_reload_doctor_and_metrics(daemon, done_run):
    before = daemon.config.read_text()
    daemon.config.write_text(before.replace('endpoint "gemini" {', 'drain_timeout = "7s"\nsocket_mode = 0600\nendpoint "gemini" {', 1))
    told = call(daemon, "POST", "/v1/reload", status=200).json
    assert told == {"changed": ["drain_timeout"], "needs_restart": ["socket_mode"], "problems": []}
    daemon.config.write_text(before + "\nnonsense = 1\n")
    refused = call(daemon, "POST", "/v1/reload", status=422)
    assert "nonsense" in refused.json["errors"][0]["message"]
    daemon.config.write_text(before)
    call(daemon, "POST", "/v1/reload", status=200)
    daemon.set_key("AQ.another-key-of-the-harness")
    assert call(daemon, "POST", "/v1/reload", status=200).json == {"changed": ["endpoint.gemini.key"], "needs_restart": [], "problems": []}
    daemon.set_key(KEY)
    call(daemon, "POST", "/v1/reload", status=200)
    assert call(daemon, "POST", "/v1/doctor", status=200).json["ok"] is True
    assert call(daemon, "POST", "/v1/doctor", {"full": True}, status=200).json["ok"] is True
    text = call(daemon, "GET", "/metrics").body
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+0-9.eInf]+', line), line
    assert re.search(r'^galloc_assignments\{run_state="done",state="succeeded"\} [1-9]', text, re.M)
    assert 'galloc_http_request_duration_seconds_bucket{route="/v1/doctor",code="200",le="+Inf"}' in text


def test_lists_from_the_command_line_agree(daemon, done_run):
    """gallocctl reads the same routes; one look that both understand each other."""
    shown = json.loads(daemon.ctl("status", done_run, "--json").stdout)
    assert (shown[0] if isinstance(shown, list) else shown)["id"] == done_run
    assert wait_until(lambda: done_run in daemon.ctl("runs").stdout, 5, "the run is listed")
    assert make_loans(1) and make_agents(1, 1)
