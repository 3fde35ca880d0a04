"""An API key is nowhere but in its file and in the header of a request: not in logs, database, answers, arguments or environment."""
import base64
import json
from pathlib import Path
from urllib.parse import quote

import harness

CANARY = "AQ.Canary+7/key=that-must_never.be~seen"


def spellings():
    raw = CANARY.encode()
    return {raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw.hex().encode(), raw.hex().upper().encode(), quote(CANARY, safe="").encode(),
            json.dumps(CANARY)[1:-1].replace("/", "\\/").encode()}


def places(daemon, run):
    """Everything that somebody could read, with its name."""
    for path in sorted(daemon.folder.rglob("*")):
        if path.is_file() and path != daemon.key_file:
            yield str(path), path.read_bytes()
    process = Path(f"/proc/{daemon.process.pid}")
    for name in ("cmdline", "environ", "status"):
        yield name, (process / name).read_bytes()
    for path in ("/v1/status", "/v1/endpoints/gemini", "/v1/audit", "/metrics", f"/v1/runs/{run}", f"/v1/runs/{run}/results", f"/v1/runs/{run}/failures",
                 f"/v1/runs/{run}/assignments/K1/attempts?raw=1", "/v1/events?follow=0&assignments=1"):
        answer = daemon.api("GET", path)
        yield path, (answer.body + json.dumps(answer.headers)).encode()
    for command in (["status"], ["endpoint", "show", "gemini"], ["endpoint", "test", "gemini"], ["attempts", run, "K1", "--raw"], ["doctor"]):
        ran = daemon.ctl(*command, check=False)
        yield " ".join(command), (ran.stdout + ran.stderr).encode()


def check_unseen(daemon, run):
    for name, content in places(daemon, run):
        for spelling in spellings():
            assert spelling not in content, f"the key stands in {name}"


def test_a_key_is_seen_by_the_api_alone(make_sim, make_daemon):
    sim = make_sim("--api_key", CANARY)
    daemon = make_daemon(sim.url, arguments=["-v", "-v"])
    daemon.set_key(CANARY)
    daemon.start()
    run = daemon.create([(f"K{number}", {"region": "north"}) for number in range(20)], [{"agent_id": "A1", "capacity": 100}])
    assert daemon.wait_done(run)["counts"]["succeeded"] == 20  # so the key was sent, and right
    check_unseen(daemon, run)

    # Refused, and hidden in an answer's words: still unseen; and again after a crash.
    sim.set(api_key="another")
    daemon.create([("K1", {})], [{"agent_id": "A1"}], name="refused")
    harness.wait_until(lambda: daemon.api("GET", "/v1/endpoints/gemini").json["state"] == "down", 30, lambda: daemon.log)
    check_unseen(daemon, run)
    daemon.kill()
    daemon.start()
    check_unseen(daemon, run)


def test_a_key_file_that_others_can_read_is_refused(make_sim, make_daemon):
    daemon = make_daemon(make_sim().url)
    daemon.set_key(CANARY)
    daemon.key_file.chmod(0o644)
    daemon.start()
    endpoint = daemon.api("GET", "/v1/endpoints/gemini").json
    assert (endpoint["state"], endpoint["reason"]) == ("down", "credentials"), endpoint
    assert "0600" in endpoint["text"] or "chmod" in endpoint["text"], endpoint["text"]
    daemon.key_file.chmod(0o600)
    assert daemon.ctl("endpoint", "resume", "gemini").returncode == 0
    assert daemon.api("GET", "/v1/endpoints/gemini").json["state"] == "up"
