"""The store as people meet it: what is told of its log, runs of long ago, what the doctor recounts, figures that outlive the daemon."""
import json
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


# ---- figures, and their recount ----

PRICE = ["price_in=0.5", "price_out=3", "currency=USD"]


def figures(daemon):
    shown = daemon.api("GET", "/v1/endpoints/gemini").json
    return {name: shown[name] for name in ("counts", "tokens", "cost")}, shown["since_start"]


def checks(daemon, status):
    told = daemon.ctl("doctor", "--json", check=False)
    assert told.returncode == status, told.stdout
    return {check["name"]: check for check in json.loads(told.stdout)["checks"]}


def test_figures_of_an_endpoint_outlive_the_daemon(world):
    _, daemon = world("--error_500", 0.2)
    daemon.ctl("endpoint", "set", "gemini", *PRICE)
    daemon.create([(f"K{i}", {}) for i in range(60)], [{"agent_id": "a1", "capacity": 60}])
    daemon.wait_done()
    daemon.ctl("endpoint", "test", "gemini")
    ever, since = figures(daemon)
    assert ever == since and ever["counts"]["succeeded"] == 60 and ever["counts"]["calls"] > 60 and ever["counts"]["test_calls"] >= 1
    assert ever["tokens"]["in"] > 0 and ever["cost"]["micros"] > 0 and ever["cost"]["currency"] == "USD"
    daemon.restart()
    assert figures(daemon)[0] == ever
    assert figures(daemon)[1]["counts"] == {"calls": 0, "test_calls": 0} and figures(daemon)[1]["cost"]["micros"] == 0
    shown = daemon.ctl("endpoint", "show", "gemini").stdout
    assert shown.index("ever") < shown.index("60 succeeded") < shown.index("since the daemon's start") < shown.index("0 calls")
    assert all(check["ok"] and check["found"] == 0 for check in checks(daemon, 0).values())


def test_calls_cut_by_a_crash_are_in_the_figures(world):
    sim, daemon = world()
    sim.set(latency_ms=60000)
    daemon.create([(f"K{i}", {}) for i in range(3)], [{"agent_id": "a1", "capacity": 3}])
    wait_until(lambda: figures(daemon)[0]["counts"]["calls"] > 0, what="a call under way")
    daemon.kill()
    sim.set(latency_ms=0)
    daemon.start()
    daemon.wait_done()
    counts = figures(daemon)[0]["counts"]
    assert counts["lost"] > 0 and counts["calls"] == counts["succeeded"] + counts["lost"]
    checks(daemon, 0)


def test_the_doctor_recounts_calls_tokens_and_cost(world):
    _, daemon = world()
    daemon.ctl("endpoint", "set", "gemini", *PRICE)
    run = daemon.create([(f"K{i}", {}) for i in range(5)], [{"agent_id": "a1", "capacity": 5}])
    daemon.wait_done()
    daemon.stop()
    sql(daemon, "UPDATE run_count SET value = value + 3 WHERE kind = 92", "UPDATE run_count SET value = value - 10 WHERE kind = 80",
        "UPDATE run_count SET value = value + 1 WHERE kind = 90", "UPDATE endpoint_sum SET tokens_out = tokens_out + 7, calls = calls - 1",
        "UPDATE endpoint_class SET calls = 9 WHERE class = 0")
    daemon.start()
    found = checks(daemon, 1)
    assert not found["run_counters"]["ok"] and found["run_counters"]["found"] == 3
    assert f"run {run}: 8 calls kept, 5 counted (+3)" in found["run_counters"]["text"]
    assert "tokens in kept" in found["run_counters"]["text"] and "(-10)" in found["run_counters"]["text"] and "micros of cost kept" in found["run_counters"]["text"]
    assert found["endpoint_sums"]["found"] == 3 and "endpoint gemini: 4 calls kept, 5 counted (-1)" in found["endpoint_sums"]["text"]
    assert "9 succeeded attempts kept, 5 counted (+4)" in found["endpoint_sums"]["text"] and "tokens out kept" in found["endpoint_sums"]["text"]
    assert "PROBLEM" in daemon.ctl("doctor", check=False).stdout
