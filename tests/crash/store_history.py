"""What store_kill's log promised, against what stands in the database: the checker of every crash test of the store. The words are those of
the total-queue checker: lost, unexpected, duplicated."""
import sqlite3
from pathlib import Path

PART_ROWS = 50


class History:
    """lost: promised and not there. unexpected: there and never asked for. duplicated: there or counted more than once."""

    def __init__(self):
        self.lost, self.unexpected, self.duplicated = [], [], []

    def __str__(self):
        return "\n".join(f"{name}: {len(found)} {found[:5]}" for name, found in vars(self).items())

    @property
    def is_clean(self):
        return not (self.lost or self.unexpected or self.duplicated)


def read_log(path):
    """The log's whole lines as tuples, by their first words."""
    words = {}
    text = Path(path).read_text(encoding="ascii") if Path(path).exists() else ""
    for line in text.split("\n")[:-1]:
        parts = line.split()
        name = " ".join(parts[:2]) if parts[0] == "try" else parts[0]
        words.setdefault(name, []).append(tuple(int(word) for word in parts[name.count(" ") + 1:]))
    return words


def one(db, sql, *values):
    return db.execute(sql, values).fetchone()[0]


def table(db, sql):
    """A query's rows as a dictionary: its last column by those before it."""
    return {row[:-1]: row[-1] for row in db.execute(sql)}


def check_promises(db, log, history):
    runs = table(db, "SELECT r.id, i.key, r.state FROM run r JOIN idempotency i ON i.run = r.id")
    for run, index in log.get("run", []):
        if (run, f"run-{index}") not in runs:
            history.lost.append(f"run {run}")
    parts = table(db, "SELECT run, part, 1 FROM import_part")
    rows = table(db, "SELECT a.run, a.part, count(*) FROM assignment a JOIN payload p ON p.assignment = a.id GROUP BY a.run, a.part")
    for part in log.get("part", []):
        if part not in parts or rows.get(part, 0) < PART_ROWS:
            history.lost.append(f"part {part}: {rows.get(part, 0)} rows")
        if rows.get(part, 0) > PART_ROWS:
            history.duplicated.append(f"part {part}: {rows[part]} rows")
    states = table(db, "SELECT id, state FROM run")
    history.lost += [f"commit of run {run}" for run in log.get("commit", []) if states.get(run) not in (1, 2)]
    attempts = table(db, "SELECT assignment, n, lease, 1 FROM attempt")
    history.lost += [f"attempt {attempt}" for attempt in log.get("attempt", []) if attempt not in attempts]
    decided = table(db, "SELECT a.id, a.agent, 1 FROM assignment a JOIN result r ON r.assignment = a.id WHERE a.state = 2")
    history.lost += [f"decision {decision}" for decision in log.get("settle", []) if decision not in decided]


def check_nothing_else(db, log, history):
    tried_parts, tried = set(log.get("try part", [])), {row[0] for row in log.get("try settle", [])}
    for row in db.execute("SELECT DISTINCT run, part FROM assignment"):
        if row not in tried_parts:
            history.unexpected.append(f"part {row[1]} of run {row[0]}")
    for (assignment,) in db.execute("SELECT assignment FROM result UNION SELECT id FROM assignment WHERE state = 2"):
        if assignment not in tried:
            history.unexpected.append(f"a decision of {assignment}")


def check_books(db, history):
    """Each thing once, and every counter and ledger equals a recount."""
    settled = [row[0] for row in db.execute("SELECT assignment FROM attempt WHERE class = 0 GROUP BY assignment HAVING count(*) > 1")]
    history.duplicated += [f"two decisions of {assignment}" for assignment in settled]
    leases = [row[0] for row in db.execute("SELECT min(lease) FROM attempt GROUP BY assignment, lease HAVING count(*) > 1")]
    history.duplicated += [f"lease {lease} given twice" for lease in leases]
    counted = table(db, "SELECT run, kind, value FROM run_count WHERE kind < 5 AND value <> 0")
    there = table(db, "SELECT run, state, count(*) FROM assignment GROUP BY run, state")
    calls = table(db, "SELECT run, value FROM run_count WHERE kind = 92 AND value <> 0")
    ended = table(db, "SELECT a.run, count(*) FROM call c JOIN attempt t ON t.call = c.id JOIN assignment a ON a.id = t.assignment "
                      "WHERE c.state IN (1, 2) GROUP BY a.run")
    held = table(db, "SELECT ledger, agent, held - base FROM ledger_agent WHERE held <> base")
    taken = table(db, "SELECT r.ledger, a.agent, count(*) FROM assignment a JOIN run r ON r.id = a.run JOIN ledger l ON l.id = r.ledger AND l.resets = a.resets "
                     "WHERE a.agent IS NOT NULL GROUP BY 1, 2")
    outside = table(db, "SELECT run, value FROM run_count WHERE kind = 97 AND value <> 0")
    theirs = table(db, "SELECT a.run, count(*) FROM assignment a JOIN lease l ON l.number = a.lease WHERE a.state = 1 AND l.worker IS NOT NULL "
                       "AND l.ended_at_ms IS NULL GROUP BY a.run")
    for name, books, rows in (("outside", outside, theirs), ("state", counted, there), ("calls", calls, ended), ("held", held, taken)):
        history.duplicated += [f"{name} {key}: {books.get(key)} in the books, {rows.get(key)} there"
                               for key in books.keys() | rows.keys() if books.get(key) != rows.get(key)]


def check(db_path, log_path):
    """The History of a database that nobody has open. Raises when the file itself is not sound."""
    history, log = History(), read_log(log_path)
    if not Path(db_path).exists():
        history.lost += [f"{name} {row}" for name, rows in log.items() for row in rows if not name.startswith("try")]
        return history
    with sqlite3.connect(db_path) as db:
        assert one(db, "PRAGMA quick_check") == "ok"
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        check_promises(db, log, history)
        check_nothing_else(db, log, history)
        check_books(db, history)
    db.close()
    return history
