"""Runs without a pool: --schema and --template ask a question of each assignment, and every answer is held against the schema."""
import csv
import datetime
import io
import json
import re
import subprocess

import pytest
from harness import ROOT, program, wait_until
from lease_worker import Worker

EXAMPLE = ROOT / "examples" / "question"
SCHEMA = {"type": "object", "required": ["kind", "amount"], "additionalProperties": False,
          "properties": {"kind": {"type": "string", "enum": ["promise", "dispute"]}, "amount": {"type": "number", "minimum": 100}}}
TEMPLATE = "What came of it?\n--- user\n{{note}}\n"


def ask(daemon, count=10, **members):
    return daemon.create([(f"K{n:03}", {"note": f"note {n}"}) for n in range(count)], None, **{"schema": SCHEMA, "template": TEMPLATE, **members})


def fits(answer):
    return set(answer) == {"kind", "amount"} and answer["kind"] in ("promise", "dispute") and answer["amount"] >= 100


def example(daemon, *more, check=True):
    return daemon.ctl("enqueue", EXAMPLE / "notes.csv", "--template", EXAMPLE / "note.template", "--schema", EXAMPLE / "note.schema.json", "--key", "note_id", *more,
                      check=check)


def test_the_example_runs(sim, daemon):
    told = example(daemon, "--wait")
    assert "12 assignments" in told.stdout and "places" not in told.stdout
    assert example(daemon, check=False).returncode == 6  # the schema is part of the plan: the same again is known
    table = list(csv.DictReader(io.StringIO(daemon.ctl("results", "@last").stdout)))
    assert list(table[0])[:8] == ["key", "state", "outcome", "amount", "due", "needs_person", "decided_by", "attempts"]
    assert [row["key"] for row in table] == [f"N-{n:03}" for n in range(1, 13)]
    for row in table:
        assert row["state"] == "succeeded" and row["decided_by"] == "model" and row["needs_person"] in ("true", "false")
        assert 1 <= float(row["amount"]) <= 10000000 and datetime.date.fromisoformat(row["due"])
    rows = daemon.results()
    assert all("agent_id" not in row and "reason" not in row and set(row["answer"]) == {"outcome", "amount", "due", "needs_person"} for row in rows)
    run = daemon.run()
    assert run["pool"] is None and run["question"] is True and run["counts"]["succeeded"] == 12
    assert daemon.ctl("doctor").returncode == 0
    assert json.loads(daemon.ctl("show", "@last", "N-003", "--json").stdout)["answer"] == rows[2]["answer"]
    assert re.search(rf"^answer\n  outcome +{rows[2]['answer']['outcome']}$", daemon.ctl("show", "@last", "N-003").stdout, re.MULTILINE)


def test_what_is_sent(sim, daemon):
    example(daemon, "--wait", "--keep-back", "lan")
    prompt = json.loads(daemon.ctl("show", "@last", "N-002", "--prompt", "--json").stdout)["prompt"]
    assert "voicemail full" in prompt["user"] and "LAN10051" not in json.dumps(prompt) and "AGENTS" not in json.dumps(prompt) and "CANDIDATES" not in json.dumps(prompt)


def test_check_tells_what_would_be_asked(sim, daemon):
    told = daemon.ctl("check", EXAMPLE / "notes.csv", "--template", EXAMPLE / "note.template", "--schema", EXAMPLE / "note.schema.json", "--key", "note_id",
                      "--show-prompt").stdout
    assert "outcome, amount, due, needs_person" in told and "free places" not in told and "Call of 2026-11-02." in told
    assert re.search(r"^  sent +note_id \(the key\), called_at, note\n  kept back +lan$", told, re.MULTILINE)
    assert sim.stats()["received"] == 0


def test_an_answer_that_does_not_fit_is_asked_again(make_sim, make_daemon):
    sim = make_sim("--wrong_shape", "0.3", "--seed", "7")
    daemon = make_daemon(sim.url).start()
    run = ask(daemon, 40)
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 40 and done["retries"]["invalid_answer"] > 0
    assert all(fits(row["answer"]) for row in daemon.results(run))
    again = next(row["key"] for row in daemon.results(run) if row["attempts"] > 1)
    first = daemon.api("GET", f"/v1/runs/{run}/assignments/{again}/attempts").json["items"][0]
    assert first["class"] == "invalid_answer" and "which the schema does not name" in first["message"]


@pytest.mark.parametrize("fault", ["malformed", "wrong_shape", "half_json", "unknown_agent"])
def test_an_answer_that_never_fits_fails(make_sim, make_daemon, fault):
    sim = make_sim(f"--{fault}", "1")
    daemon = make_daemon(sim.url).start()
    run = ask(daemon, 3)
    assert daemon.wait_done(run)["counts"]["failed"] == 3
    rows = daemon.results(run)
    assert all(row["answer"] is None and row["error"]["code"] == "invalid_answer" for row in rows)
    table = list(csv.DictReader(io.StringIO(daemon.ctl("results", run).stdout)))
    assert all(row["kind"] == row["amount"] == "" and row["error_code"] == "invalid_answer" for row in table)


@pytest.mark.parametrize("profile", ["sequential", "balanced", "adaptive"])
def test_every_profile_asks(sim, daemon, profile):
    run = ask(daemon, 25, profile=profile)
    daemon.wait_done(run)
    assert sorted(row["key"] for row in daemon.results(run) if fits(row["answer"])) == [f"K{n:03}" for n in range(25)]


def test_a_restart_goes_on(make_sim, make_daemon):
    sim = make_sim("--latency_ms", "50")
    daemon = make_daemon(sim.url, endpoint="max_in_flight = 4").start()
    run = ask(daemon, 200)
    wait_until(lambda: daemon.counts(run)["succeeded"] >= 10, what="the first answers")
    daemon.kill()
    daemon.start()
    assert daemon.wait_done(run)["counts"]["succeeded"] == 200
    daemon.restart()
    assert len(daemon.results(run)) == 200 and daemon.run(run)["question"] is True
    assert daemon.ctl("doctor").returncode == 0
    daemon.ctl("purge", run, "-y")


def test_workers_answer(make_daemon):
    daemon = make_daemon("http://127.0.0.1:9").start()
    run = ask(daemon, 4, endpoint="workers", template=None)
    worker = Worker(daemon.socket)
    lease = worker.lease(max=4)
    assert lease["schema"] == SCHEMA and lease["agents"] == [] and "candidates" not in lease["assignments"][0]
    good = {"kind": "promise", "amount": 250.5}
    verdicts = worker.tell(lease, [{"key": "K000", "answer": good}, {"key": "K001", "answer": {"kind": "promise", "amount": 12}},
                                   {"key": "K002", "agent_id": "A1", "reason": "", "confidence": 1}, {"key": "K003", "error": {"code": "no", "message": "x", "retry": False}}])
    assert [item["verdict"] for item in verdicts] == ["succeeded", "invalid_answer", "invalid_answer", "failed"]
    assert verdicts[1]["message"] == "answer.amount: 12 is less than the minimum 100" and "asks a question" in verdicts[2]["message"]
    while (lease := worker.lease(max=4)) is not None:
        worker.tell(lease, [{"key": row["key"], "answer": good} for row in lease["assignments"]])
    assert daemon.wait_done(run)["counts"]["succeeded"] == 3
    assert all(row["answer"] == good and row["decided_by"] == "worker" for row in daemon.results(run) if row["state"] == "succeeded")


def test_an_answer_is_no_allocation(make_daemon):
    daemon = make_daemon("http://127.0.0.1:9").start()
    daemon.create([("K1", {"n": 1})], [{"agent_id": "A1"}], endpoint="workers")
    worker = Worker(daemon.socket)
    lease = worker.lease()
    assert "schema" not in lease
    told = worker.tell(lease, [{"key": "K1", "answer": {"kind": "promise"}}])
    assert told[0]["verdict"] == "invalid_answer" and "the run allocates" in told[0]["message"]


def test_persons(sim, daemon):
    """Answers are asked for again or thrown away; nobody can be assigned."""
    run = ask(daemon, 4)
    daemon.wait_done(run)
    told = daemon.ctl("assign", run, "K001", "A1", "--reason", "x", check=False)
    assert told.returncode == 6 and "has no agents" in told.stderr
    daemon.ctl("redo", run, "--key", "K001", "--reason", "x")
    daemon.wait_done(run)
    again = daemon.api("GET", f"/v1/runs/{run}/assignments/K001").json
    assert again["attempts"] == 2 and fits(again["answer"])
    daemon.ctl("discard", run, "--key", "K002", "--reason", "x")
    wait_until(lambda: daemon.counts(run)["cancelled"] == 1, what="K002 is thrown away")
    assert daemon.api("GET", f"/v1/runs/{run}/assignments/K002").json["answer"] is None
    assert daemon.ctl("doctor").returncode == 0


def test_a_backup_keeps_answers(sim, daemon, tmp_path):
    run = ask(daemon, 5)
    daemon.wait_done(run)
    before = daemon.results(run)
    daemon.ctl("backup", tmp_path / "b.db")
    daemon.kill()
    subprocess.run([program("gallocd"), "-c", str(daemon.config), "--state-dir", str(daemon.state_dir), "--restore", str(tmp_path / "b.db")], check=True, capture_output=True)
    daemon.start()
    assert daemon.results(run) == before


def test_chat_completions_ask_too(make_sim, make_daemon):
    sim = make_sim()
    daemon = make_daemon(f"{sim.url}/v1", endpoint='provider = "openai" model = "gemini-3.8-flash"').start()
    run = ask(daemon, 6)
    assert daemon.wait_done(run)["counts"]["succeeded"] == 6 and all(fits(row["answer"]) for row in daemon.results(run))


def test_loads_and_failures_of_a_question(sim, daemon):
    run = ask(daemon, 3)
    daemon.wait_done(run)
    assert daemon.api("GET", f"/v1/runs/{run}/load").json["items"] == []
    assert "no agents: the run asks a question" in daemon.ctl("loads", run).stderr
    assert daemon.ctl("failures", run).returncode == 0
    status = daemon.ctl("status", run).stdout
    assert "asks a question" in status and "pool" not in status


REFUSED = [
    ({"template": None}, 400, 'needs a "template" too'),
    ({"pool": "north"}, 400, '"schema" and "pool" exclude each other'),
    ({"agents": [{"agent_id": "A1"}]}, 400, '"schema" and "agents" exclude each other'),
    ({"template": "{{note}} {{roster}}"}, 422, "the template uses {{roster}}, and a run with a schema has no agents"),
    ({"options": {"match": ["region=region"]}}, 400, '"match" chooses among agents'),
    ({"schema": {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}}, 422, 'schema: at /properties/a: the keyword "pattern" cannot be used'),
    ({"schema": [1]}, 400, '"schema"'),
    ({"endpoint": "mine"}, 422, 'the endpoint "mine" (provider http) allocates alone'),
]


@pytest.mark.parametrize("members,status,words", REFUSED)
def test_refused(make_daemon, members, status, words):
    daemon = make_daemon("http://127.0.0.1:9", sections='endpoint "mine" { provider = "http"  base_url = "http://127.0.0.1:9/x" }').start()
    body = {"schema": SCHEMA, "template": TEMPLATE, **members}
    answer = daemon.api("POST", "/v1/runs", {name: value for name, value in body.items() if value is not None})
    assert answer.status == status and words in answer.json["detail"], answer


def test_the_place_in_the_file_is_told(daemon, tmp_path):
    schema = tmp_path / "s.json"
    schema.write_text('{\n "type": "object",\n "properties": {\n  "a": {"type": "string"},\n  "b": {"type": "string",\n   "pattern": "x"}\n }\n}\n')
    told = daemon.ctl("enqueue", EXAMPLE / "notes.csv", "--template", EXAMPLE / "note.template", "--schema", schema, "--key", "note_id", check=False)
    assert told.returncode == 7 and f'{schema}:5: at /properties/b: the keyword "pattern" cannot be used' in told.stderr
    told = daemon.ctl("check", EXAMPLE / "notes.csv", "--template", EXAMPLE / "note.template", "--schema", schema, "--key", "note_id", check=False)
    assert told.returncode == 7 and f"{schema}:5: at /properties/b" in told.stderr
    told = daemon.ctl("template", "check", EXAMPLE / "note.template", "--schema", schema, check=False)
    assert told.returncode == 7 and f"{schema}:5: at /properties/b" in told.stderr
    schema.write_text('{\n "type": "object",\n "properties": {,\n')
    told = daemon.ctl("template", "check", EXAMPLE / "note.template", "--schema", schema, check=False)
    assert told.returncode == 7 and f"{schema}:3: " in told.stderr


def test_template_check(daemon, tmp_path):
    assert "a good schema" in daemon.ctl("template", "check", EXAMPLE / "note.template", "--schema", EXAMPLE / "note.schema.json").stdout
    told = daemon.ctl("template", "check", EXAMPLE / "note.template", check=False)
    assert told.returncode == 7 and "names no agents" in told.stderr
