"""Runs that ended are purged: gone at once for everybody, their rows behind it, while other runs go on, through a kill -9, and with the places that they held."""
import json
import sqlite3
import threading
from contextlib import closing

import pytest
from harness import wait_until

AGENTS = [{"agent_id": "a1", "capacity": 1000000}, {"agent_id": "a2", "capacity": 1000000}]
TABLES_OF_A_RUN = ("run", "run_count", "import_part", "assignment", "payload", "result", "attempt", "lease", "purge", "idempotency", "pool", "ledger", "agent")


def make_run(daemon, count, **members):
    if "pool" not in members:
        members["agents"] = AGENTS
    created = daemon.api("POST", "/v1/runs", members)
    assert created.status == 201, created
    run, parts = created.json["id"], 0
    for first in range(1, count + 1, 10000):
        parts += 1
        part = "".join(f'{{"key":"K{row}","fields":{{"city":"Pune","note":"{"x" * 200}"}},"row":{row}}}\n' for row in range(first, min(first + 10000, count + 1)))
        assert daemon.api("PUT", f"/v1/runs/{run}/parts/{parts}", part, content_type="application/x-ndjson").json["accepted"] > 0
    assert daemon.api("POST", f"/v1/runs/{run}/commit", {"parts": parts}).status == 200
    return run


def done_run(daemon, count, **members):
    run = make_run(daemon, count, **members)
    daemon.wait_done(run)
    return run


def cancelled_run(daemon, count):
    """A large run of which nothing was ever sent."""
    run = make_run(daemon, count, paused=True)
    assert daemon.api("POST", f"/v1/runs/{run}/cancel", {"all": True}, timeout=300).json["changed"] == count
    assert daemon.run(run)["state"] == "cancelled"
    return run


def stored(daemon, statement):
    """What no command shows, read beside the daemon."""
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchone()[0]


def wait_deleted(daemon):
    wait_until(lambda: stored(daemon, "SELECT count(*) FROM purge") == 0, 120, "the rows to be deleted")


def check(daemon, name):
    return next(check for check in daemon.api("POST", "/v1/doctor", {"full": True}, timeout=300).json["checks"] if check["name"] == name)


def check_well(daemon):
    report = daemon.api("POST", "/v1/doctor", {"full": True}, timeout=300).json
    assert report["ok"], report


def loads(daemon, pool):
    return {agent["agent_id"]: agent["held"] for agent in daemon.api("GET", f"/v1/pools/{pool}").json["agents"]}


# ---- gone ----

def test_gone_at_once_and_whole(daemon):
    run, other = done_run(daemon, 30, name="november"), done_run(daemon, 5)
    ran = daemon.ctl("purge", run, "-y")
    assert f"run {run} (30 assignments) purged" in ran.stdout
    for path in (f"/v1/runs/{run}", "/v1/runs/november", f"/v1/runs/{run}/results", f"/v1/runs/{run}/assignments", f"/v1/runs/{run}/failures"):
        assert daemon.api("GET", path).status == 404, path
    assert [item["id"] for item in daemon.api("GET", "/v1/runs").json["items"]] == [other]
    assert [item["id"] for item in daemon.api("GET", "/v1/status").json["ended"]] == [other]
    assert daemon.run("@last")["id"] == other
    assert daemon.api("POST", f"/v1/runs/{run}/retry", {"all": True}).status == 404
    wait_deleted(daemon)
    for table in TABLES_OF_A_RUN:
        kept = stored(daemon, f"SELECT count(*) FROM {table}")
        assert kept == {"assignment": 5, "payload": 5, "result": 5, "attempt": 5, "run": 1, "import_part": 1, "pool": 1, "ledger": 1, "agent": 2,
                        "run_count": kept}.get(table, 0), table
    wait_until(lambda: "purge_done" in daemon.log and "run_purged" in daemon.log, what="its lines in the log")
    assert len(daemon.results(other)) == 5
    check_well(daemon)
    metrics = daemon.api("GET", "/metrics").body
    assert 'galloc_assignments{run_state="done",state="succeeded"} 5\n' in metrics  # what is stored
    assert 'galloc_assignments_finished_total{outcome="succeeded"} 35\n' in metrics  # what was done


def test_who_did_it_is_told(daemon):
    run = done_run(daemon, 4)
    assert daemon.api("DELETE", f"/v1/runs/{run}").json == {
        "runs": 1, "assignments": 4, "released": False, "dry_run": False,
        "items": [{"id": run, "state": "done", "finished_at": daemon.api("GET", f"/v1/audit?run={run}").json["items"][0]["before"]["finished_at"], "assignments": 4}]}
    row = daemon.api("GET", f"/v1/audit?run={run}").json["items"][0]
    assert row["action"] == "run_purge" and row["before"]["succeeded"] == 4 and row["after"] == {"places": "kept"}
    assert any(event["type"] == "run_purged" and event["run"] == run for event in daemon.api("GET", "/v1/events?since=0&follow=no").lines)
    assert "run_purge" in daemon.ctl("audit", "--run", run).stdout


@pytest.mark.parametrize("body", [{}, {"run": "@last", "older_than_ms": 5}, {"older_than_ms": -1}, {"run": "@last", "releese": True}])
def test_never_guessed(daemon, body):
    done_run(daemon, 2)
    assert daemon.api("POST", "/v1/purge", body).status in (400, 422)
    assert len(daemon.api("GET", "/v1/runs").json["items"]) == 1


def test_refused_while_it_lives(make_daemon, make_sim):
    sim = make_sim("--latency_ms", 600000)
    daemon = make_daemon(sim.url, endpoint="max_in_flight = 2").start()
    run = daemon.create([(f"K{i}", {"city": "Pune"}) for i in range(5)], AGENTS)
    wait_until(lambda: daemon.counts(run)["leased"] == 2, what="calls under way")
    refused = daemon.ctl("purge", run, "-y", check=False)
    assert refused.returncode == 6 and f"gallocctl cancel {run} --all" in refused.stderr
    daemon.ctl("cancel", run, "--all", "-y")
    under_way = daemon.api("POST", "/v1/purge", {"run": run})
    assert under_way.status == 409 and "under way" in under_way.json["detail"]
    daemon.kill()
    daemon.start()  # the calls are lost with the former life
    wait_until(lambda: daemon.api("POST", "/v1/purge", {"run": run}).status == 200, what="the purge")
    assert daemon.api("POST", "/v1/purge", {"run": run}).status == 404


def test_asks_first(daemon):
    run = done_run(daemon, 3)
    for arguments in (("purge", run), ("purge", run, "--no-input"), ("purge", "--older-than", "0s")):
        asked = daemon.ctl(*arguments, check=False)
        assert asked.returncode == 10 and "3 assignments" in asked.stderr and "-y" in asked.stderr, asked
    assert daemon.ctl("purge", check=False).returncode == 2
    assert daemon.ctl("purge", run, "--older-than", "1d", check=False).returncode == 2
    told = daemon.ctl("purge", "--older-than", "0s", "--dry-run").stdout
    assert run in told and "would be purged" in told
    assert daemon.run(run)["state"] == "done"
    assert "nothing to purge" in daemon.ctl("purge", "--older-than", "1d", "-y").stdout
    assert json.loads(daemon.ctl("purge", "--older-than", "0s", "-y", "--json").stdout)["runs"] == 1


# ---- places ----

def test_places_of_a_shared_pool(daemon):
    pool = [{"agent_id": "a1", "capacity": 30}]
    assert daemon.api("PUT", "/v1/pools/north", {"agents": pool}).status in (200, 201)
    first, second = done_run(daemon, 10, pool="north"), done_run(daemon, 10, pool="north")
    daemon.api("DELETE", f"/v1/runs/{first}")
    wait_deleted(daemon)
    assert loads(daemon, "north") == {"a1": 20}
    last = daemon.create([(f"L{i}", {"city": "Pune"}) for i in range(10)], None, pool="north")
    assert daemon.wait_done(last)["counts"]["succeeded"] == 10
    assert daemon.api("DELETE", f"/v1/runs/{second}?release=true").json["released"] is True
    wait_until(lambda: loads(daemon, "north") == {"a1": 20}, what="places that are free again")
    more = daemon.create([(f"M{i}", {"city": "Pune"}) for i in range(12)], None, pool="north")
    assert daemon.wait_done(more)["counts"]["succeeded"] == 10  # as many as were given back
    daemon.restart()
    assert loads(daemon, "north") == {"a1": 30}
    check_well(daemon)


# ---- by age ----

def test_by_age_and_retention(daemon):
    runs = {done_run(daemon, 2) for _ in range(3)}
    waiting = daemon.create([("W", {"city": "Pune"})], AGENTS, paused=True)
    assert daemon.api("POST", "/v1/purge", {"older_than_ms": 3600000}).json["runs"] == 0
    told = daemon.api("POST", "/v1/purge", {"older_than_ms": 0, "dry_run": True}).json
    assert {item["id"] for item in told["items"]} == runs and told["assignments"] == 6 and told["dry_run"] is True
    daemon.configure("http://127.0.0.1:9", settings='retention = "1ms"\naudit_retention = "1h"')
    assert "retention" in daemon.ctl("reload").stdout
    daemon.restart()
    wait_until(lambda: [item["id"] for item in daemon.api("GET", "/v1/runs").json["items"]] == [waiting], what="old runs to go")
    rows = daemon.api("GET", "/v1/audit").json["items"]
    assert len([row for row in rows if row["action"] == "run_purge" and row["reason"] == "older than `retention`"]) == 3
    wait_deleted(daemon)
    check_well(daemon)


# ---- while other things happen ----

def test_killed_in_the_middle(daemon):
    other = done_run(daemon, 20)
    run = cancelled_run(daemon, 40000)
    assert daemon.api("POST", "/v1/purge", {"run": run}).json["assignments"] == 40000
    left = lambda: stored(daemon, "SELECT coalesce(sum(row_count), 0) FROM purge")  # noqa: E731
    for part in (0.9, 0.6, 0.3):
        wait_until(lambda: left() < 40000 * part, what="some of the rows to go")
        daemon.kill()
        assert left() == stored(daemon, "SELECT count(*) FROM assignment") - 20 > 0
        daemon.start()
        assert daemon.api("GET", f"/v1/runs/{run}").status == 404
        assert "still to be deleted" in check(daemon, "purge")["text"]
    wait_deleted(daemon)
    assert stored(daemon, "SELECT count(*) FROM assignment") == stored(daemon, "SELECT count(*) FROM payload") == 20
    assert len(daemon.results(other)) == 20
    check_well(daemon)
    wait_until(lambda: stored(daemon, "PRAGMA freelist_count") <= 256, what="free pages to be given back")
    assert check(daemon, "purge")["text"] == "no purged run is left to be deleted"


def test_others_are_not_starved(make_daemon, make_sim):
    """A run that is dispatched meanwhile ends long before the rows of a large one are gone: it waits for steps, not for the purge."""
    daemon = make_daemon(make_sim("--latency_ms", 20).url).start()
    run = cancelled_run(daemon, 100000)
    running = daemon.create([(f"K{i}", {"city": "Pune"}) for i in range(300)], AGENTS, paused=True)
    assert daemon.api("POST", "/v1/purge", {"run": run}).status == 200
    daemon.api("POST", f"/v1/runs/{running}/resume")
    assert daemon.wait_done(running)["counts"]["succeeded"] == 300
    assert stored(daemon, "SELECT coalesce(sum(row_count), 0) FROM purge") > 20000
    imported = threading.Thread(target=cancelled_run, args=(daemon, 20000))
    imported.start()  # and so does an import
    imported.join()
    assert stored(daemon, "SELECT count(*) FROM purge") == 1
    wait_deleted(daemon)
    check_well(daemon)
