"""Purged runs in a History: which have to be gone, which may be, and what may stand of them. Part of checker.py.

A run is gone from its mark's commit on; its rows follow in steps. So a marked run is taken as gone, what stands of it is held against its mark, and at rest
nothing of it is left but what people did (audit).
"""
ENDED = ("done", "cancelled")
ROWS_AT_REST = (
    ("a mark of a purge", "SELECT run FROM purge"),
)
LEFT = (  # what no run, no pool and no mark stands for any more
    ("a pool of a run that is gone", "SELECT id FROM pool WHERE name IS NULL AND id NOT IN (SELECT l.pool FROM ledger l JOIN run r ON r.ledger = l.id)"),
    ("a ledger of a run that is gone", "SELECT l.id FROM ledger l JOIN pool p ON p.id = l.pool WHERE p.name IS NULL AND l.id NOT IN (SELECT ledger FROM run WHERE ledger IS NOT NULL)"),
    ("an open call of a run that is gone", "SELECT c.id FROM call c WHERE c.state = 0 AND c.kind = 2"),
    ("rows under a mark with another count", "SELECT p.run FROM purge p WHERE p.row_count <> (SELECT count(*) FROM assignment a WHERE a.run = p.run)"),
)


class Purges:
    """`sure`: run -> the operation that was answered with it. Any other may be gone when one that named it, or one by age, was not answered."""

    def __init__(self, history):
        self.sure, self.in_doubt, self.is_any_in_doubt = {}, set(), False
        for op in history.of("purge"):
            if op.is_ok:
                for item in op.answer["items"]:
                    self.sure.setdefault(item["id"], op)
            elif op.is_in_doubt and op.about["run"] is None:
                self.is_any_in_doubt = True
            elif op.is_in_doubt:
                self.in_doubt.add(op.about["run"])

    def may_be_gone(self, run):
        return run in self.sure or run in self.in_doubt or self.is_any_in_doubt


def made_keys(history, is_gone):
    """The keys of all rows that were sent to runs that are gone."""
    return {key for op in history.of("part", "append") if is_gone(op.about["run"]) for key in op.about["rows"]}


def check_purges(history, store, verdict, at_rest):
    """What was purged is gone, whole and for good, and was told once; what was not purged is checked as if there were no purge."""
    audited = [row[0] for row in store.db.execute("SELECT target FROM audit WHERE verb = 'run_purge'")]
    for run, op in store.purges.sure.items():
        if run in store.runs:
            verdict.add("lost", f"the purge of {run}: it stands")
        if audited.count(run) != 1:
            verdict.add("broken", f"the purge of {run} stands {audited.count(run)} times in the audit log")
        for item in op.answer["items"]:
            if item["id"] == run and item["state"] not in ENDED:
                verdict.add("broken", f"{run} was purged while it was {item['state']}")
    for run in set(audited) - store.purges.sure.keys():
        if run in store.runs:
            verdict.add("broken", f"{run} was purged by the audit log, and stands")
        elif store.purges.may_be_gone(run):
            verdict.recovered.add(f"purge of {run}")
        else:
            verdict.add("unexpected", f"the purge of {run} was never asked for")
    for op in history.of("part", "append", "commit", "pause", "resume", "set", "cancel", "cancel_all", "retry", "retry_all", "lease"):
        gone = store.purges.sure.get(op.answer["run"] if op.kind == "lease" and op.is_ok and op.answer else op.about["run"])
        if op.is_ok and op.answer and gone is not None and op.number > gone.end_number:
            verdict.add("broken", f"{op} was done on a run that had been purged")
    for name, sql in LEFT + (ROWS_AT_REST if at_rest else ()):
        for row in store.db.execute(sql).fetchmany(3):
            verdict.add("broken", f"{name}: {row[0]}")


def check_ended(history, store, verdict):
    """A run that was cancelled whole stays so until rows of it are made pending again."""
    last = {}
    for op in history.of("cancel_all", "retry", "retry_all", "append"):
        last[op.about["run"]] = op
    for run, op in last.items():
        if op.kind == "cancel_all" and op.is_ok and run in store.runs and store.runs[run]["state"] not in (2, 3):
            verdict.add("lost", f"the cancelling of {run}")
