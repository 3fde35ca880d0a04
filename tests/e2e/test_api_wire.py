"""The HTTP server itself: what it refuses before routing, its caps and deadlines, clients that go away or do not read."""
import json
import os
import random
import resource
import socket
import time

import pytest
from harness import SLOWNESS, Daemon, Sim, wait_until


@pytest.fixture(scope="module")
def daemon():
    """No calls are made: nobody has to answer at its endpoint."""
    found = Daemon("http://127.0.0.1:9").start()
    yield found
    found.remove()


def connect(daemon, timeout=20):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout * SLOWNESS)
    sock.connect(daemon.socket)
    return sock


def receive(sock, until_closed=False):
    """One answer: (status, headers, body), or all bytes until the end."""
    data = b""
    while until_closed or b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            break
        data += piece
    if until_closed:
        return data
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        body += sock.recv(65536)
    return int(lines[0].split()[1]), headers, body


def ask(daemon, request):
    with connect(daemon) as sock:
        sock.sendall(request)
        return receive(sock)


def check_problem(answer, status, code):
    found, headers, body = answer
    assert headers["content-type"] == "application/problem+json", answer
    problem = json.loads(body)
    assert (found, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["type"] == "about:blank" and problem["title"] and problem["detail"], problem


HOST = b"Host: x\r\n"
REFUSED = {
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "bad_request"),
    "two Hosts": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "bad_request"),
    "bare LF": (b"GET /healthz HTTP/1.1\nHost: x\n\n", 400, "bad_request"),
    "bare CR in a value": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400, "bad_request"),
    "obs-fold": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400, "bad_request"),
    "NUL in a value": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 400, "bad_request"),
    "NUL in the path": (b"GET /heal\0thz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
    "encoded NUL in the path": (b"GET /v1/runs/a%00b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
    "broken escape": (b"GET /v1/runs/a%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
    "not UTF-8 once decoded": (b"GET /v1/runs/%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
    "no colon": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nAb\r\n\r\n", 400, "bad_request"),
    "blank before the colon": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n", 400, "bad_request"),
    "Content-Length no number": (b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n", 400, "bad_request"),
    "Content-Length negative": (b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
    "Content-Length over 64 bits": (b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400, "bad_request"),
    "two Content-Lengths": (b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "bad_request"),
    "Content-Length and chunked": (b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    "chunked": (b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, "length_required"),
    "absolute URI": (b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", 400, "bad_request"),
    "HTTP/3.0": (b"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n", 400, "bad_request"),
    "unknown method": (b"BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 501, "not_implemented"),
    "lower case method": (b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 501, "not_implemented"),
    "known method, not here": (b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", 400, "bad_request"),
    "header of 100 KiB": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100000 + b"\r\n\r\n", 431, "headers_too_large"),
    "200 header lines": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431, "headers_too_large"),
    "URI of 70 KiB": (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
    "URI of 5 KiB": (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
    "no such path": (b"GET /v1/stauts HTTP/1.1\r\nHost: x\r\n\r\n", 404, "no_such_route"),
    "unknown parameter": (b"GET /v1/runs?stat=done HTTP/1.1\r\nHost: x\r\n\r\n", 400, "unknown_field"),
    "body where none is taken": (b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 400, "bad_request"),
    "no body where one is needed": (b"POST /v1/runs HTTP/1.1\r\nHost: x\r\n\r\n", 411, "length_required"),
    "body without a type": (b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 415, "unsupported_media_type"),
    "a form": (b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n\r\n{}", 415, "unsupported_media_type"),
    "body over 4 MiB": (b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4194305\r\n\r\n", 413, "too_large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_a_handler(daemon, name):
    request, status, code = REFUSED[name]
    check_problem(ask(daemon, request), status, code)


BODIES = {
    "empty": (b"", 400, "not_json"),
    "cut": (b'{"name":"a"', 400, "not_json"),
    "two values": (b"{} {}", 400, "not_json"),
    "repeated member": (b'{"parts":1,"parts":2}', 400, "not_json"),
    "not UTF-8": (b'{"parts":"\xff"}', 400, "not_json"),
    "an array": (b"[1]", 400, "invalid_value"),
    "40 levels": (b'{"parts":' + b"[" * 40 + b"]" * 40 + b"}", 400, "not_json"),
    "unknown member": (b'{"part":1}', 400, "unknown_field"),
    "wrong type": (b'{"parts":"1"}', 400, "invalid_value"),
    "out of range": (b'{"parts":-1}', 400, "invalid_value"),
    "missing": (b"{}", 400, "invalid_value"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_are_strict(daemon, name):
    body, status, code = BODIES[name]
    request = b"POST /v1/runs/none/commit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    check_problem(ask(daemon, request + body), status, code)


def test_a_typo_is_told_the_nearest(daemon):
    assert "/v1/status" in json.loads(ask(daemon, b"GET /v1/stauts HTTP/1.1\r\nHost: x\r\n\r\n")[2])["detail"]
    answer = ask(daemon, b"GET /v1/runs?stat=done HTTP/1.1\r\nHost: x\r\n\r\n")
    assert '"state"' in json.loads(answer[2])["detail"]


def test_405_names_what_is_allowed(daemon):
    status, headers, _ = ask(daemon, b"DELETE /v1/runs HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 405 and headers["allow"] == "GET, POST"


def test_keep_alive_pipelining_and_split_bytes(daemon):
    with connect(daemon) as sock:
        for byte in b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert receive(sock)[0] == 200
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 500 + b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = receive(sock, until_closed=True)
    assert data.count(b"HTTP/1.1 200 OK") == 501 and b"Connection: close" in data


def test_an_error_after_the_body_keeps_the_connection(daemon):
    with connect(daemon) as sock:
        sock.sendall(b"POST /v1/runs/none/commit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"parts\":1}")
        check_problem(receive(sock), 404, "not_found")
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive(sock)[0] == 200


def test_a_refusal_arrives_though_its_body_is_never_read(daemon):
    with connect(daemon) as sock:
        sock.sendall(b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n")
        sock.setblocking(False)
        sent = 0
        try:
            for _ in range(1000):
                sent += sock.send(b"x" * 65536)
        except (BlockingIOError, BrokenPipeError):
            pass
        sock.settimeout(20)
        check_problem(receive(sock), 413, "too_large")


def test_100_continue(daemon):
    with connect(daemon) as sock:
        sock.sendall(b"POST /v1/runs/none/commit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b'{"parts":1}')
        check_problem(receive(sock), 404, "not_found")


def test_half_closed_client_gets_its_answer(daemon):
    with connect(daemon) as sock:
        sock.sendall(b"GET /v1/runs HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock)[0] == 200


def test_half_closed_client_gets_all_its_pipelined_answers(daemon):
    with connect(daemon) as sock:
        sock.sendall(b"GET /v1/runs?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n" * 200 + b"GET /v1/events?follow=0 HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /cut")
        sock.shutdown(socket.SHUT_WR)
        data = receive(sock, until_closed=True)
    assert data.count(b"HTTP/1.1 200 OK") == 201 and data.endswith(b"0\r\n\r\n"), data[-300:]


def test_descriptors_that_run_out_come_back():
    daemon = Daemon("http://127.0.0.1:9")
    try:
        daemon.start()
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (60, 60))
        socks = [connect(daemon) for _ in range(80)]
        wait_until(lambda: "api_descriptors_exhausted" in daemon.log, 20, "the descriptors ran out")
        for sock in socks:
            sock.close()
        wait_until(lambda: ask_quietly(daemon) == 200, 20, "it accepts again")
    finally:
        daemon.remove()


def test_a_header_that_drips_is_cut_at_its_total_deadline(daemon):
    with connect(daemon) as sock:
        began = time.monotonic()
        sock.sendall(b"GET /healthz HTTP/1.1\r\n")
        sock.settimeout(0.3)
        data = b""
        while time.monotonic() - began < 15 * SLOWNESS:
            try:
                data = sock.recv(4096)
                break
            except socket.timeout:
                sock.sendall(b"A")
        took = time.monotonic() - began
        assert data.startswith(b"HTTP/1.1 408") and 4 < took < 8 * SLOWNESS, (data, took)


def test_connections_of_a_user_are_capped():
    daemon = Daemon("http://127.0.0.1:9", settings="connections_per_uid = 5").start()
    try:
        socks = [connect(daemon) for _ in range(5)]
        for sock in socks:  # each is served, so each is counted
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive(sock)[0] == 200
        with connect(daemon) as sock:
            check_problem(receive(sock), 429, "too_many")
        socks.pop().close()
        wait_until(lambda: ask_quietly(daemon) == 200, 10, "a place is free again")
        for sock in socks:
            sock.close()
    finally:
        daemon.remove()


def ask_quietly(daemon):
    try:
        return ask(daemon, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0]
    except (OSError, IndexError):
        return 0


def test_requests_in_flight_are_capped_and_a_gone_client_does_not_matter():
    sim = Sim("--latency_ms", "1500")
    daemon = Daemon(sim.url, settings="requests_per_uid = 2").start()
    try:
        test = b"POST /v1/endpoints/gemini/test HTTP/1.1\r\nHost: x\r\n\r\n"
        first, second = connect(daemon), connect(daemon)
        first.sendall(test)
        second.sendall(test)
        wait_until(lambda: sim.stats()["calls"] >= 2, 10, "both tests are under way")
        status, headers, body = ask(daemon, b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        check_problem((status, headers, body), 429, "too_many")
        assert headers["retry-after"] == "1"
        first.close()  # gone before its answer
        assert receive(second)[0] == 200
        second.close()
        wait_until(lambda: ask_quietly(daemon) == 200, 10, "places are free again")
    finally:
        daemon.remove()
        sim.stop()


def test_bodies_buffered_in_all_are_capped(daemon):
    socks = []
    try:
        for _ in range(4):
            sock = connect(daemon)
            sock.sendall(b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4194304\r\n\r\n" + b" " * 4194303)
            socks.append(sock)
        sock = connect(daemon)
        socks.append(sock)
        sock.sendall(b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4194304\r\n\r\n" + b" " * 65536)
        status, headers, body = receive(sock)
        check_problem((status, headers, body), 503, "busy")
        assert headers["retry-after"] == "1"
    finally:
        for sock in socks:
            sock.close()
    wait_until(lambda: ask_quietly(daemon) == 200, 10, "the room is free again")


def test_a_large_answer_waits_for_its_reader(daemon):
    """Nothing is made ahead of a reader who does not read, and others are served meanwhile."""
    rows = [(f"K{n:05}", {"text": "x" * 1000}) for n in range(3000)]
    run = daemon.create(rows, [{"agent_id": "A", "capacity": 1}], paused=True)
    assert daemon.api("POST", f"/v1/runs/{run}/cancel", {"all": True}).status == 200
    before = daemon.resident_bytes()
    socks = []
    for _ in range(20):
        sock = connect(daemon)
        sock.sendall(b"GET /v1/runs/%s/results HTTP/1.1\r\nHost: x\r\n\r\n" % run.encode())
        socks.append(sock)
    for _ in range(20):
        began = time.monotonic()
        assert daemon.api("GET", "/healthz").status == 200
        assert time.monotonic() - began < 2 * SLOWNESS
    assert daemon.resident_bytes() - before < 128 << 20
    data = b""
    while not data.endswith(b"\r\n0\r\n\r\n"):
        data += socks[0].recv(65536)
    assert data.count(b'"state":"cancelled"') == 3000
    for sock in socks:
        sock.close()


def test_a_reader_of_events_who_does_not_read_is_dropped():
    sim = Sim()
    daemon = Daemon(sim.url).start()
    try:
        with connect(daemon) as sock:
            sock.sendall(b"GET /v1/events?assignments=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            run = daemon.create([(f"K{n:05}", {}) for n in range(6000)], [{"agent_id": "A"}])
            daemon.wait_done(run)
            wait_until(lambda: "galloc_event_dropped_total 1" in daemon.api("GET", "/metrics").body, 20, "the stream is dropped")
            assert daemon.api("GET", "/readyz").status == 200
            data = receive(sock, until_closed=True)
            assert not data.endswith(b"\r\n0\r\n\r\n"), "it does not look whole"
    finally:
        daemon.remove()
        sim.stop()


def test_noise_does_no_harm(daemon):
    chance = random.Random(7)
    good = b"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            data = bytearray(os.urandom(chance.randrange(1, 2000)))
        with connect(daemon) as sock:
            sock.sendall(bytes(data[:chance.randrange(1, len(data) + 1)]))
            if chance.random() < 0.5:
                sock.shutdown(socket.SHUT_WR)
                try:
                    while sock.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
    assert daemon.api("GET", "/healthz").status == 200
    assert "Sanitizer" not in daemon.log
