"""What bench/run sets galloc's figures beside: the bare program, curl, beanstalkd. Each takes the same rows, and gives seconds."""
import contextlib
import http.server
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = sorted((ROOT / "schema" / "sqlite").glob("*.sql"))[0]


def seconds_of(function):
    started = time.monotonic()
    function()
    return time.monotonic() - started


# ---- bare: SQLite and nothing else ----
def write_csv(build, path, rows, *options):
    subprocess.run([f"{build}/bench/bare", "--rows", str(rows), *options, "--csv", path], check=True)
    return path


def bare(build, folder, rows, *options):
    """Seconds of the rows' import, and with --lease those of their leases."""
    try:
        told = subprocess.run([f"{build}/bench/bare", "--rows", str(rows), *options, "--schema", SCHEMA, folder / "bare.db"], check=True,
                              capture_output=True, text=True)
        return [float(line) for line in told.stdout.split()]
    finally:
        for left in folder.glob("bare.db*"):
            left.unlink()


# ---- curl: as many POSTs of such a body, in flight all the time ----
class Capture(http.server.BaseHTTPRequestHandler):
    """Keeps the first request that a daemon sends, and answers none of them well."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.first = self.server.first or (self.path, body)
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def capture():
    """A server; its `first` is the first request's path and body, None before it came."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Capture) as server:
        server.first, server.url = None, f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def curl(url, folder, body, count, in_flight):
    """Seconds of `count` POSTs of this body by one curl with so many in flight."""
    (folder / "body").write_bytes(body)
    return seconds_of(lambda: subprocess.run(
        ["curl", "-q", "-sSf", "--no-progress-meter", "-Z", "--parallel-max", str(in_flight), "-H", "Content-Type: application/json", "-H", "x-goog-api-key: k",
         "--data-binary", f"@{folder}/body", "-o", "/dev/null", f"{url}#[1-{count}]"], check=True))


# ---- beanstalkd: a work queue with a log on the disk, synced at every write ----
class Beanstalkd:
    """One connection; commands go out a hundred at a time, so that the client's turn-around costs little."""
    BATCH = 100

    def __init__(self, folder):
        self.folder = Path(tempfile.mkdtemp(prefix="beanstalkd-", dir=folder))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = subprocess.Popen(["beanstalkd", "-l", "127.0.0.1", "-p", str(port), "-b", self.folder, "-f0"])
        deadline = time.monotonic() + 10
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)  # lint: poll
        self.answers = self.socket.makefile("rb")

    def put(self, bodies):
        for at in range(0, len(bodies), self.BATCH):
            part = bodies[at:at + self.BATCH]
            self.socket.sendall(b"".join(b"put 0 0 60 %d\r\n%s\r\n" % (len(body), body) for body in part))
            for _ in part:
                assert self.answers.readline().startswith(b"INSERTED")

    def take(self, count):
        for _ in range(0, count, self.BATCH):
            self.socket.sendall(b"reserve-with-timeout 0\r\n" * self.BATCH)
            numbers = []
            for _ in range(self.BATCH):
                _, number, size = self.answers.readline().split()
                self.answers.read(int(size) + 2)
                numbers.append(number)
            self.socket.sendall(b"".join(b"delete %s\r\n" % number for number in numbers))
            for _ in numbers:
                assert self.answers.readline() == b"DELETED\r\n"

    def remove(self):
        self.answers.close()
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.folder)


def beanstalkd(folder, csv_path, count):
    """Seconds of putting the file's rows, and of reserving and deleting as many; None where it is not installed."""
    if shutil.which("beanstalkd") is None:
        return None
    with open(csv_path, "rb") as file:
        next(file)
        bodies = [line.rstrip() for line in file][:count]
    server = Beanstalkd(folder)
    try:
        return seconds_of(lambda: server.put(bodies)), seconds_of(lambda: server.take(len(bodies)))
    finally:
        server.remove()
