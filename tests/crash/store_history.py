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


def check_promises(db, log, history):
    for run, index in log.get("run", []):
        if one(db, "SELECT count(*) FROM run r JOIN idempotency i ON i.run = r.id WHERE r.id = ? AND i.key = ?", run, f"run-{index}") != 1:
            history.lost.append(f"run {run}")
    for run, part in log.get("part", []):
        stands = one(db, "SELECT count(*) FROM import_part WHERE run = ? AND part = ?", run, part)
        rows = one(db, "SELECT count(*) FROM assignment a JOIN payload p ON p.assignment = a.id WHERE run = ? AND part = ?", run, part)
        if not stands or rows < PART_ROWS:
            history.lost.append(f"part {part} of run {run}: {rows} rows")
        if rows > PART_ROWS:
            history.duplicated.append(f"part {part} of run {run}: {rows} rows")
    for (run,) in log.get("commit", []):
        if one(db, "SELECT state FROM run WHERE id = ?", run) not in (1, 2):
            history.lost.append(f"commit of run {run}")
    for assignment, n, lease in log.get("attempt", []):
        if one(db, "SELECT count(*) FROM attempt WHERE assignment = ? AND n = ? AND lease = ?", assignment, n, lease) != 1:
            history.lost.append(f"attempt {n} of {assignment}")
    for assignment, agent in log.get("settle", []):
        found = db.execute("SELECT state, agent FROM assignment JOIN result ON assignment = id WHERE id = ?", (assignment,)).fetchone()
        if found != (2, agent):
            history.lost.append(f"decision of {assignment}: {found}")


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
    for run, state, counted in db.execute("SELECT run, kind, value FROM run_count WHERE kind < 5"):
        rows = one(db, "SELECT count(*) FROM assignment WHERE run = ? AND state = ?", run, state)
        if rows != counted:
            history.duplicated.append(f"run {run}: {counted} counted in state {state}, {rows} there")
    for run, calls in db.execute("SELECT run, value FROM run_count WHERE kind = 92"):
        ended = one(db, "SELECT count(*) FROM call c JOIN attempt t ON t.call = c.id JOIN assignment a ON a.id = t.assignment "
                        "WHERE a.run = ? AND c.state IN (1, 2)", run)
        if ended != calls:
            history.duplicated.append(f"run {run}: {calls} calls counted, {ended} there")
    for ledger, agent, held, base in db.execute("SELECT ledger, agent, held, base FROM ledger_agent"):
        rows = one(db, "SELECT count(*) FROM assignment a JOIN run r ON r.id = a.run WHERE r.ledger = ? AND a.agent = ?", ledger, agent)
        if held != base + rows:
            history.duplicated.append(f"ledger {ledger}, agent {agent}: holds {held}, not {base} + {rows}")


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
