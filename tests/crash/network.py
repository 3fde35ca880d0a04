"""R18: the network to the provider goes wrong in every way that a stand-in alone does not show: a relay between the daemon and gallocsim that resets, stalls, cuts or
drips at any byte of a request or an answer, is not there, or answers nonsense; and gallocsim's own faults in storms; HTTP/2 that takes streams back (goaway.py); a name that does not resolve (names.py). No assignment fails for it, no call is made
that is not on record (I-9), and all of it ends.
"""
import random
import socket
import threading

import goaway
import names
from bench import Bench, Skipped
from harness import wait_until
from load import Load

STALL_S = 3.0  # beyond the daemon's request_timeout
NONSENSE = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", b"\x16\x03\x01\x02\x00", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 80000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}{}{}",
            b"HTTP/1.1 301 Moved\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", b"220 mail.example ESMTP\r\n")


class Relay(threading.Thread):
    """Accepts, connects to the stand-in, copies both ways, and spoils a share of the connections in one of the ways below."""

    WAYS = ("reset", "close", "stall", "drip", "nonsense", "reset_request")

    def __init__(self, port, seed):
        super().__init__(daemon=True)
        self.target, self.dice, self.share, self.spoiled = port, random.Random(f"{seed} relay"), 0.0, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.is_ended = threading.Event()

    def run(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            way = self.dice.choice(self.WAYS) if self.dice.random() < self.share else None
            self.spoiled += way is not None
            threading.Thread(target=self.serve, args=(client, way, self.dice.randrange(1500)), daemon=True).start()

    def serve(self, client, way, at):
        try:
            if way == "nonsense":
                client.recv(65536)
                client.sendall(NONSENSE[at % len(NONSENSE)])
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            back = threading.Thread(target=self.copy, args=(server, client, way if way != "reset_request" else None, at), daemon=True)
            back.start()
            self.copy(client, server, "reset" if way == "reset_request" else None, at)
            back.join(30)
            server.close()
        except OSError:
            pass
        finally:
            client.close()

    def copy(self, source, sink, way, at):
        """Copies until the end, or spoils it at byte `at`."""
        passed = 0
        try:
            while data := source.recv(65536):
                if way and passed + len(data) > at:
                    sink.sendall(data[:max(0, at - passed)])
                    self.spoil(source, sink, way, data[max(0, at - passed):])
                    return
                sink.sendall(data)
                passed += len(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def spoil(self, source, sink, way, rest):
        if way == "stall":
            self.is_ended.wait(STALL_S)
        elif way == "drip":
            for byte in rest[:200]:
                sink.sendall(bytes([byte]))
                self.is_ended.wait(0.002)
        elif way == "reset":
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        for end in (source, sink):
            end.shutdown(socket.SHUT_RDWR)
            end.close()

    def end(self):
        self.is_ended.set()
        self.listening.close()


# A phase: what the stand-in does meanwhile, and the share of connections that the relay spoils.
PHASES = (
    ({}, 0.4),
    ({"drop_reused": 0.2}, 0.0),
    ({"reset_before": 0.1, "reset_after": 0.1, "short_body": 0.1, "close_early": 0.1}, 0.1),
    ({"error_429_next": 2, "error_503": 0.1}, 0.1),
    ({"error_500": 0.2, "error_502": 0.1, "html_502": 0.1, "half_json": 0.1}, 0.0),
    ({"outage": "refuse", "outage_ms": 700}, 0.2),
    ({"outage": "reset", "outage_ms": 700}, 0.0),
    ({"redirect": 0.2, "huge_body": 0.02, "drip": 0.1}, 0.1),
)
PHASE_CALLS = 120
MAY_FAIL = ("transient", "invalid_answer", "poison")  # by its own doing: several spoiled in a row, after all of its retries; forgotten by three workers


def resume(daemon):
    """A redirect is a wrong configuration: the endpoint is down until somebody says that it was mended."""
    if daemon.api("GET", "/v1/endpoints/gemini").json["state"] == "down":
        daemon.api("POST", "/v1/endpoints/gemini/resume")


def received(bench):
    """The stand-in's count of calls; 0 while an outage keeps it from saying."""
    try:
        return bench.sim.stats()["received"]
    except OSError:
        return 0


def goes_on(bench, daemon, seen):
    if not daemon.is_running() or received(bench) > seen + PHASE_CALLS:
        return True
    resume(daemon)
    return False


def storm(bench, daemon, relay, number):
    settings, share = PHASES[number % len(PHASES)]
    seen = wait_until(lambda: received(bench), 30, "the stand-in answers")
    bench.sim.set(**settings)
    relay.share = share
    wait_until(lambda: goes_on(bench, daemon, seen), 60,
               lambda: f"calls go on in phase {settings} {share}: {daemon.api('GET', '/v1/status').body[:1500]}")
    relay.share = 0.0
    wait_until(lambda: received(bench), 30, "the stand-in answers")
    bench.sim.set(**{name: "off" if name == "outage" else 0 for name in settings})
    if not daemon.is_running():
        bench.violation("broken", f"{settings} ended it with {daemon.process.returncode}: {daemon.log[-1500:]}")


def check_failures(bench, daemon, load):
    for run in load.committed():
        for group in daemon.api("GET", f"/v1/runs/{run}/failures").json.get("items", ()):  # none: a purge in doubt
            if group["code"] not in MAY_FAIL:
                bench.violation("broken", f"{group['count']} assignments of {run} failed as {group['code']}: {group['message']}")


GOAWAY_SPOILED = 12  # connections or streams in a round


def goaways(bench):
    """HTTP/2 that ends connections and streams, also after their work was done: a round."""
    server = goaway.Server(bench.sim.port, bench.options.seed, bench.folder)
    bench.callback(server.end)
    server.start()
    daemon = bench.new_store(base_url=server.url, endpoint=f'ca_file = "{server.certificate}"\nmax_in_flight = 16\nrequest_timeout = "5s"\ntime_scale = 0.05')
    daemon.start()
    load = Load(daemon, bench.history, bench.options.seed, followers=0)
    bench.callback(load.stopping.set)
    load.start()
    server.share = 0.7
    wait_until(lambda: server.spoiled > GOAWAY_SPOILED or not daemon.is_running(), 60, lambda: f"{server.spoiled} spoiled: {daemon.api('GET', '/v1/status').body[:1500]}")
    server.share = 0.0
    if "h2" not in server.protocols:
        bench.violation("broken", f"no HTTP/2 was spoken: {server.protocols}")
    end(bench, daemon, load)
    bench.report.rounds += 1
    return server.spoiled


def lookups(bench):
    """The provider's name resolves in one life and not in the next, which goes on by itself when it does again: a round for each way to fail."""
    server = names.Names(bench.folder)
    bench.callback(server.end)
    server.start()
    forwarder = names.Forwarder(bench.sim.port)
    bench.callback(forwarder.end)
    daemon = bench.new_store(base_url=forwarder.url, before=server.before,
                             endpoint='allow_plain_http = yes\nmax_in_flight = 16\nrequest_timeout = "2s"\ntime_scale = 0.05')
    daemon.start()
    load = Load(daemon, bench.history, bench.options.seed, followers=0)
    bench.callback(load.stopping.set)
    load.start()
    for mode in names.FAILURES:
        wait_until(lambda: received(bench) > 0, 30, "calls under a name that resolves")
        daemon.kill()
        bench.history.life += 1
        if not bench.check_stopped(daemon):
            return server.asked
        server.mode, asked, seen = mode, server.asked, received(bench)
        daemon.start(ready=False)
        wait_until(lambda: server.asked > asked + 2, 60, lambda: f"{mode}: the name is asked for again: {daemon.log[-1500:]}")
        if mode != "slow" and received(bench) != seen:
            bench.violation("broken", f"{mode}: calls went to a name that does not resolve")
        server.mode = "well"
        wait_until(lambda: received(bench) > seen + 10, 60, lambda: f"{mode}: calls go on: {daemon.api('GET', '/v1/status').body[:1500]}")
        bench.report.rounds += 1
    end(bench, daemon, load)
    return server.asked


def end(bench, daemon, load):
    load.stop()
    resume(daemon)
    bench.come_to_rest(daemon, load, 120)
    check_failures(bench, daemon, load)
    bench.check_end(daemon)


def run(options):
    with Bench(options, "R18", "network faults", sim=("--latency_ms", 10)) as bench:
        relay = Relay(bench.sim.port, options.seed)
        bench.callback(relay.end)
        relay.start()
        daemon = bench.subject(base_url=f"http://127.0.0.1:{relay.port}", endpoint='max_in_flight = 16\nrequest_timeout = "2s"\ntime_scale = 0.05')
        daemon.start()
        load = Load(daemon, bench.history, options.seed, followers=1)
        bench.callback(load.stopping.set)
        load.start()
        for number in range(options.rounds):
            storm(bench, daemon, relay, number)
            bench.report.rounds += 1
            if not bench.report.verdict.is_clean:
                return bench.done()
        end(bench, daemon, load)
        figures = {"spoiled": relay.spoiled}
        for name, more in (("goaway", goaways), ("lookups", lookups)):
            if bench.report.verdict.is_clean:
                try:
                    figures[name] = more(bench)
                except Skipped as why:
                    figures[name] = f"skipped ({why})"
        return bench.done(**figures)
