"""Every fault of gallocsim as a client sees it."""
import errno
import http.client
import json
import socket
import subprocess
import time

import pytest

from harness import program, wait_until
from sim_client import AGENTS, PATH, Client, call, choice, prompt


def test_error_statuses(sim):
    table = {"error_400": 400, "precondition": 400, "wrong_key": 400, "error_401": 401, "error_402": 402, "error_403": 403, "error_404": 404,
             "error_408": 408, "error_409": 409, "error_413": 413, "error_429": 429, "capacity_429": 429, "error_499": 499, "error_500": 500,
             "error_501": 501, "error_502": 502, "error_503": 503, "error_504": 504}
    for name, status in table.items():
        sim.set(**{f"{name}_next": 1})
        answer = call(sim)
        assert answer.status == status and answer.json["error"]["code"] == status, (name, answer)
        assert call(sim).status == 200, name
    sim.set(array_429_next=1)
    assert call(sim).json[0]["error"]["status"] == "RESOURCE_EXHAUSTED"
    for name in ("html_502", "html_503"):
        sim.set(**{f"{name}_next": 1})
        answer = call(sim)
        assert answer.status == int(name[-3:]) and answer.headers["content-type"] == "text/html" and answer.body.startswith("<html>")
    sim.set(redirect_next=1, redirect_to="http://169.254.169.254/x")
    answer = call(sim)
    assert answer.status == 302 and answer.headers["location"] == "http://169.254.169.254/x"
    assert sim.stats()["by_kind"]["error_500"] == 1


def test_odd_contents(sim):
    def asked(name):
        sim.set(**{f"{name}_next": 1})
        return call(sim)

    with pytest.raises(json.JSONDecodeError):
        asked("half_json").json
    with pytest.raises(json.JSONDecodeError):
        choice(asked("malformed"))
    assert choice(asked("unknown_agent"))["agent_id"] not in [agent["agent_id"] for agent in AGENTS]
    assert "agent_id" not in choice(asked("wrong_shape"))
    cut = asked("max_tokens").json["candidates"][0]
    assert cut["finishReason"] == "MAX_TOKENS" and len(cut["content"]["parts"][0]["text"]) > 4
    for name, reason in (("max_tokens_empty", "MAX_TOKENS"), ("empty", "STOP"), ("safety", "SAFETY"), ("recitation", "RECITATION")):
        candidate = asked(name).json["candidates"][0]
        assert candidate["content"] == {} and candidate["finishReason"] == reason
    assert asked("odd_finish").json["candidates"][0]["finishReason"] == "DISTRACTED"
    blocked = asked("blocked").json
    assert blocked["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"} and "candidates" not in blocked
    assert "candidates" not in asked("no_candidates").json
    thought = asked("thought_first")
    assert thought.json["candidates"][0]["content"]["parts"][0]["thought"] is True and choice(thought)["agent_id"] == "A1"
    two = asked("two_parts")
    assert len(two.json["candidates"][0]["content"]["parts"]) == 2 and choice(two)["agent_id"] == "A1"


def test_broken_connections(sim):
    sim.set(reset_before_next=1)
    with pytest.raises(ConnectionResetError):
        call(sim)
    sim.set(reset_after_next=1)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        call(sim)
    sim.set(short_body_next=1)
    with pytest.raises(http.client.IncompleteRead):
        call(sim)
    sim.set(close_early_next=1)
    with pytest.raises(http.client.RemoteDisconnected):
        call(sim)
    stats = sim.stats()
    assert stats["received"] == 4 and stats["cut"] == 4 and stats["answered"] == 0
    assert stats["by_kind"] == {"reset_before": 1, "reset_after": 1, "short_body": 1, "close_early": 1}


def test_reused_connection_dies_after_the_work(sim):
    """The trap: the call was processed (and paid), the answer never comes, and only a reused connection is hit."""
    sim.set(drop_reused_next=1)
    tokens = call(sim).json["usageMetadata"]["promptTokenCount"]  # a fresh one is spared
    with Client(sim) as client:
        assert client.call(prompt("LAN8")).status == 200
        with pytest.raises(http.client.RemoteDisconnected):
            client.call(prompt("LAN9"))
    stats = sim.stats()
    assert stats["received"] == 3 and stats["by_kind"] == {"ok": 2, "drop_reused": 1}
    assert sim.record()[2]["key"] == "LAN9" and stats["tokens_in"] == 3 * tokens


def test_libcurl_falls_into_the_trap(sim, tmp_path):
    """What the daemon has to avoid: curl repeats the POST by itself, and the server has processed it twice."""
    sim.set(drop_reused_next=1)
    body = tmp_path / "body"
    body.write_text(json.dumps(prompt()))
    arguments = ["-s", "-o", "/dev/null", "-H", "x-goog-api-key: K", "--data-binary", f"@{body}", sim.url + PATH]
    ran = subprocess.run(["curl", *arguments, "--next", *arguments], timeout=30, check=False)
    assert ran.returncode == 0
    assert sim.stats()["received"] == 3


def test_hang(make_sim):
    sim = make_sim("--hang_next", 2, "--hang_ms", 100)
    with pytest.raises(ConnectionResetError):
        call(sim)
    sim.set(hang_ms=0)
    with pytest.raises(TimeoutError):
        call(sim, timeout=0.3)
    wait_until(lambda: sim.stats()["in_flight"] == 0, 10, "the client's going is noticed")
    assert sim.stats()["by_kind"] == {"hang": 2}


def test_drip(make_sim):
    sim = make_sim("--drip_next", 1, "--drip_bytes", 64, "--drip_ms", 10)
    started = time.monotonic()
    assert choice(call(sim))["agent_id"] == "A1"
    assert time.monotonic() - started > 0.08
    assert sim.stats()["by_kind"] == {"drip": 1}


def test_endless_and_huge(make_sim):
    sim = make_sim("--endless_next", 1, "--drip_ms", 5, "--huge_bytes", 3000000)
    with Client(sim) as client:
        client.connection.request("POST", PATH, json.dumps(prompt()), {"x-goog-api-key": "K"})
        answer = client.connection.getresponse()
        assert answer.status == 200 and len(answer.read(400)) == 400
    wait_until(lambda: sim.stats()["in_flight"] == 0, 10, "the endless answer ends with its client")
    sim.set(huge_body_next=1)
    assert len(call(sim).body) == 3000000
    assert call(sim).status == 200


def test_faults_are_drawn_the_same_again(make_sim):
    sim = make_sim("--error_500", 0.2, "--unknown_agent", 0.1, "--seed", 7)
    keys = [f"LAN{number}" for number in range(200)]

    def kinds(order):
        sim.reset()
        with Client(sim) as client:
            for key in order:
                client.call(prompt(key))
        return {row["key"]: row["kind"] for row in sim.record()}

    first = kinds(keys)
    assert first == kinds(reversed(keys))
    share = sum(kind == "error_500" for kind in first.values()) / len(keys)
    assert 0.1 < share < 0.3
    sim.set(seed=8)
    assert first != kinds(keys)


def test_poisoned_keys(make_sim):
    sim = make_sim("--poison_keys", "LAN3,LAN5", "--poison_kind", "error_504", "--poison_after_ms", 50)
    for _ in range(3):
        started = time.monotonic()
        assert call(sim, prompt("LAN5")).status == 504
        assert time.monotonic() - started >= 0.05
        assert call(sim, prompt("LAN4")).status == 200


def test_outages(sim):
    models = {"method": "GET", "path": "/v1/models"}
    sim.set(outage="503")
    assert call(sim).status == 503 and call(sim, **models).status == 503
    sim.set(outage_spares_tests=True)
    assert call(sim).status == 503 and call(sim, **models).status == 200
    assert call(sim, {"contents": [{"parts": [{"text": "ping"}]}]}).status == 200
    sim.set(outage="reset")
    with pytest.raises(ConnectionResetError):
        call(sim)
    sim.set(outage="hang")
    with pytest.raises(TimeoutError):
        call(sim, timeout=0.2)
    sim.set(outage="off")
    assert call(sim).status == 200
    wait_until(lambda: sim.stats()["by_kind"]["outage"] == 4, 5, "the hung call's end is noticed")


def refuses(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_outage_that_refuses_connections(make_sim):
    sim = make_sim()
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=30)
    connection.request("PATCH", "/sim/config", '{"outage":"refuse"}')
    answer = connection.getresponse()
    assert answer.status == 400 and b"outage_ms" in answer.read()  # nobody could end it
    with Client(sim) as client:
        assert client.call(prompt()).status == 200
        sim.set(outage="refuse", outage_ms=700)
        wait_until(lambda: refuses(sim.port), 5, "connections are refused")
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            client.call(prompt())
    wait_until(lambda: not refuses(sim.port), 10, "the outage ends by itself, on the same port")
    assert sim.stats()["has_outage"] is False
    connection.close()


def test_control_address_outlives_an_outage(tmp_path):
    ports = tmp_path / "port"
    with subprocess.Popen([program("gallocsim"), "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--port-file", ports],
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            assert "listening on http://127.0.0.1:" in process.stdout.readline()
            assert "control on http://127.0.0.1:" in process.stdout.readline()
            main, control = map(int, ports.read_text().split())

            def patch(settings):
                connection = http.client.HTTPConnection("127.0.0.1", control, timeout=30)
                connection.request("PATCH", "/sim/config", json.dumps(settings))
                status = connection.getresponse().status
                connection.close()
                return status

            assert patch({"outage": "refuse"}) == 200
            wait_until(lambda: refuses(main), 5, "refused")
            assert patch({"outage": "off"}) == 200
            wait_until(lambda: not refuses(main), 5, "open again")
        finally:
            process.terminate()
