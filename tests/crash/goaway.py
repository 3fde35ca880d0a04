"""An HTTP/2 server over TLS before gallocsim, which ends connections and streams as HTTP/2 may: GOAWAY with what was begun finished, GOAWAY that gives streams back
unseen, GOAWAY or a refused stream that lies about work that was done, and connections that are gone without a word. RFC 9113, 5.4, 6.8, 8.7.
"""
import contextlib
import http.client
import random
import socket
import ssl
import subprocess
import threading

from bench import Skipped, need

WAYS = ("graceful", "given_back", "lied", "refused", "refused_lied", "cut")
REFUSED_STREAM = 7
HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive")


def make_certificate(folder):
    """A certificate of its own for localhost: its file, which is what is trusted, and its key's."""
    need("openssl")
    certificate, key = folder / "h2.crt", folder / "h2.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


class Connection(threading.Thread):
    """One client's connection. `way`: how it ends, at its stream number `at`; None: it does not."""

    def __init__(self, server, client, way, at):
        super().__init__(daemon=True)
        self.server, self.client, self.way, self.at = server, client, way, at
        self.h2 = server.connection.H2Connection(config=server.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.lock, self.requests, self.seen, self.under_way = threading.Lock(), {}, 0, []

    def run(self):
        with contextlib.suppress(OSError, self.server.exceptions.ProtocolError):
            self.client = self.server.tls.wrap_socket(self.client, server_side=True)
            self.server.protocols.add(self.client.selected_alpn_protocol())
            self.send(self.h2.initiate_connection)
            while data := self.client.recv(65536):
                if not all([self.take(event) for event in self.events(data)]):
                    break
        for thread in self.under_way:
            thread.join(30)
        self.client.close()

    def events(self, data):
        with self.lock:
            events = self.h2.receive_data(data)
            for event in events:
                if isinstance(event, self.server.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.client.sendall(self.h2.data_to_send())
            return events

    def send(self, action, *arguments, **options):
        with self.lock:
            action(*arguments, **options)
            self.client.sendall(self.h2.data_to_send())

    def take(self, event):
        """False: the connection is to end."""
        events = self.server.events
        if isinstance(event, events.RequestReceived):
            self.requests[event.stream_id] = (dict(event.headers), [])
        elif isinstance(event, events.DataReceived):
            self.requests[event.stream_id][1].append(event.data)
        elif isinstance(event, events.StreamEnded):
            self.seen += 1
            if self.way and self.seen >= self.at:
                return self.spoil(event.stream_id)
            self.answer_beside(event.stream_id)
        return not isinstance(event, events.ConnectionTerminated)

    def spoil(self, stream):
        self.server.spoiled += 1
        if self.way in ("lied", "refused_lied"):
            self.ask(stream)  # done, counted, and then denied
        if self.way == "graceful":
            self.answer_beside(stream)
        if self.way in ("refused", "refused_lied"):
            self.send(self.h2.reset_stream, stream, REFUSED_STREAM)
            self.way = None
            return True
        if self.way != "cut":
            frame = self.server.frame.GoAwayFrame(0, last_stream_id=stream if self.way == "graceful" else max(stream - 2, 0))
            with self.lock:
                self.client.sendall(frame.serialize())
        return False

    def answer_beside(self, stream):
        thread = threading.Thread(target=self.answer, args=(stream,), daemon=True)
        self.under_way.append(thread)
        thread.start()

    def ask(self, stream):
        headers, body = self.requests.pop(stream)
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=30)
        with contextlib.closing(upstream):
            upstream.request(headers[":method"], headers[":path"], b"".join(body), {name: value for name, value in headers.items() if name[0] != ":"})
            answer = upstream.getresponse()
            return [(":status", str(answer.status))] + [(name.lower(), value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP], answer.read()

    def answer(self, stream):
        with contextlib.suppress(OSError, http.client.HTTPException, self.server.exceptions.ProtocolError):
            headers, body = self.ask(stream)
            self.send(self.h2.send_headers, stream, headers)
            self.send(self.h2.send_data, stream, body, end_stream=True)


class Server(threading.Thread):
    """`share` of the connections is spoiled. `protocols`: what was agreed upon with whom came."""

    def __init__(self, port, seed, folder):
        super().__init__(daemon=True)
        try:
            from h2 import config, connection, events, exceptions
            from hyperframe import frame
        except ImportError as error:
            raise Skipped("python3-h2 is not installed") from error
        self.config, self.connection, self.events, self.exceptions, self.frame = config, connection, events, exceptions, frame
        self.target, self.dice, self.share, self.spoiled, self.protocols = port, random.Random(f"{seed} goaway"), 0.0, 0, set()
        self.certificate, key = make_certificate(folder)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.certificate, key)
        self.tls.set_alpn_protocols(["h2", "http/1.1"])
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self.listening.getsockname()[1]}"

    def run(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            way = self.dice.choice(WAYS) if self.dice.random() < self.share else None
            Connection(self, client, way, self.dice.randrange(1, 12)).start()

    def end(self):
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
