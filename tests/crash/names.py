"""A name server of a harness's own, and a daemon that asks no other: in a mount namespace, where /etc/resolv.conf and /etc/nsswitch.conf say so. Root, or Skipped."""
import contextlib
import http.client
import http.server
import os
import socket
import struct
import threading

from bench import Skipped, need

ADDRESS = "127.0.0.153"
NAME = "provider.test"
FAILURES = ("nxdomain", "servfail", "silent", "empty", "slow")  # what befalls a name that resolves else; "slow" comes to an answer after SLOW_S
SLOW_S = 1.5
ENTER = 'mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@"'


class Names(threading.Thread):
    """Every name is 127.0.0.1, while `mode` is "well". `asked` counts the questions."""

    CODES = {"nxdomain": 3, "servfail": 2}

    def __init__(self, folder):
        super().__init__(daemon=True)
        need("unshare", "mount")
        self.mode, self.asked, self.is_ended = "well", 0, threading.Event()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind((ADDRESS, 53))
        except OSError as error:
            raise Skipped(f"no name server can be had here: {error} (needs root)") from error
        self.files = [folder / "resolv.conf", folder / "nsswitch.conf"]
        self.files[0].write_text(f"nameserver {ADDRESS}\noptions timeout:1 attempts:1\n")
        self.files[1].write_text("hosts: dns\n")
        if not all(os.path.exists(f"/etc/{file.name}") for file in self.files):
            raise Skipped("/etc/resolv.conf and /etc/nsswitch.conf are not both there")

    @property
    def before(self):
        """What stands before the daemon's command."""
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", *map(str, self.files))

    def run(self):
        while not self.is_ended.is_set():
            with contextlib.suppress(OSError):
                question, client = self.socket.recvfrom(512)
                self.asked += 1
                threading.Thread(target=self.answer, args=(question, client, self.mode), daemon=True).start()

    def answer(self, question, client, mode):
        if mode == "silent" or len(question) < 12:
            return
        if mode == "slow":
            self.is_ended.wait(SLOW_S)
        end = question.index(b"\0", 12) + 5
        is_address = question[end - 4:end - 2] == b"\0\1"
        answers = 1 if is_address and mode in ("well", "slow") else 0
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | self.CODES.get(mode, 0), 1, answers, 0, 0)
        row = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" if answers else b""
        with contextlib.suppress(OSError):
            self.socket.sendto(head + question[12:end] + row, client)

    def end(self):
        self.is_ended.set()
        with contextlib.suppress(OSError):
            self.socket.sendto(b"", (ADDRESS, 53))
        self.socket.close()


class Forwarder(http.server.ThreadingHTTPServer):
    """Passes calls on to gallocsim, which answers to the loopback's own names alone."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Forwarded)
        self.target, self.url = port, f"http://{NAME}:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def end(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that is gone is what the harness is about."""


class Forwarded(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nothing."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=30)) as upstream:
            upstream.request(self.command, self.path, body, {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")})
            answer = upstream.getresponse()
            content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST
