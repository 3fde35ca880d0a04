"""gallocsim itself: the wire, the quotas' counts, latency, the counters, the control routes, the command line."""
import http.client
import json
import socket
import struct
import subprocess
import threading
import time

import pytest

from harness import SLOWNESS, program, wait_until
from sim_client import MODEL, PATH, Client, call, choice, prompt


# ---- the wire ----

def test_good_answer(sim):
    answer = call(sim)
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    body = answer.json
    candidate = body["candidates"][0]
    assert candidate["finishReason"] == "STOP" and candidate["index"] == 0 and candidate["content"]["role"] == "model"
    assert choice(answer)["agent_id"] == "A1"
    assert "north" in choice(answer)["reason"] and 0 <= choice(answer)["confidence"] <= 1
    usage = body["usageMetadata"]
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    assert abs(usage["promptTokenCount"] - len(json.dumps(prompt())) / 4) < 120
    assert body["modelVersion"] == MODEL and len(body["responseId"]) == 22


def test_the_rule_reads_loads(sim):
    assert choice(call(sim, prompt(held=(9, 3, 0))))["agent_id"] == "A1"  # not paid: the one for recovery
    assert choice(call(sim, prompt(region="north", status="running", held=(0, 3, 0))))["agent_id"] == "A2"
    assert choice(call(sim, prompt(region="south", status="in debt")))["agent_id"] == "A3"
    assert choice(call(sim, prompt(region="north", status="not paid", held=(10, 3, 0))))["agent_id"] == "A2"  # A1 is full


def test_only_wanted_properties_and_plain_text(sim):
    body = prompt()
    schema = body["generationConfig"]["responseSchema"]
    del schema["properties"]["reason"], schema["properties"]["confidence"]
    assert list(choice(call(sim, body))) == ["agent_id"]
    body["generationConfig"] = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["A1", "A2", "A3"]}}
    answer = call(sim, body)
    assert answer.json["candidates"][0]["content"]["parts"][0]["text"] == "A1"
    answer = call(sim, {"contents": [{"parts": [{"text": "Are you there?"}]}]})
    assert answer.json["candidates"][0]["content"]["parts"][0]["text"] == "OK"


def test_keys(make_sim):
    sim = make_sim("--api-key", "right")
    wrong = call(sim, headers={"x-goog-api-key": "wrong"})
    assert wrong.status == 400 and wrong.json["error"]["status"] == "INVALID_ARGUMENT"
    info = wrong.json["error"]["details"][0]
    assert info["@type"].endswith("ErrorInfo") and info["reason"] == "API_KEY_INVALID" and info["domain"] == "googleapis.com"
    none = call(sim, headers={})
    assert none.status == 403 and none.json["error"]["status"] == "PERMISSION_DENIED"
    in_url = call(sim, path=PATH + "?key=right", headers={})
    assert in_url.status in (400, 403)
    assert call(sim, path=PATH + "?key=right", headers={"x-goog-api-key": "right"}).status == 400
    both = call(sim, headers={"x-goog-api-key": "right", "Authorization": "Bearer right"})
    assert both.status == 400 and "multiple authentication credentials" in both.json["error"]["message"]
    assert call(sim, headers={"x-goog-api-key": "right"}).status == 200
    sim.set(api_key="new")
    assert call(sim, headers={"x-goog-api-key": "right"}).status == 400
    assert json.loads(sim.control("GET", "/sim/config"))["api_key"] == "set"


def test_models(sim):
    listed = call(sim, method="GET", path="/v1/models?pageSize=50").json["models"]
    assert f"models/{MODEL}" in [model["name"] for model in listed]
    one = call(sim, method="GET", path=f"/v1beta/models/{MODEL}").json
    assert one["inputTokenLimit"] == 1048576 and "generateContent" in one["supportedGenerationMethods"]
    for path, method in ((PATH.replace(MODEL, "gemini-0"), "POST"), ("/v1/models/gemini-0", "GET"), ("/v1beta/tunedModels/x", "GET"),
                         (PATH, "GET"), (PATH.replace("generateContent", "embedContent"), "POST")):
        answer = call(sim, method=method, path=path)
        assert answer.status == 404 and answer.json["error"]["status"] == "NOT_FOUND", (path, answer)
    count = call(sim, {"contents": [{"parts": [{"text": "x" * 400}]}]}, path=f"/v1/models/{MODEL}:countTokens")
    assert count.json == {"totalTokens": 101}
    assert call(sim, prompt(), path=f"/v1/models/{MODEL}:generateContent").status == 200
    stats = sim.stats()
    assert stats["received"] == 2 and stats["other"] == 7  # 404s of generateContent are calls, too


@pytest.mark.parametrize("change, says", [
    (lambda body: body.update(foo=1), 'Unknown name "foo": Cannot find field.'),
    (lambda body: body["generationConfig"].update(temprature=1), "Unknown name \"temprature\" at 'generation_config'"),
    (lambda body: body["generationConfig"]["responseSchema"].update(type="object"), '"object"'),
    (lambda body: body["generationConfig"]["responseSchema"].update(additionalProperties=False), "additionalProperties"),
    (lambda body: body["generationConfig"].pop("responseMimeType"), "response_mime_type"),
    (lambda body: body.pop("contents"), "contents is not specified"),
])
def test_bad_requests_are_named(sim, change, says):
    body = prompt()
    change(body)
    answer = call(sim, body)
    assert answer.status == 400, answer
    error = answer.json["error"]
    assert error["status"] == "INVALID_ARGUMENT" and says in error["message"]
    assert says in error["details"][0]["fieldViolations"][0]["description"]


def test_long_prompts_are_refused(make_sim):
    sim = make_sim("--input_token_limit", 100, "--max_body_bytes", 4096)
    answer = call(sim)
    assert answer.status == 400 and "exceeds the maximum number of tokens" in answer.json["error"]["message"]
    assert call(sim, "x" * 5000).status == 413
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
    assert exchange(sim, head + b"x" * 300000).startswith(b"HTTP/1.1 413 ")  # refused by its head, and the answer is not lost in a reset


def test_only_so_many_connections(make_sim):
    sim = make_sim("--max_connections", 3)
    clients = [Client(sim) for _ in range(3)]
    try:
        for client in clients:
            assert client.call(prompt()).status == 200
        with pytest.raises(ConnectionError):
            call(sim)
    finally:
        for client in clients:
            client.connection.close()
    wait_until(lambda: sim_answers(sim), 10, "places are free again")


def sim_answers(sim):
    try:
        return call(sim).status == 200
    except ConnectionError:
        return False


def test_repeated_prefix_is_cached_and_thoughts_are_counted(make_sim):
    sim = make_sim("--cache_min_tokens", 50, "--thoughts_tokens", 90)
    first, second = call(sim).json["usageMetadata"], call(sim, prompt("LAN2")).json["usageMetadata"]
    assert "cachedContentTokenCount" not in first and 50 < second["cachedContentTokenCount"] < second["promptTokenCount"]
    assert second["thoughtsTokenCount"] == 90
    assert second["totalTokenCount"] == second["promptTokenCount"] + second["candidatesTokenCount"] + 90
    body = prompt()
    body["generationConfig"]["maxOutputTokens"] = 64  # the thinking eats it up
    cut = call(sim, body).json["candidates"][0]
    assert cut["finishReason"] == "MAX_TOKENS" and cut["content"] == {}
    stats = sim.stats()
    assert stats["tokens_thought"] == 90 + 90 + 64 and stats["tokens_cached"] > 50


# ---- quotas ----

def refused(answers):
    return sum(answer.status == 429 for answer in answers)


def test_bucket_with_full_hints(make_sim):
    sim = make_sim("--rpm", 60, "--burst", 3)
    answers = [call(sim) for _ in range(5)]
    assert [answer.status for answer in answers[:3]] == [200] * 3 and refused(answers) == 2
    error = answers[3].json["error"]
    assert error["code"] == 429 and error["status"] == "RESOURCE_EXHAUSTED"
    by_type = {detail["@type"].rsplit(".", 1)[1]: detail for detail in error["details"]}
    violation = by_type["QuotaFailure"]["violations"][0]
    assert violation["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel" and violation["quotaValue"] == "60"
    assert violation["quotaDimensions"] == {"location": "global", "model": MODEL}
    delay = float(by_type["RetryInfo"]["retryDelay"].removesuffix("s"))
    assert 0 < delay <= 1.01 and f"Please retry in {by_type['RetryInfo']['retryDelay']}" in error["message"]
    assert "Help" in by_type and "retry-after" not in answers[3].headers
    wait_until(lambda: call(sim).status == 200, 10, "the bucket fills")
    stats = sim.stats()
    assert stats["refused"] == stats["by_kind"]["quota"] == stats["by_status"]["429"]


@pytest.mark.parametrize("hints", ["none", "ra"])
def test_plain_hints(make_sim, hints):
    sim = make_sim("--rpm", 1, "--hints", hints)
    assert call(sim).status == 200
    answer = call(sim)
    assert answer.status == 429 and "details" not in answer.json["error"]
    assert ("retry-after" in answer.headers) == (hints == "ra")
    if hints == "ra":
        assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_quota_of_tokens_and_a_day_that_lies(make_sim):
    tokens = call(make_sim()).json["usageMetadata"]["promptTokenCount"]
    sim = make_sim("--tpm", 2 * tokens + 10, "--rpd", 3, "--quota_kind", "fixed", "--quota_phase", "first", "--day_phase", "first", "--hints", "lie",
                   "--free_tier", "yes", "--time_scale", "0.02")
    answers = [call(sim) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    failure = answers[2].json["error"]["details"][0]["violations"]
    assert [violation["quotaId"] for violation in failure] == ["GenerateContentInputTokensPerModelPerMinute-FreeTier"]
    wait_until(lambda: call(sim).status == 200, 10, "the minute of 1.2 s is over")
    last = call(sim).json["error"]
    assert "GenerateRequestsPerDayPerProjectPerModel-FreeTier" in json.dumps(last)
    delay = float(next(detail["retryDelay"] for detail in last["details"] if "retryDelay" in detail).removesuffix("s"))
    assert 8 * 0.02 <= delay <= 28 * 0.02  # the day of 1728 s is told as a blink


def test_quota_of_zero_is_no_quota(make_sim):
    sim = make_sim("--rpm", 0)
    error = call(sim).json["error"]
    assert "limit: 0" in error["message"] and error["details"][0]["violations"][0]["quotaValue"] == "0"
    assert sim.stats()["by_kind"] == {"no_quota": 1}


def test_sliding_window_counts_what_it_let_in(make_sim):
    """Hammered for three windows, it lets in no more than its limit in any of them."""
    sim = make_sim("--rpm", 20, "--quota_kind", "sliding", "--time_scale", "0.01")
    until = time.monotonic() + 1.8
    with Client(sim) as client:
        while time.monotonic() < until:
            client.call(prompt())
    record = sim.record()
    taken = [row["arrival_ms"] for row in record if row["status"] == 200]
    assert len(record) > len(taken) >= 40
    for start in taken:
        assert sum(start <= at < start + 600 for at in taken) <= 20


def test_quota_changes_while_it_runs(make_sim):
    sim = make_sim("--quotas", "requests=2/60s,sliding")
    assert refused([call(sim) for _ in range(4)]) == 2
    sim.set(quotas="requests=5/60s,sliding")
    assert refused([call(sim) for _ in range(4)]) == 1
    assert sim.stats()["quotas"][0] == {"unit": "requests", "kind": "sliding", "limit": 5, "window_s": 60, "used": 5}
    sim.reset()
    assert sim.stats()["quotas"][0]["used"] == 0
    sim.set(quotas="")
    assert refused([call(sim) for _ in range(9)]) == 0


# ---- latency and places ----

def together(sim, count, timeout=30):
    """So many calls at once; their statuses and the whole time."""
    statuses = []
    threads = [threading.Thread(target=lambda number=number: statuses.append(call(sim, prompt(f"T{number}"), timeout).status)) for number in range(count)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses, time.monotonic() - started


def test_latency_and_most_in_flight(make_sim):
    sim = make_sim("--latency_ms", 300)
    statuses, took = together(sim, 8)
    assert statuses == [200] * 8 and took >= 0.3
    assert 2 <= sim.stats()["max_in_flight"] <= 8
    record = sim.record()
    assert max(row["in_flight"] for row in record) == sim.stats()["max_in_flight"]
    assert all(row["end_ms"] - row["arrival_ms"] >= 299 for row in record)
    sim.reset()
    assert sim.stats()["max_in_flight"] == 0 and sim.record() == []


def test_hard_limit_and_workers(make_sim):
    sim = make_sim("--latency_ms", 400, "--hard_limit", 3)
    statuses, _ = together(sim, 8)
    assert statuses.count(200) >= 3 and statuses.count(503) == 8 - statuses.count(200) > 0
    sim.reset()
    sim.set(hard_limit=0, workers=2, queue=100, latency_ms=100)
    statuses, took = together(sim, 8)
    assert statuses == [200] * 8 and took >= 0.4  # four rounds of two


def test_client_that_goes_is_noticed(make_sim):
    sim = make_sim("--latency_ms", 20000)
    with pytest.raises(TimeoutError):
        call(sim, timeout=0.2)
    wait_until(lambda: sim.stats()["in_flight"] == 0, 10, "noticed")
    stats = sim.stats()
    assert stats["by_kind"] == {"client_gone": 1} and stats["cut"] == 1 and stats["in_service"] == 0
    row = sim.record()[0]
    assert row["kind"] == "client_gone" and row["status"] == 0


# ---- counters and control ----

def test_counters_of_keys(sim):
    for key in ("LAN1", "LAN2", "LAN1", "LAN3", "LAN1"):
        call(sim, prompt(key))
    sim.set(error_500_next=1)
    call(sim, prompt("LAN2"))
    call(sim, {"contents": [{"parts": [{"text": "ping"}]}]})
    stats = sim.stats()
    assert (stats["received"], stats["tests"], stats["ok"], stats["keys"]) == (7, 1, 6, 3)
    assert (stats["keys_called_again"], stats["calls_beyond_first"], stats["keys_answered_again"]) == (2, 3, 1)
    again = [json.loads(line) for line in sim.control("GET", "/sim/keys?over=1").splitlines()]
    assert sorted((row["key"], row["calls"], row["ok"]) for row in again) == [("LAN1", 3, 3), ("LAN2", 2, 1)]
    record = sim.record()
    assert [row["number"] for row in record] == list(range(1, 8)) and record[4]["key_call"] == 3 and record[6]["key"] is None
    assert len(sim.control("GET", "/sim/record?from=6").splitlines()) == 2


def test_settings_are_refused_with_the_nearest_name(sim):
    for change, says in (('{"rmp":5}', 'did you mean \\"rpm\\"'), ('{"error_500":2}', "error_500"), ('{"rpm":5', "JSON"), ("[]", "object"),
                         ('{"error_500":0.6,"error_503":0.6}', "sum up"), ('{"quotas":"x"}', "requests=300/60s"), ('{"outage":"yes"}', "off, 503")):
        connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=30)
        connection.request("PATCH", "/sim/config", change)
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 400 and says in text, (change, text)
        connection.close()
    config = json.loads(sim.control("GET", "/sim/config"))
    assert config["rpm"] == "none" and config["error_500"] == 0
    table = json.loads(sim.control("GET", "/sim/help"))
    assert {row["name"] for row in table} == set(config) and all(row["help"] for row in table)


def exchange(sim, data):
    """Raw bytes in, all that comes until the end out."""
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10 * SLOWNESS) as raw:
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)
        got = b""
        while chunk := raw.recv(65536):
            got += chunk
        return got


def test_bad_http(sim):
    for data, status in ((b"NONSENSE\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
                         (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
                         (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20000, 431)):
        assert exchange(sim, data).startswith(b"HTTP/1.1 %d " % status), data[:40]
    web = b"POST /sim/reset HTTP/1.1\r\nHost: %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert exchange(sim, web % (b"evil.example", b"")).startswith(b"HTTP/1.1 421 ")
    assert exchange(sim, web % (b"127.0.0.1", b"Origin: http://evil.example\r\n")).startswith(b"HTTP/1.1 403 ")
    assert sim.stats()["bad_http"] == 5 and sim.stats()["received"] == 0


def test_pieces_and_pipelines(sim):
    """A request in single bytes, and two requests in one piece, are answered alike."""
    body = json.dumps(prompt()).encode()
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nx-goog-api-key: K\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body))
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10 * SLOWNESS) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + body[:50]:
            raw.sendall(bytes([byte]))
        raw.sendall(body[50:] + head + body)
        got = b""
        while got.count(b"responseId") < 2:
            chunk = raw.recv(65536)
            assert chunk, got
            got += chunk
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10 * SLOWNESS) as raw:  # goes with RST amid a request
        raw.sendall(head)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert sim.stats()["received"] == 2


def test_expect_continue(sim):
    body = json.dumps(prompt()).encode()
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nx-goog-api-key: K\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body))
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10 * SLOWNESS) as raw:
        raw.sendall(head)
        assert raw.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(body)
        assert raw.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


# ---- the command line ----

@pytest.mark.parametrize("arguments, status, says", [
    (["--listen", "0.0.0.0:0"], 2, "not a loopback address"),
    (["--listen", "8800"], 2, "127.0.0.1:8800"),
    (["--latncy_ms", "5"], 2, 'did you mean "latency_ms"'),
    (["--rpm", "many"], 2, "rpm"),
    (["--rpm"], 2, "takes a value"),
    (["--set", "rpm"], 2, "SETTING=VALUE"),
    (["--error_500=0.9", "--error_503=0.9"], 2, "sum up"),
    (["--outage", "refuse", "--listen", "127.0.0.1:0"], 2, "outage_ms"),
    (["start"], 2, "--help"),
    (["--port-file", "/nowhere/port", "--listen", "127.0.0.1:0"], 11, "/nowhere/port"),
])
def test_wrong_command_lines(arguments, status, says):
    ran = subprocess.run([program("gallocsim"), *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == status and says in ran.stderr and ran.stderr.startswith("gallocsim: "), ran


def test_taken_port_and_summary(sim):
    ran = subprocess.run([program("gallocsim"), "--listen", f"127.0.0.1:{sim.port}"], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 11 and "in use" in ran.stderr
    with subprocess.Popen([program("gallocsim"), "--listen=127.0.0.1:0", "--set", "latency_ms=1", "--error-500=0.5"], stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline().startswith("gallocsim: listening on http://127.0.0.1:")
        process.terminate()
        assert "received 0 calls" in process.stdout.read()
    assert process.returncode == 0
    helped = subprocess.run([program("gallocsim"), "--help"], capture_output=True, text=True, timeout=30, check=True).stdout
    assert "latency_ms" in helped and "drop_reused" in helped and "NAME_next" in helped


def test_tokens_are_counted_of_the_text_and_not_of_its_escapes(make_sim):
    sim = make_sim()

    def tokens(text):
        return call(sim, {"contents": [{"role": "user", "parts": [{"text": text}]}]}).json["usageMetadata"]["promptTokenCount"]

    assert tokens('"' * 4000) == tokens("x" * 4000)
    assert tokens("\u0001" * 400) == tokens("x" * 400)
