"""The one checker of every fault harness: a History against a store. Its words are those of the total-queue checker.

  lost        promised and not there          duplicated  there, or counted, more than once
  unexpected  there and never asked for       recovered   in doubt when the client lost its answer, and found: allowed, and counted
  broken      what no history allows: books that differ from a recount, a file that is not sound, calls that nobody recorded …

check_store() reads the files of a daemon that is not running, read-only, so that whatever recovery there is stays the daemon's to do.
check_live() asks a daemon that runs through its API. The invariants' numbers are those of docs/reliability.md.
"""
import collections
import contextlib
import hashlib
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path

from purges import Purges, check_ended, check_purges, made_keys

PENDING, LEASED, SUCCEEDED, FAILED, CANCELLED = range(5)
STATES = ("pending", "leased", "succeeded", "failed", "cancelled")
CALL_RELEASED = 3


class Verdict:
    WORDS = ("lost", "unexpected", "duplicated", "broken")

    def __init__(self):
        self.lost, self.unexpected, self.duplicated, self.broken = [], [], [], []
        self.recovered = set()

    def add(self, word, text):
        found = getattr(self, word)
        if text not in found:
            found.append(text)

    @property
    def is_clean(self):
        return not any(getattr(self, word) for word in self.WORDS)

    def merge(self, other):
        for word in self.WORDS:
            for text in getattr(other, word):
                self.add(word, text)
        self.recovered |= other.recovered

    def __str__(self):
        return "\n".join(f"{word} {len(getattr(self, word))}: " + "; ".join(getattr(self, word)[:5]) for word in self.WORDS if getattr(self, word))


def open_readonly(path):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    db.row_factory = sqlite3.Row
    return db


def table(db, sql, *values):
    """A query's rows as a dictionary: the last column by the one before it, or by the tuple of those before it."""
    return {row[0] if len(row) == 2 else tuple(row)[:-1]: row[len(row) - 1] for row in db.execute(sql, values)}


class Store:
    """What stands, read once for all checks. A run that is marked as purged does not."""

    def __init__(self, db, history):
        self.db, self.purges = db, Purges(history)
        self.runs = {row["run_id"]: row for row in db.execute("SELECT * FROM run WHERE id NOT IN (SELECT run FROM purge)")}
        self.run_names = {row["id"]: name for name, row in self.runs.items()}
        self.keys = {(self.run_names[row["run"]], row["key"]): row for row in db.execute("SELECT * FROM assignment WHERE run NOT IN (SELECT run FROM purge)")}
        self.agents = table(db, "SELECT id, agent_id FROM agent")

    def is_gone(self, run):
        """It does not stand, and that may be."""
        return run not in self.runs and self.purges.may_be_gone(run)


# ---- what was promised ----
def check_creates(history, store, verdict):
    """I-1, I-2, I-3, I-4 of runs: by their Idempotency-Keys."""
    by_key = collections.defaultdict(list)
    for op in history.of("create"):
        by_key[op.about["idem"]].append(op)
    stands = {row["key"]: store.run_names[row["run"]] for row in store.db.execute("SELECT key, run FROM idempotency") if row["run"] in store.run_names}
    for key, ops in by_key.items():
        told = {op.answer["id"] for op in ops if op.is_ok}
        if len(told) > 1:
            verdict.add("duplicated", f"the key {key} made {sorted(told)}")
        for run in told:
            if store.is_gone(run):
                continue
            if run not in store.runs:
                verdict.add("lost", f"run {run}")
            elif stands.get(key) != run:
                verdict.add("lost", f"the Idempotency-Key of run {run}")
        if not told and key in stands:
            if any(op.is_in_doubt for op in ops):
                verdict.recovered.add(f"run {key}")
            else:
                verdict.add("unexpected", f"run {stands[key]}: every request of {key} was refused")
    asked = {stands[key] for key in by_key if key in stands}
    for run in store.runs.keys() - asked:
        verdict.add("unexpected", f"run {run} was never asked for")


def sent_parts(history):
    """(run, n): the operations that sent it."""
    parts = collections.defaultdict(list)
    for op in history.of("part"):
        parts[op.about["run"], op.about["n"]].append(op)
    return parts


def check_parts(history, store, verdict):
    """I-1, I-2, I-4, I-6: the rows of parts, with their content."""
    digests = {row["assignment"]: bytes(row["sha256"]) for row in store.db.execute("SELECT assignment, sha256 FROM payload")}
    answered = {(store.run_names.get(row["run"]), row["part"]): json.loads(row["answer"]) for row in store.db.execute("SELECT run, part, answer FROM import_part")}
    asked = {}
    for (run, n), ops in sent_parts(history).items():
        if store.is_gone(run):
            continue
        rows = {}
        for op in ops:
            rows.update(op.about["rows"])
        is_promised, in_doubt = any(op.is_ok for op in ops), any(op.is_in_doubt for op in ops)
        standing = sum((run, key) in store.keys for key in rows)
        if is_promised and ((run, n) not in answered or standing < len(rows)):
            verdict.add("lost", f"part {n} of {run}: {standing} of {len(rows)} rows")
        for op in ops:
            if op.is_ok and answered.get((run, n), op.answer) != op.answer:
                verdict.add("broken", f"part {n} of {run} was answered {op.answer}, and {answered[run, n]} is kept")
        if not is_promised and standing and in_doubt:
            verdict.recovered.add(f"part {n} of {run}")
        if not is_promised and standing and not in_doubt:
            verdict.add("unexpected", f"part {n} of {run}: every request was refused, and {standing} rows stand")
        for key, digest in rows.items():
            row = store.keys.get((run, key))
            if row is not None and digests.get(row["id"]) != digest:
                verdict.add("broken", f"{key} of {run}: its input is not what was sent")
        asked.update({(run, key): True for key in rows})
    asked.update(check_appends(history, store, digests, verdict))
    for run, key in store.keys.keys() - asked.keys():
        verdict.add("unexpected", f"{key} of {run} was never sent")


def check_appends(history, store, digests, verdict):
    """I-1, I-3, I-4, I-6 of what was added to a run: all of it stands, or none, once for its Idempotency-Key. The keys that were sent."""
    by_key, asked = collections.defaultdict(list), {}
    for op in history.of("append"):
        by_key[op.about["idem"]].append(op)
    for idem, ops in by_key.items():
        run, rows = ops[0].about["run"], ops[0].about["rows"]
        if store.is_gone(run):
            continue
        standing = [store.keys[run, key] for key in rows if (run, key) in store.keys]
        is_promised, in_doubt = any(op.is_ok for op in ops), any(op.is_in_doubt for op in ops)
        if is_promised and len(standing) < len(rows):
            verdict.add("lost", f"{idem}, added to {run}: {len(standing)} of {len(rows)} rows")
        elif standing and len(standing) < len(rows):
            verdict.add("broken", f"{idem}, added to {run}, stands in part: {len(standing)} of {len(rows)} rows")
        elif standing and not is_promised:
            if in_doubt:
                verdict.recovered.add(idem)
            else:
                verdict.add("unexpected", f"{idem} of {run}: every request was refused, and its rows stand")
        if len({op.answer["part"] for op in ops if op.is_ok}) > 1:
            verdict.add("duplicated", f"{idem} made parts {[op.answer['part'] for op in ops if op.is_ok]}")
        for row in standing:
            if digests.get(row["id"]) != rows[row["key"]]:
                verdict.add("broken", f"{row['key']} of {run}: its input is not what was sent")
        asked.update({(run, key): True for key in rows})
    return asked


def check_commits(history, store, verdict):
    """I-1 of what starts and ends a run; I-10: a run never comes back from where nobody may bring it."""
    for op in history.of("commit"):
        run = store.runs.get(op.about["run"])
        if op.is_ok and not store.is_gone(op.about["run"]) and (run is None or run["state"] not in (1, 2, 3)):
            verdict.add("lost", f"the commit of {op.about['run']}")
        if op.is_in_doubt and run is not None and run["state"] in (1, 2):
            verdict.recovered.add(f"commit of {op.about['run']}")
    last = {}
    for op in history.of("pause", "resume"):
        last.setdefault(op.about["run"], []).append(op)
    for run, ops in last.items():
        stands = store.runs[run]["pauses"] & 1 if run in store.runs else None
        acked = [op for op in ops if op.is_ok]
        if not acked or stands is None or any(op.is_in_doubt and op.number > acked[-1].number for op in ops):
            continue
        if stands != (acked[-1].kind == "pause"):
            verdict.add("lost", f"the {acked[-1].kind} of {run}")


def check_moves(history, store, verdict):
    """I-5, I-10: what people moved by key stays so until people move it again; what was shown as decided stays decided."""
    moves = collections.defaultdict(list)
    for op in history.of("cancel", "retry"):
        for key in op.about["keys"]:
            moves[op.about["run"], key].append(op)
    ended = {op.about["run"] for op in history.of("cancel_all")}
    for (run, key), ops in moves.items():
        row, last = store.keys.get((run, key)), ops[-1]
        if row is None or not last.is_ok or last.answer["changed"] != len(last.about["keys"]):
            continue
        if last.kind == "cancel" and row["state"] != CANCELLED:
            verdict.add("lost", f"the cancelling of {key} of {run}: it is {STATES[row['state']]}")
        if last.kind == "retry" and row["state"] == CANCELLED and run not in ended:
            verdict.add("lost", f"the retry of {key} of {run}: it is cancelled")
    for number, run, key, agent, state in list(history.seen):
        row = store.keys.get((run, key))
        if store.is_gone(run):
            continue
        if row is None:
            verdict.add("lost", f"{key} of {run}, which was shown as {state}")
        elif state == "succeeded" and (row["state"] != SUCCEEDED or store.agents.get(row["agent"]) != agent):
            verdict.add("lost", f"the decision of {key} of {run}: shown as {agent}'s, is {STATES[row['state']]} {store.agents.get(row['agent'])}")
        elif state in ("failed", "cancelled") and row["state"] != STATES.index(state):
            if not any(op.kind == "retry" and (op.end_number or number) >= number for op in moves[run, key]):
                verdict.add("broken", f"{key} of {run} was shown as {state} and is {STATES[row['state']]}, though nobody moved it")


def check_leases(history, store, verdict):
    """I-11: what was handed out is on record under its number, numbers only grow, and a verdict counts under the newest lease of its key alone."""
    handed = collections.defaultdict(list)  # (run, key): operations that handed it out, in the order of their answers
    recorded = {(row["assignment"], row["n"]): row["lease"] for row in store.db.execute("SELECT assignment, n, lease FROM attempt")}
    for op in sorted((op for op in history.of("lease") if op.is_ok and op.answer), key=lambda op: op.end_number):
        for given in op.answer["assignments"] if not store.is_gone(op.answer["run"]) else ():
            row = store.keys.get((op.answer["run"], given["key"]))
            if row is None or recorded.get((row["id"], given["attempt"])) != int(op.answer["lease"]):
                verdict.add("lost", f"attempt {given['attempt']} of {given['key']} under lease {op.answer['lease']}")
            for before in handed[op.answer["run"], given["key"]]:
                if before.end_number < op.number and int(before.answer["lease"]) >= int(op.answer["lease"]):
                    verdict.add("broken", f"lease {op.answer['lease']} of {given['key']} came after {before.answer['lease']}")
            handed[op.answer["run"], given["key"]].append(op)
    counted = {}
    for op in (op for op in history.of("results") if op.is_ok and not store.is_gone(op.about["run"])):
        for item in op.answer["items"]:
            if item["verdict"] == "succeeded":
                check_success(op, item, store, handed, counted, verdict)


def check_success(op, item, store, handed, counted, verdict):
    run, key, number = op.about["run"], item["key"], int(op.about["lease"])
    row = store.keys.get((run, key))
    agent = op.about["agents"].get(key)
    if row is None or row["state"] != SUCCEEDED or store.agents.get(row["agent"]) != agent:
        verdict.add("lost", f"the decision of {key} of {run} under lease {number}: told as {agent}'s")
    if counted.setdefault((run, key), number) != number:
        verdict.add("duplicated", f"{key} of {run} was decided under the leases {counted[run, key]} and {number}")
    for other in handed[run, key]:
        if other.end_number < op.number and int(other.answer["lease"]) > number:
            verdict.add("broken", f"{key} of {run} was decided under lease {number}, though {other.answer['lease']} had been handed out")


# ---- what no history allows ----
def check_file(db, verdict):
    """I-18, and I-17 by our own digests."""
    found = [row[0] for row in db.execute("PRAGMA quick_check")]
    if found != ["ok"]:
        verdict.add("broken", f"quick_check: {found[:3]}")
    foreign = db.execute("PRAGMA foreign_key_check").fetchall()
    if foreign:
        verdict.add("broken", f"foreign_key_check: {[tuple(row) for row in foreign[:3]]}")
    for name, column in (("payload", "fields"), ("result", "body")):
        for row in db.execute(f"SELECT assignment, {column}, sha256 FROM {name}"):
            if hashlib.sha256(row[1].encode()).digest() != bytes(row[2]):
                verdict.add("broken", f"the {name} of assignment {row[0]} does not match its digest")


def check_books(db, verdict):
    """I-16, I-10 and the ledgers: every counter equals a recount, no agent holds more than its capacity. Of a run that is being deleted only places are counted."""
    kept = "run NOT IN (SELECT run FROM purge)"
    there = table(db, f"SELECT run, state, count(*) FROM assignment WHERE {kept} GROUP BY run, state")
    calls = table(db, f"SELECT a.run, count(*) FROM call c JOIN attempt t ON t.call = c.id JOIN assignment a ON a.id = t.assignment WHERE c.state IN (1, 2) AND a.{kept} GROUP BY a.run")
    held = table(db, "SELECT l.ledger, l.agent, l.held - l.base FROM ledger_agent l WHERE l.held <> l.base")
    taken = table(db, "SELECT r.ledger, a.agent, count(*) FROM assignment a JOIN run r ON r.id = a.run JOIN ledger l ON l.id = r.ledger AND l.resets = a.resets "
                     "WHERE a.agent IS NOT NULL GROUP BY 1, 2")
    for name, books, rows in (("state", table(db, f"SELECT run, kind, value FROM run_count WHERE kind < 5 AND value <> 0 AND {kept}"), there),
                              ("calls", table(db, f"SELECT run, value FROM run_count WHERE kind = 92 AND value <> 0 AND {kept}"), calls), ("held", held, taken)):
        for key in books.keys() | rows.keys():
            if books.get(key) != rows.get(key):
                verdict.add("broken", f"{name} {key}: {books.get(key)} in the books, {rows.get(key)} there")
    for row in db.execute("SELECT l.agent, l.held, a.capacity FROM ledger_agent l JOIN agent a ON a.id = l.agent WHERE a.capacity IS NOT NULL AND l.held > a.capacity"):
        verdict.add("broken", f"agent {row[0]} holds {row[1]} of {row[2]} places")


def check_attempts(db, verdict, at_rest):
    """I-5, I-8, I-10, I-11, I-12: the record of an assignment's way. At rest nothing is leased and no attempt is open."""
    for row in db.execute("SELECT assignment FROM attempt WHERE class = 0 GROUP BY assignment HAVING count(*) > 1"):
        verdict.add("duplicated", f"two decisions of assignment {row[0]}")
    for row in db.execute("SELECT assignment, lease FROM attempt GROUP BY assignment, lease HAVING count(*) > 1 AND (count(*) > 2 OR count(call) < 2)"):
        verdict.add("duplicated", f"lease {row[1]} was given twice for assignment {row[0]}")
    for row in db.execute("SELECT a.id, a.attempts, count(t.n), coalesce(max(t.n), 0) FROM assignment a LEFT JOIN attempt t ON t.assignment = a.id "
                          "GROUP BY a.id HAVING count(t.n) <> a.attempts OR coalesce(max(t.n), 0) <> a.attempts"):
        verdict.add("broken", f"assignment {row[0]} counts {row[1]} attempts, {row[2]} stand, the last is {row[3]}")
    for row in db.execute("SELECT t.assignment, t.n FROM attempt t JOIN attempt b ON b.assignment = t.assignment AND b.n = t.n - 1 "
                          "WHERE t.lease < b.lease OR (t.lease = b.lease AND (t.call IS NULL OR b.call IS NULL))"):
        verdict.add("broken", f"attempt {row[1]} of assignment {row[0]} has no larger lease than the one before")
    for row in db.execute("SELECT assignment, n FROM attempt WHERE class IS NULL") if at_rest else ():
        verdict.add("broken", f"attempt {row[1]} of assignment {row[0]} was never told to have ended")
    for row in db.execute("SELECT id FROM assignment a WHERE state = 1 AND NOT EXISTS (SELECT 1 FROM attempt t WHERE t.assignment = a.id AND t.lease = a.lease AND t.class IS NULL)"):
        verdict.add("broken", f"assignment {row[0]} is leased without an open attempt")
    for row in db.execute("SELECT id FROM assignment WHERE state = 1") if at_rest else ():
        verdict.add("broken", f"assignment {row[0]} is leased, and nobody works")
    number = table(db, "SELECT name, value FROM meta").get("lease_number", 0)
    for row in db.execute("SELECT max(lease) FROM attempt HAVING max(lease) > ?", (number,)):
        verdict.add("broken", f"lease {row[0]} was given, and the last number kept is {number}")


def check_decided(db, verdict):
    """I-5: exactly one stored result for what is decided, and none for what is not."""
    for row in db.execute("SELECT id FROM assignment a WHERE state IN (2, 3) AND NOT EXISTS (SELECT 1 FROM result r WHERE r.assignment = a.id)"):
        verdict.add("lost", f"the result of assignment {row[0]}")
    for row in db.execute("SELECT id FROM assignment WHERE state = 2 AND NOT EXISTS (SELECT 1 FROM attempt t WHERE t.assignment = assignment.id AND t.class = 0)"):
        verdict.add("unexpected", f"assignment {row[0]} is decided, and no attempt of it succeeded")


def check_calls(history, store, db, calls_by_key, verdict):
    """I-9: the stand-in never got more calls for a key than there are attempts on record. `calls_by_key` is its own count."""
    gone = made_keys(history, store.is_gone)
    recorded = table(db, "SELECT a.key, count(*) FROM attempt t JOIN assignment a ON a.id = t.assignment LEFT JOIN call c ON c.id = t.call "
                         "WHERE t.call IS NOT NULL AND c.state <> ? GROUP BY a.key", CALL_RELEASED)
    for key, calls in calls_by_key.items():
        if calls > recorded.get(key, 0) and key not in gone:
            verdict.add("broken", f"{key}: {calls} calls arrived, {recorded.get(key, 0)} attempts are recorded")


def check_store(history, path, calls_by_key=None, at_rest=False):
    """All of it, on the files of a daemon that is not running. `calls_by_key` where the stand-in is quiet, too; `at_rest`: all work had come to its end."""
    with tempfile.TemporaryDirectory() as folder:
        return check_files(history, without_journal(Path(path), Path(folder)), calls_by_key, at_rest)


def without_journal(path, folder):
    """A new database that was killed while it went over to its log has a journal, which a reader that may not write cannot roll back: then a copy is looked at."""
    if not path.with_name(path.name + "-journal").exists():
        return path
    for found in path.parent.glob(path.name + "*"):
        shutil.copy(found, folder)
    with contextlib.closing(sqlite3.connect(folder / path.name)) as db:
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return folder / path.name


def check_files(history, path, calls_by_key, at_rest):
    verdict = Verdict()
    try:
        db = open_readonly(path)
    except sqlite3.Error as error:
        verdict.add("lost", f"{path}: {error}")
        return verdict
    try:
        store = Store(db, history)
        for check in (check_creates, check_parts, check_commits, check_moves, check_leases, check_ended):
            check(history, store, verdict)
        check_purges(history, store, verdict, at_rest)
        for check in (check_file, check_books, check_decided):
            check(db, verdict)
        check_attempts(db, verdict, at_rest)
        if calls_by_key is not None:
            check_calls(history, store, db, calls_by_key, verdict)
    except sqlite3.DatabaseError as error:
        verdict.add("broken", f"{path}: {error}")
    finally:
        db.close()
    for text in history.complaints:
        verdict.add("broken", text)
    return verdict


# ---- through the API ----
def check_live(history, daemon, full=True):
    """I-1, I-12, I-16, I-17 as a client sees them, on a daemon at rest: what the log promises is shown, and the doctor is content."""
    verdict = Verdict()
    doctor = daemon.api("POST", "/v1/doctor", {"full": full}).json
    if not doctor["ok"]:
        verdict.add("broken", "doctor: " + "; ".join(f"{check['name']}: {check['text']}" for check in doctor["checks"] if not check["ok"]))
    totals = dict.fromkeys(STATES, 0)
    shown, purges = {run["id"]: run for run in all_runs(daemon)}, Purges(history)
    for run in {op.answer["id"] for op in history.of("create") if op.is_ok} - shown.keys():
        if not purges.may_be_gone(run):
            verdict.add("lost", f"run {run} is not shown")
    for run in shown.keys() & purges.sure.keys():
        verdict.add("lost", f"the purge of {run}: it is shown")
    for run, object_ in shown.items():
        counts = object_["counts"]
        if counts["total"] != sum(counts[state] for state in STATES):
            verdict.add("broken", f"the counts of {run} do not add up: {counts}")
        for state in STATES:
            totals[state] += counts[state]
        if object_["state"] in ("done", "cancelled"):
            check_results(daemon, run, counts, verdict)
    for state, found in metric_states(daemon).items():
        if found != totals.get(state, 0):
            verdict.add("broken", f"the metric of {state} says {found}, the runs say {totals.get(state)}")
    return verdict


def all_runs(daemon):
    runs, cursor = [], ""
    while cursor is not None:
        page = daemon.api("GET", f"/v1/runs?limit=1000{cursor and '&cursor=' + cursor}").json
        runs += page["items"]
        cursor = page["next"]
    return runs


def check_results(daemon, run, counts, verdict):
    answer = daemon.api("GET", f"/v1/runs/{run}/results")
    if answer.status != 200:
        verdict.add("lost", f"the results of {run}: {answer}")
        return
    keys = collections.Counter(row["key"] for row in answer.lines)
    for key, count in keys.items():
        if count > 1:
            verdict.add("duplicated", f"{key} stands {count} times in the results of {run}")
    wanted = counts["succeeded"] + counts["failed"] + counts["cancelled"]
    if len(keys) != wanted:
        verdict.add("lost" if len(keys) < wanted else "unexpected", f"{len(keys)} results of {run}, {wanted} by its counts")


def metric_states(daemon):
    """galloc_assignments, summed over the runs' states."""
    states = collections.Counter()
    for line in daemon.api("GET", "/metrics").body.splitlines():
        if line.startswith("galloc_assignments{"):
            states[line.split('state="')[-1].split('"')[0]] += int(float(line.split()[-1]))
    return states
