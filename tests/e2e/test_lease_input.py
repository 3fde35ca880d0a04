"""What a client may send to the lease routes: whatever it is, a clear answer or a closed connection, and nobody else notices. And the workers' socket."""
import fcntl
import grp
import json
import os
import socket
import stat
import subprocess
import threading

import pytest

from harness import UnixConnection, program, wait_until
from lease_worker import Worker, decide

AGENTS = [{"agent_id": "A0", "capacity": 5000}, {"agent_id": "A1", "capacity": 5000}]


@pytest.fixture
def alone(make_daemon):
    daemon = make_daemon("http://127.0.0.1:9").start()
    yield daemon
    assert daemon.api("GET", "/healthz").status == 200, "it lives"
    assert daemon.ctl("doctor").returncode == 0


def enqueue(daemon, count=4, **members):
    return daemon.create([(f"K{n:03}", {"n": n}) for n in range(count)], AGENTS, endpoint="workers", **members)


# ---- asks ----

@pytest.mark.parametrize("body, named", [
    ({}, "worker"), ({"worker": ""}, "worker"), ({"worker": "x" * 129}, "worker"), ({"worker": "a\u0007b"}, "worker"), ({"worker": 7}, "worker"),
    ({"worker": "w", "max": 0}, "max"), ({"worker": "w", "max": 1001}, "max"), ({"worker": "w", "max": "3"}, "max"), ({"worker": "w", "max": 1.5}, "max"),
    ({"worker": "w", "ttl_ms": -1}, "ttl_ms"), ({"worker": "w", "ttl_ms": 99}, "ttl_ms"), ({"worker": "w", "ttl_ms": 31536000000}, "ttl_ms"),
    ({"worker": "w", "wait_ms": -1}, "wait_ms"), ({"worker": "w", "wait_ms": 60001}, "wait_ms"), ({"worker": "w", "wait_ms": None, "bogus": 1}, "bogus"),
    ({"worker": "w", "run": ""}, "run"), ({"worker": "w", "run": ["r"]}, "run"),
])
def test_an_ask_that_cannot_be(alone, body, named):
    answer = Worker(alone.socket).call("POST", "/v1/leases", body)
    assert answer.status == 400 and named in answer.json["detail"], answer


@pytest.mark.parametrize("body", ["", "{", "[]", "nonsense", '{"worker":"w","worker":"v"}', b'{"worker":"\xff"}', "[" * 100000])
@pytest.mark.parametrize("path", ["/v1/leases", "/v1/leases/1/results"])
def test_a_body_that_is_no_json_object(alone, path, body):
    answer = Worker(alone.socket).call("POST", path, body)
    assert answer.status in (400, 422) and answer.headers["Content-Type"] == "application/problem+json", answer


@pytest.mark.parametrize("number", ["0", "-1", "1e3", "abc", "99999999999999999999999", "1%2f2", "%00", " 1", "0x1", "1.0", ""])
def test_a_number_that_is_no_lease(alone, number):
    enqueue(alone)
    worker = Worker(alone.socket)
    lease = worker.lease(max=4)
    for method, path in (("POST", "/renew"), ("DELETE", ""), ("POST", "/results")):
        answer = worker.call(method, f"/v1/leases/{number.replace(' ', '%20')}{path}", {"results": []} if path == "/results" else None)
        assert answer.status in (400, 404, 405), answer
    assert [item["rows"] for item in alone.api("GET", "/v1/leases").json["items"]] == [4]
    assert worker.renew(lease).status == 200


def test_a_number_that_was_never_given(alone):
    worker = Worker(alone.socket)
    for number in ("1", "9223372036854775807"):
        assert [worker.renew({"lease": number}).json["code"], worker.give_back({"lease": number}).json["code"]] == ["lease_lost"] * 2
        assert worker.tell({"lease": number}, [{"key": "K000", "agent_id": "A0"}])[0]["verdict"] == "stale"


# ---- results ----

@pytest.mark.parametrize("body, status", [
    ({}, 400), ({"results": {}}, 400), ({"results": None}, 400), ({"results": "K000"}, 400), ({"results": [], "more": 1}, 400),
    ({"results": [{"key": "K000", "agent_id": "A0"}] * 1001}, 422)])
def test_results_that_are_no_list(alone, body, status):
    run = enqueue(alone)
    worker = Worker(alone.socket)
    lease = worker.lease(max=4)
    answer = worker.call("POST", f"/v1/leases/{lease['lease']}/results", body)
    assert answer.status == status and "results" in answer.json["detail"] or "more" in answer.json["detail"], answer
    assert alone.counts(run)["leased"] == 4


BAD_ITEMS = [
    ({"agent_id": None}, "agent_id"), ({"agent_id": 17}, "agent_id"), ({"agent_id": ""}, "agent_id"), ({"agent_id": "x" * 200}, "agent_id"), ({}, "agent_id"),
    ({"agent_id": "A0", "reason": 7}, "reason"), ({"agent_id": "A0", "confidence": 1.01}, "confidence"), ({"agent_id": "A0", "confidence": -0.1}, "confidence"),
    ({"agent_id": "A0", "confidence": "high"}, "confidence"), ({"agent_id": "A0", "confidence": True}, "confidence"), ({"agent_id": "A9"}, "A9"),
    ({"agent_id": "A0", "error": {}}, "both"), ({"error": "broken"}, "error"), ({"error": {"code": 5}}, "code"), ({"error": {"message": []}}, "message"),
    ({"error": {"retry": "yes"}}, "retry"), ({"error": {"retry": 1}}, "retry"),
]


def test_an_item_that_is_wrong_spoils_no_other(alone):
    run = enqueue(alone, len(BAD_ITEMS) + 2)
    worker = Worker(alone.socket)
    lease = worker.lease(max=100)
    keys = [row["key"] for row in lease["assignments"]]
    told = [{"key": keys[0], "agent_id": "A0"}, *({"key": key, **item} for key, (item, _) in zip(keys[1:], BAD_ITEMS)), {"key": keys[-1], "agent_id": "A1"}]
    items = worker.tell(lease, told)
    assert [item["verdict"] for item in items] == ["succeeded"] + ["invalid_answer"] * len(BAD_ITEMS) + ["succeeded"]
    for item, (_, named) in zip(items[1:], BAD_ITEMS):
        assert named in item["message"], item
    assert alone.counts(run)["succeeded"] == 2 and alone.counts(run)["leased"] == 0


@pytest.mark.parametrize("item", [5, None, "K000", [], {}, {"key": None}, {"key": 7}, {"key": ""}, {"key": "x" * 300}, {"key": "a\nb"}, {"agent_id": "A0"}])
def test_an_item_without_a_key(alone, item):
    run = enqueue(alone)
    worker = Worker(alone.socket)
    lease = worker.lease(max=4)
    items = worker.tell(lease, [item, {"key": "K000", "agent_id": "A0"}])
    assert [(found["key"], found["verdict"]) for found in items] == [(None, "invalid_answer"), ("K000", "succeeded")]
    assert alone.counts(run)["leased"] == 3


def test_what_is_told_is_cut_and_harmless(alone):
    run = enqueue(alone, 2)
    worker = Worker(alone.socket, "worker \u2603 \"quoted\"")
    lease = worker.lease(max=2, ttl_ms=60000)
    items = worker.tell(lease, [{"key": "K000", "agent_id": "A0", "reason": "\u00e9" * 5000, "alternatives": [1, 2]},
                                {"key": "K001", "error": {"code": "E" * 500, "message": "=cmd()\u001b[31m" + "m" * 5000}}])
    assert [item["verdict"] for item in items] == ["succeeded", "failed"]
    rows = {row["key"]: row for row in alone.results(run)}
    assert rows["K000"]["reason"] == "\u00e9" * 2000 and len(rows["K001"]["error"]["message"]) <= 2200
    assert "'E" in (text := alone.ctl("results", run, "--format", "csv").stdout) or "EEE" in text
    assert "\u001b" not in alone.ctl("failures", run).stdout


def test_results_of_a_whole_lease_at_once(alone):
    run = enqueue(alone, 1500)
    worker = Worker(alone.socket)
    lease = worker.lease(max=1000)
    assert len(lease["assignments"]) == 1000
    assert {item["verdict"] for item in worker.tell(lease, decide(lease))} == {"succeeded"}
    assert {item["verdict"] for item in worker.tell(lease, decide(lease))} == {"duplicate"}
    assert alone.counts(run)["succeeded"] == 1000


def test_a_lease_of_large_rows_is_cut_to_what_a_worker_can_hold(alone):
    run = alone.create([(f"K{n}", {"text": "x" * 200000}) for n in range(18)], AGENTS, endpoint="workers")
    worker = Worker(alone.socket)
    answer = worker.ask(max=1000)
    assert len(answer.body) < 3 << 20 and 1 <= len(answer.json["assignments"]) < 18
    worker.give_back(answer.json)
    worker.work(max=1000)
    assert alone.wait_done(run)["counts"]["succeeded"] == 18


def test_candidates_do_not_swell_a_lease(alone):
    agents = [{"agent_id": f"agent-with-quite-a-long-name-{n:05}", "attributes": {"region": "north"}} for n in range(5000)]
    run = alone.create([(f"K{n}", {"region": "north"}) for n in range(300)], agents, endpoint="workers", options={"match": ["region=region"]})
    worker = Worker(alone.socket)
    answer = worker.ask(max=300)
    assert len(answer.body) < 8 << 20 and 1 <= len(answer.json["assignments"]) < 300
    assert [item["rows"] for item in alone.api("GET", "/v1/leases").json["items"]] == [len(answer.json["assignments"])]
    assert alone.counts(run)["leased"] == len(answer.json["assignments"]) or wait_until(
        lambda: alone.counts(run)["leased"] == len(answer.json["assignments"]), 20, "the others are given back")


# ---- connections ----

def connect(daemon):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(daemon.socket)
    return client


def request(method, path, body=None):
    text = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n" + (f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n" if body is not None else "")
    return head.encode() + b"\r\n" + text


def test_a_body_cut_in_half_changes_nothing(alone):
    run = enqueue(alone)
    worker = Worker(alone.socket)
    lease = worker.lease(max=4)
    whole = request("POST", f"/v1/leases/{lease['lease']}/results", {"results": decide(lease)})
    with connect(alone) as client:
        client.sendall(whole[:len(whole) - 20])
    assert alone.api("GET", "/healthz").status == 200
    assert alone.counts(run)["leased"] == 4 and worker.renew(lease).status == 200


def test_a_hundred_thousand_pipelined_requests(alone):
    enqueue(alone, 10)
    one = request("POST", "/v1/leases", {"worker": "flood", "ttl_ms": 60000})
    client = connect(alone)
    answered = []

    def read():
        seen = 0
        while seen < 100000:
            got = client.recv(1 << 16)
            if not got:
                break
            seen += got.count(b"HTTP/1.1 2")
        answered.append(seen)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(100):
        client.sendall(one * 1000)
        assert alone.api("GET", "/v1/status").status == 200, "others are served meanwhile"
    reader.join(120)
    client.close()
    assert answered == [100000]
    assert sum(item["rows"] for item in alone.api("GET", "/v1/leases").json["items"]) == 10


def test_a_reader_that_never_reads(alone):
    enqueue(alone, 3)
    with connect(alone) as client:
        try:
            client.setblocking(False)
            for _ in range(2000):
                client.send(request("GET", "/v1/leases") * 50)
        except BlockingIOError:
            pass
        assert len(Worker(alone.socket).lease(max=3)["assignments"]) == 3


# ---- the workers' socket ----

@pytest.fixture
def doors(make_daemon, tmp_path):
    group = grp.getgrgid(os.getgid()).gr_name
    daemon = make_daemon("http://127.0.0.1:9", settings=f'worker_socket = "workers/s"\nworker_socket_group = "{group}"').start()
    return daemon, str(daemon.folder / "workers" / "s")


def test_the_workers_socket_serves_leases_alone(doors):
    daemon, path = doors
    run = enqueue(daemon, 3)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    worker = Worker(path)
    for route in ("/healthz", "/readyz"):
        assert worker.call("GET", route).status == 200
    refused = [("GET", "/v1/status"), ("GET", f"/v1/runs/{run}"), ("GET", f"/v1/runs/{run}/results"), ("GET", "/metrics"), ("GET", "/v1/leases"), ("POST", "/v1/drain"),
               ("POST", f"/v1/runs/{run}/pause"), ("GET", "/v1/endpoints"), ("GET", "/v1/audit"), ("GET", "/v1/events"), ("GET", "/openapi.yaml")]
    for method, route in refused:
        answer = worker.call(method, route)
        assert (answer.status, answer.json["code"]) == (403, "not_permitted"), (method, route, answer)
    lease = worker.lease(max=3)
    assert worker.renew(lease).status == 200 and worker.tell(lease, decide(lease)[:2])[0]["verdict"] == "succeeded"
    assert worker.give_back(lease).json["released"] == 1
    assert len(Worker(daemon.socket).work(max=5)) == 1, "operators may lease, too"


def test_the_workers_socket_is_gone_with_the_daemon_and_with_its_setting(doors):
    daemon, path = doors
    daemon.kill()
    daemon.start()  # over the socket that a crash left
    assert Worker(path).call("GET", "/healthz").status == 200
    assert daemon.stop() == 0 and not os.path.exists(path)
    daemon.config.write_text("\n".join(line for line in daemon.config.read_text().splitlines() if not line.startswith("worker_socket")))
    daemon.start()
    assert not os.path.exists(path)


def test_the_option_names_another_place(make_daemon):
    daemon = make_daemon("http://127.0.0.1:9")
    path = str(daemon.folder / "w")
    daemon.arguments += ["--worker-socket", path]
    daemon.start()
    assert Worker(path).ask().status == 204 and f"worker_socket={path}" in daemon.log


def test_both_sockets_may_be_handed_over(make_daemon):
    """As a service manager does it: by name, and each with the rights of its name."""
    daemon = make_daemon("http://127.0.0.1:9")
    daemon.socket = str(daemon.folder / "operators")
    path = str(daemon.folder / "w")
    with socket.socket(socket.AF_UNIX) as operators, socket.socket(socket.AF_UNIX) as workers:
        for listening, place in ((operators, daemon.socket), (workers, path)):
            listening.bind(place)
            listening.listen(8)
        passed = [fcntl.fcntl(listening.fileno(), fcntl.F_DUPFD, 20) for listening in (workers, operators)]  # neither is 3 or 4
        daemon.process = subprocess.Popen(
            ["/bin/bash", "-c", 'export LISTEN_PID=$$; exec "$0" "$@" 3<&%d 4<&%d' % tuple(passed), program("gallocd"),
             "-c", str(daemon.config), "--socket", str(daemon.folder / "elsewhere"), "--state-dir", str(daemon.state_dir)], pass_fds=passed,
            stderr=open(daemon.log_path, "wb"), env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "worker.sock:gallocd.sock"})
        for descriptor in passed:
            os.close(descriptor)
    wait_until(daemon.is_ready, 20, "the operators' socket is served")
    assert Worker(path).call("GET", "/v1/status").status == 403 and Worker(path).ask().status == 204
    assert daemon.api("GET", "/v1/status").status == 200
    assert daemon.stop() == 0 and os.path.exists(path), "it belongs to the manager"


def test_a_socket_handed_over_without_a_name_is_the_operators(make_daemon):
    daemon = make_daemon("http://127.0.0.1:9")
    daemon.socket = str(daemon.folder / "operators")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(daemon.socket)
        listening.listen(8)
        daemon.process = subprocess.Popen(
            ["/bin/bash", "-c", 'export LISTEN_PID=$$; exec "$0" "$@" 3<&%d' % listening.fileno(), program("gallocd"), "-c", str(daemon.config), "--socket",
             daemon.socket, "--state-dir", str(daemon.state_dir)], pass_fds=[listening.fileno()], stderr=open(daemon.log_path, "wb"),
            env={**{name: value for name, value in os.environ.items() if name != "LISTEN_FDNAMES"}, "LISTEN_FDS": "1"})
    wait_until(daemon.is_ready, 20, "it is served")
    for _ in range(20):
        assert daemon.api("GET", "/v1/status").status == 200, "by the operators' door, and by no other"


def test_a_client_of_one_socket_does_not_take_the_others_connections(doors):
    daemon, path = doors
    connection = UnixConnection(path)
    connection.request("GET", "/v1/status")
    assert connection.getresponse().status == 403
    connection.close()
    assert daemon.api("GET", "/v1/status").status == 200
