"""The store as people meet it: what is told of its log, runs of long ago, what the doctor recounts, figures that outlive the daemon."""
import os
import re
import sqlite3
from contextlib import closing

from harness import wait_until

NOBODY = "http://127.0.0.1:9"


# ---- the log ----

def test_a_long_log_is_told(make_daemon):
    daemon = make_daemon(NOBODY).start()
    store = lambda: daemon.api("GET", "/v1/status").json["daemon"]["store"]  # noqa: E731
    assert store() == {"state": "ok", "detail": None}
    os.truncate(daemon.state_dir / "galloc.db-wal", 80 << 20)  # longer by nothing that counts: its size is what is looked at
    wait_until(lambda: store()["detail"] is not None, what="a word about the log")
    assert store()["state"] == "ok" and "80 MiB" in store()["detail"] and "256 MiB" in store()["detail"]
    assert "80 MiB" in daemon.api("GET", "/readyz").json["text"]
    assert f"galloc_wal_size_bytes {80 << 20}\n" in daemon.api("GET", "/metrics").body
    assert "80 MiB" in daemon.ctl("status").stdout
    wait_until(lambda: "store_log_long" in daemon.log, what="the log's line")
    os.truncate(daemon.state_dir / "galloc.db-wal", 1 << 20)
    wait_until(lambda: store()["detail"] is None, what="silence")
    assert daemon.log.count("store_log_long") == 1


# ---- runs of long ago ----

KEPT = 1000  # LIMIT_RUNS_KEPT


def sql(daemon, *statements):
    """While the daemon is stopped."""
    with closing(sqlite3.connect(daemon.database)) as connection, connection:
        return [connection.execute(statement).fetchall() for statement in statements]


def metric(daemon, name):
    return float(re.search(rf"^{name} (\S+)$", daemon.api("GET", "/metrics").body, re.M)[1])


def cancelled_run(daemon, count, **members):
    """A run of which nothing was ever sent; its id."""
    rows = [(f"K{i}", {"city": "Pune"}) for i in range(count)]
    agents = [{"agent_id": "a1", "capacity": count}]
    run = daemon.create(rows, agents, paused=True, **members)
    assert daemon.api("POST", f"/v1/runs/{run}/cancel", {"all": True}).json["changed"] == count
    assert daemon.run(run)["state"] == "cancelled"
    return run


def retry(daemon, run, count):
    assert daemon.api("POST", f"/v1/runs/{run}/retry", {"all": True}).json["changed"] == count
    assert daemon.api("POST", f"/v1/runs/{run}/resume").json["state"] == "running"

    def has_ended():  # by the status: to show a run alone may bring it to memory
        ended = daemon.api("GET", "/v1/status").json["ended"]
        return [item["counts"] for item in ended if run in (item["id"], item["name"])]

    return wait_until(has_ended, what=f"run {run} to end")[0]


def add_ended_runs(daemon, count):
    sql(daemon, f"""WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
        INSERT INTO run(run_id, name, state, endpoint, profile, plan, plan_sha256, created_at_ms, finished_at_ms, created_by)
        SELECT 'r-filler' || i, 'filler' || (i % 900), 2, 'gemini', 'adaptive', '{{}}', '', 1000, 2000, 0 FROM n""")


def test_every_verb_works_on_a_run_of_long_ago(daemon):
    run = cancelled_run(daemon, 5, name="old")
    again = cancelled_run(daemon, 3, name="filler7")
    daemon.stop()
    add_ended_runs(daemon, KEPT + 50)
    daemon.start()
    assert metric(daemon, "galloc_runs_in_memory") == KEPT
    assert daemon.run("old")["id"] == run and daemon.run("old")["options"] is not None
    assert daemon.run("@last")["id"] == f"r-filler{KEPT + 50}"
    twins = daemon.api("GET", "/v1/runs/filler7")  # one of them is in memory, and two are stored
    assert twins.status == 409 and twins.json["code"] == "conflict"
    assert daemon.api("GET", "/v1/runs/nobody").status == 404
    assert daemon.api("PATCH", f"/v1/runs/{again}", {"name": "renamed"}).json["name"] == "renamed"
    assert daemon.api("PATCH", "/v1/runs/renamed", {"priority": 5}).json["code"] == "wrong_state"
    assert daemon.api("POST", "/v1/runs/renamed/pause").json["code"] == "wrong_state"
    assert daemon.api("POST", "/v1/runs/renamed/commit", {"parts": 1}).status in (200, 409)
    assert daemon.api("PUT", f"/v1/runs/{run}/parts/2", '{"key":"x","fields":{}}\n', content_type="application/x-ndjson").json["code"] == "wrong_state"
    changed = daemon.api("PATCH", f"/v1/pools/{run}/agents/a1", {"capacity": 4})
    assert changed.status == 200 and changed.json["capacity"] == 4
    before = metric(daemon, "galloc_assignments_enqueued_total")
    counts = retry(daemon, "old", 5)
    assert counts["succeeded"] == 4 and counts["failed"] == 1  # the fifth found no place
    assert daemon.api("POST", "/v1/runs/renamed/cancel", {"all": True}).json["changed"] == 0
    wait_until(lambda: metric(daemon, "galloc_runs_in_memory") == KEPT, what="old runs to leave memory")
    assert metric(daemon, "galloc_assignments_enqueued_total") == before
    assert len(daemon.results("old")) == 5


def test_a_run_that_ended_is_retried_after_a_restart(daemon):
    run = cancelled_run(daemon, 4)
    daemon.restart()  # it comes back without its plan and its agents
    assert retry(daemon, run, 4)["succeeded"] == 4


def test_runs_that_end_leave_memory(daemon):
    daemon.stop()
    add_ended_runs(daemon, KEPT)
    daemon.start()
    runs = [cancelled_run(daemon, 1) for _ in range(5)]
    wait_until(lambda: metric(daemon, "galloc_runs_in_memory") == KEPT, what="the oldest to leave memory")
    assert daemon.run("r-filler1")["state"] == "done"
    assert daemon.run(runs[0])["state"] == "cancelled"
    assert daemon.run("@last")["id"] == runs[-1]
    assert retry(daemon, runs[0], 1)["succeeded"] == 1
