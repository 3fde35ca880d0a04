"""The one log of every fault harness: what clients asked of a daemon, and what they were told.

An operation is logged before it is sent (invoke) and again when it is over:
  ok       answered with 2xx: the daemon has promised it
  fail     refused, or never sent: nothing of it may have happened
  unknown  no answer, or `outcome_unknown`, or a 500: it may have happened or not
checker.py judges a store by this log. Threads may share a History; its file is for whoever looks into a failure.
"""
import http.client
import itertools
import json
import threading
import time

import harness

NEVER_SENT = (ConnectionRefusedError, FileNotFoundError)
OK, FAIL, UNKNOWN, OPEN = "ok", "fail", "unknown", "open"


class Op:
    """One client call. `about` is what it asked for, `answer` the JSON it got."""

    __slots__ = ("number", "client", "kind", "about", "outcome", "status", "answer", "invoked_s", "ended_s", "end_number", "lives", "headers")

    def __init__(self, number, client, kind, about, lives):
        self.number, self.client, self.kind, self.about, self.lives = number, client, kind, about, lives
        self.outcome, self.status, self.answer, self.end_number, self.headers = OPEN, None, None, None, {}
        self.invoked_s, self.ended_s = time.monotonic(), None

    @property
    def is_ok(self):
        return self.outcome == OK

    @property
    def is_in_doubt(self):
        return self.outcome in (UNKNOWN, OPEN)

    def __repr__(self):
        return f"{self.client}: {self.kind} {short(self.about)} -> {self.outcome} {self.status or ''} {short(self.answer)}"


def short(value):
    text = json.dumps(value, default=str)
    return text if len(text) < 200 else text[:200] + "…"


def outcome_of(status, code):
    if 200 <= status < 300:
        return OK
    return UNKNOWN if status == 500 or code == "outcome_unknown" else FAIL


class History:
    def __init__(self, path=None):
        self.ops, self.seen, self.complaints = [], [], []
        self._lock, self._numbers = threading.Lock(), itertools.count(1)
        self._file = open(path, "a", encoding="utf-8") if path else None
        self.life = 0  # raised by a harness whenever it ends the daemon

    def __len__(self):
        return len(self.ops)

    def close(self):
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, op, phase):
        if self._file:
            self._file.write(json.dumps({"at": round(time.monotonic(), 4), "n": op.number, "client": op.client, "kind": op.kind, "phase": phase,
                                         "status": op.status, "about": op.about if phase == "invoke" else None, "answer": op.answer}, default=str) + "\n")

    def begin(self, client, kind, about):
        with self._lock:
            op = Op(next(self._numbers), client, kind, about, self.life)
            self.ops.append(op)
            self._write(op, "invoke")
            return op

    def end(self, op, outcome, status=None, answer=None):
        with self._lock:
            op.outcome, op.status, op.answer, op.ended_s, op.end_number = outcome, status, answer, time.monotonic(), next(self._numbers)
            self._write(op, outcome)
            if status == 500:
                self.complaints.append(f"answered 500: {op}")
        return op

    def observe(self, run, key, agent, state):
        """A client was shown this as decided: from now on it is promised, too."""
        with self._lock:
            self.seen.append((next(self._numbers), run, key, agent, state))

    def complain(self, text):
        """A client was told what can never be, whatever the store holds."""
        with self._lock:
            if len(self.complaints) < 100:
                self.complaints.append(text)

    def of(self, *kinds):
        with self._lock:
            return [op for op in self.ops if op.kind in kinds]


class Client:
    """One logged client of a daemon. Its calls are made one after the other; each returns its Op."""

    def __init__(self, daemon, history, name):
        self.daemon, self.history, self.name = daemon, history, name

    def call(self, kind, method, path, about, body=None, headers=None, content_type="application/json", timeout=30):
        op = self.history.begin(self.name, kind, about)
        connection = harness.UnixConnection(self.daemon.socket, timeout)
        try:
            connection.connect()
        except OSError as error:  # not a byte has left
            connection.close()
            return self.history.end(op, FAIL, None, type(error).__name__)
        try:
            text = body if body is None or isinstance(body, str) else json.dumps(body)
            kinds = {"Content-Type": content_type} if text is not None else {}
            connection.request(method, path, text.encode() if text is not None else None, {**kinds, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read().decode(errors="replace")
            op.headers = dict(answer.getheaders())
            found = json.loads(content) if content else {}  # 204
            return self.history.end(op, outcome_of(answer.status, found.get("code")), answer.status, found)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return self.history.end(op, UNKNOWN, None, type(error).__name__)
        finally:
            connection.close()
