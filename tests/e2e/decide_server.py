"""A service that decides (provider "http"), scripted: it answers by a function of the test's, and keeps what it was asked."""
import http.server
import json
import threading
import time


class Asked:
    """One request: method, path with its query, headers, the body as JSON (None of a GET), and when it came (monotonic)."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.at = time.monotonic()
        self.key = body["key"] if body else None


class Reply:
    """An answer. `body` is an object (sent as JSON), text or bytes; `length` another Content-Length than its own; `drip` sends a byte each tenth of a second,
    without end."""

    def __init__(self, status=200, body=b"", headers=None, length=None, drip=False):
        self.status, self.headers, self.length, self.drip = status, headers or {}, length, drip
        self.body = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()


def least_loaded(asked):
    """What a good service says."""
    agent = min(asked.body["candidates"], key=lambda one: (one["held"], one["agent_id"]))
    return Reply(200, {"agent_id": agent["agent_id"], "reason": f"holds {agent['held']}", "confidence": 0.9})


class Service:
    """Listens on a free port of the loopback. `decide(asked)` gives a Reply and may be changed while it runs."""

    def __init__(self, decide=least_loaded, health=lambda asked: Reply(200, b"well"), latency=0):
        self.decide, self.health, self.latency = decide, health, latency  # seconds
        self.asked = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                asked = Asked(self.command, self.path, dict(self.headers.items()), body)
                with service.lock:
                    service.asked.append(asked)
                service.stopping.wait(service.latency)
                service.send(self, (service.health if self.command == "GET" else service.decide)(asked))

            do_GET = do_POST = handle_one

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, client_address):
                """A client that is gone is no fault of the service."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def send(self, handler, reply):
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(1 << 20 if reply.drip else len(reply.body) if reply.length is None else reply.length))
        handler.end_headers()
        handler.wfile.write(reply.body)
        while reply.drip and not self.stopping.wait(0.1):
            handler.wfile.write(b" ")
            handler.wfile.flush()
        if reply.length is not None:
            handler.close_connection = True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def requests(self, method="POST", key=None):
        with self.lock:
            return [asked for asked in self.asked if asked.method == method and key in (None, asked.key)]

    def stop(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
