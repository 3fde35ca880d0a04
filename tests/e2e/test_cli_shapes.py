"""What gallocd answers is what schema/openapi.yaml says, since gallocctl reads it so."""
import pytest

import fake_daemon
from harness import make_agents, make_loans

AGENTS = [{"agent_id": row["agent_id"], "capacity": int(row["capacity"]), "attributes": {"region": row["region"]}} for row in make_agents(4, 30)]


@pytest.fixture
def finished(daemon):
    daemon.api("PUT", "/v1/pools/north", {"agents": AGENTS})
    daemon.run_id = daemon.create([(row["lan"], {"region": row["region"]}) for row in make_loans(30)], AGENTS, name="n")
    daemon.wait_done()
    return daemon


@pytest.mark.parametrize("path,schema", [
    ("/healthz", "Health"), ("/readyz", "Health"), ("/v1/status", "Status"), ("/v1/profiles", "ProfileList"), ("/v1/template", "Template"),
    ("/v1/runs", "RunList"), ("/v1/runs/@last", "Run"), ("/v1/runs/n/parts", "PartList"), ("/v1/runs/n/assignments?fields=1", "AssignmentList"),
    ("/v1/runs/n/assignments/LAN0000001?prompt=1", "Assignment"), ("/v1/runs/n/assignments/LAN0000001/attempts", "AttemptList"),
    ("/v1/runs/n/failures", "FailureList"), ("/v1/runs/n/load", "LoadList"), ("/v1/pools", "PoolList"), ("/v1/pools/north", "Pool"),
    ("/v1/endpoints", "EndpointList"), ("/v1/endpoints/gemini", "Endpoint"), ("/v1/audit", "AuditList"), ("/v1/runs/nowhere", "Problem"),
    ("/v1/nowhere", "Problem"),
])
def test_answers(finished, path, schema):
    fake_daemon.check_shape(schema, finished.api("GET", path).json)


def test_rows_and_events(finished):
    for row in finished.results():
        fake_daemon.check_shape("ResultRow", row)
    events = finished.api("GET", "/v1/events?since=0&follow=0&assignments=1").lines + finished.api("GET", "/v1/events?follow=0&run=n").lines
    assert events
    for event in events:
        fake_daemon.check_shape("Event", event)


def test_answers_to_posts(finished):
    plan = {"agents": AGENTS, "columns": ["region"], "options": {"key": "lan"}, "assignments": 30, "prompts": 1,
            "sample": [{"key": "K", "fields": {"region": "north"}, "row": 1}]}
    fake_daemon.check_shape("Estimate", finished.api("POST", "/v1/estimate", plan).json)
    fake_daemon.check_shape("Doctor", finished.api("POST", "/v1/doctor", {}).json)
    fake_daemon.check_shape("EndpointTest", finished.api("POST", "/v1/endpoints/gemini/test", "").json)
    fake_daemon.check_shape("Endpoint", finished.api("PATCH", "/v1/endpoints/gemini", {"settings": {"rpm": 300}, "for_ms": 60000}).json)
    fake_daemon.check_shape("Agent", finished.api("PATCH", f"/v1/pools/north/agents/{AGENTS[0]['agent_id']}", {"available": False}).json)
    fake_daemon.check_shape("Template", finished.api("POST", "/v1/template", {"template": "{{nope}}", "columns": ["region"]}).json)
    assert finished.api("POST", "/v1/runs/n/retry", {"all": True}).json == {"changed": 0}
