"""What tries to lose money, work or secrets: faults that meet each other, clocks that jump, pools that change, clients that go."""
import os
import sqlite3
import subprocess
import time

import pytest
from harness import faketime, faketime_library, fill_disk, make_agents, make_loans, program, wait_until


def rows_of(daemon, query):
    connection = sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def loans(count):
    return [(loan["lan"], loan) for loan in make_loans(count)]


def test_a_held_failure_and_a_quota_cost_no_flood_of_test_requests(make_sim, make_daemon):
    sim = make_sim("--latency_ms", "5", "--error_500_next", "3", "--quotas", "requests=3/60s,fixed")
    daemon = make_daemon(sim.url).start()
    run = daemon.create(loans(20), make_agents(4, 200), profile="aggressive")  # a learned rate would hold adaptive to 3 a minute
    wait_until(lambda: daemon.run(run)["waiting"], 20, "the run waits for the quota")
    until = time.monotonic() + 4  # failures are judged after 2 s
    wait_until(lambda: time.monotonic() > until, 10, "time passes")
    assert sim.stats()["received"] <= 24, sim.stats()
    sim.set(quotas="")
    daemon.api("POST", "/v1/endpoints/gemini/resume")
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 20


@pytest.mark.skipif(faketime_library() is None, reason="libfaketime is not installed")
def test_a_clock_that_jumps_expires_nothing_and_holds_nothing_up(make_sim, make_daemon, tmp_path):
    sim = make_sim("--latency_ms", "200")
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    daemon = make_daemon(sim.url, endpoint="  max_in_flight = 2",
                         environment=faketime(offset)).start()
    run = daemon.create(loans(40), make_agents(4, 200), options={"max_age_ms": 3600000})
    for jump in ("+86400", "-86400", "+400000000", "-1700000000"):
        offset.write_text(jump + "\n")
        done = daemon.counts(run)["succeeded"]
        wait_until(lambda: daemon.counts(run)["succeeded"] > done + 5, 20, f"work goes on after a jump of {jump} s")
    assert daemon.wait_done(run, 60)["counts"] == {"total": 40, "pending": 0, "leased": 0, "succeeded": 40, "failed": 0, "cancelled": 0}


AWAY = {"available": False, "until": "2199-01-01T00:00:00Z"}


def test_waiting_for_agents_who_are_away_writes_nothing(make_sim, make_daemon):
    daemon = make_daemon(make_sim().url).start()
    run = daemon.create(loans(300), [{"agent_id": f"A{n}", "capacity": 200, **AWAY} for n in range(2)])
    waiting = wait_until(lambda: (found := daemon.run(run))["waiting"] and found, 20, "the run waits")
    assert waiting["waiting"]["code"] == "no_places"
    until = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > until, 10, "time passes")
    assert rows_of(daemon, "SELECT count(*) FROM attempt") == [(0,)]
    assert daemon.api("PATCH", f"/v1/pools/{run}/agents/A0", {"available": True}).status == 200
    assert daemon.api("PATCH", f"/v1/pools/{run}/agents/A1", {"available": True}).status == 200
    assert daemon.wait_done(run)["counts"]["succeeded"] == 300


def test_those_whose_agent_is_away_hold_up_no_other(make_sim, make_daemon):
    daemon = make_daemon(make_sim("--latency_ms", "5").url).start()
    agents = [{"agent_id": "A0", "attributes": {"region": "north"}, **AWAY}, {"agent_id": "A1", "attributes": {"region": "south"}}]
    rows = [(f"K{n:04}", {"region": "north" if n < 200 else "south"}) for n in range(400)]
    run = daemon.create(rows, agents, options={"match": ["region=region"]})
    wait_until(lambda: daemon.counts(run)["succeeded"] == 200, 20, lambda: f"those of the other agent are allocated: {daemon.run(run)}")
    waiting = wait_until(lambda: daemon.run(run)["waiting"], 20, "the run waits")
    assert waiting["code"] == "no_places" and waiting["until"].startswith("2199-01-01")
    before = rows_of(daemon, "SELECT count(*) FROM attempt")[0][0]
    until = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > until, 10, "time passes")
    assert rows_of(daemon, "SELECT count(*) FROM attempt")[0][0] - before <= 700  # each of 200 at growing distances
    assert daemon.api("PATCH", f"/v1/pools/{run}/agents/A0", {"available": True}).status == 200
    assert daemon.wait_done(run, 90)["counts"]["succeeded"] == 400


@pytest.mark.parametrize("then, in_flight", [("wrong_key", 5), ("wrong_key", 10), ("quota_day", 5)])
def test_a_run_that_goes_to_another_endpoint_leaves_no_failure_behind(make_sim, make_daemon, then, in_flight):
    """Failures that were held when the first endpoint went down (before or after them), or to sleep, go with their run."""
    is_late = in_flight > 5  # the failures come when the run has gone
    first, second = make_sim("--latency_ms", "1000" if is_late else "100"), make_sim("--latency_ms", "10")
    first.set(error_500_next=5, **({"wrong_key": 1} if then == "wrong_key" else {"rpd": 5}))
    daemon = make_daemon(first.url, endpoint=f"  max_in_flight = {in_flight}")
    daemon.configure(first.url, endpoint=f"  max_in_flight = {in_flight}",
                     sections=f'endpoint "second" {{ base_url = "{second.url}"\n api_key_file = "{daemon.key_file}" }}')
    daemon.start()
    run = daemon.create(loans(40), make_agents(4, 200))
    wait_until(lambda: (found := daemon.run(run))["state"] == "paused" or found["waiting"], 20, "the run waits for its endpoint")
    wait_until(lambda: is_late or daemon.run(run)["retries"]["transient"] == 5, 20, "the failures are held")
    assert daemon.api("PATCH", f"/v1/runs/{run}", {"endpoint": "second"}).status == 200
    done = daemon.wait_done(run, 20)
    assert done["counts"]["succeeded"] == 40
    assert rows_of(daemon, "SELECT sum(retries_spent) FROM assignment") == [(0,)]


@pytest.mark.parametrize("starts", [1, 2])
def test_killed_on_a_full_disk_and_started_on_it(make_sim, make_daemon, disk, starts):
    """It starts, says what it lacks, and goes on by itself when there is room: nothing is lost, nothing is bought that was not recorded."""
    sim = make_sim("--latency_ms", "40")
    daemon = make_daemon(sim.url, endpoint="  max_in_flight = 16")
    daemon.state_dir = disk / "state"
    daemon.database = daemon.state_dir / "galloc.db"
    daemon.start()
    run = daemon.create([(loan["lan"], {**loan, "pad": "x" * 500}) for loan in make_loans(400)], make_agents(8, 60))
    wait_until(lambda: daemon.counts(run)["succeeded"] > 100, 20, "some are allocated")
    fill_disk(disk)
    wait_until(lambda: (found := daemon.run(run))["waiting"] and found["waiting"]["code"] == "disk", 20, "the disk is told")
    for _ in range(starts):
        daemon.kill()
        fill_disk(disk)
        daemon.start(ready=False)
        wait_until(lambda: daemon.process.poll() is not None or os.path.exists(daemon.socket) and answers(daemon), 20, "an answer")
        assert daemon.process.poll() is None, daemon.log
    wait_until(lambda: (found := daemon.run(run))["waiting"] and found["waiting"]["code"] == "disk", 20, "the disk is told")
    assert daemon.api("POST", "/v1/runs", {"agents": [{"agent_id": "A"}]}).status == 507
    (disk / "ballast").unlink()
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 400
    assert daemon.api("POST", "/v1/doctor").json["ok"]
    assert sim.stats()["received"] <= rows_of(daemon, "SELECT count(*) FROM call WHERE state != 3")[0][0]
    daemon.stop()


def test_a_state_that_a_full_disk_keeps_out_is_stored_when_there_is_room(make_sim, make_daemon, disk):
    sim = make_sim("--wrong_key", "1")
    daemon = make_daemon(sim.url)
    daemon.state_dir = disk / "state"
    daemon.database = daemon.state_dir / "galloc.db"
    daemon.start()
    run = daemon.create(loans(1), make_agents(1, 5))
    down = "SELECT count(*) FROM endpoint_state WHERE down_class IS NOT NULL"
    wait_until(lambda: rows_of(daemon, down) == [(1,)], 20, "the endpoint is down")
    reader = sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute(down).fetchall()  # keeps the log from starting over in the room that it has
    fill_disk(disk)
    sim.set(wrong_key=0)
    daemon.set_key("AQ.another-key")
    assert daemon.api("POST", "/v1/reload").status == 200
    assert daemon.api("GET", "/v1/endpoints/gemini").json["reason"] is None
    until = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > until, 10, "it was tried")
    assert rows_of(daemon, down) == [(1,)]
    reader.close()
    (disk / "ballast").unlink()
    wait_until(lambda: rows_of(daemon, down) == [(0,)], 20, "the state is stored")
    assert daemon.wait_done(run, 20)["counts"]["succeeded"] == 1


def answers(daemon):
    try:
        return daemon.api("GET", "/v1/status").status == 200
    except OSError:
        return False


def test_few_descriptors_are_never_all_taken_by_calls(make_sim, make_daemon):
    """The socket answers while calls are under way, and while idle connections are kept."""
    sim = make_sim("--latency_ms", "100")
    daemon = make_daemon(sim.url).start()
    daemon.stop()
    daemon.process = subprocess.Popen(["prlimit", "--nofile=48:48", program("gallocd"), "-c", str(daemon.config), "--socket", daemon.socket,
                                       "--state-dir", str(daemon.state_dir)], stdin=subprocess.DEVNULL)
    wait_until(daemon.is_ready, 20, "it is ready")
    run = daemon.create(loans(150), make_agents(4, 60))
    done = wait_until(lambda: (found := daemon.api("GET", f"/v1/runs/{run}", timeout=5).json)["state"] == "done" and found, 60, "the run ends")
    assert done["counts"]["succeeded"] == 150 and done["retries"]["unavailable"] == 0
    assert 4 <= sim.stats()["max_in_flight"] <= 24
    assert daemon.api("GET", "/readyz", timeout=5).status == 200


def test_max_in_flight_that_is_raised_is_reached(make_sim, make_daemon):
    sim = make_sim("--latency_ms", "300")
    daemon = make_daemon(sim.url, endpoint="  max_in_flight = 4", sections='profile "wide" { mode = "batch"  batch_size = 40  delay_between_batches = "0s"  max_retries = 3 }').start()
    assert daemon.ctl("endpoint", "set", "gemini", "max_in_flight=40").returncode == 0
    run = daemon.create(loans(400), make_agents(4, 200), profile="wide")
    wait_until(lambda: sim.stats()["max_in_flight"] == 40, 20, lambda: f"40 at once: {sim.stats()['max_in_flight']}")
    assert daemon.wait_done(run)["counts"]["succeeded"] == 400


def test_a_commit_after_a_cancel_of_the_import_starts_nothing_and_says_so(make_sim, make_daemon):
    daemon = make_daemon(make_sim().url).start()
    run = daemon.api("POST", "/v1/runs", {"agents": [{"agent_id": "A"}]}).json["id"]
    part = '{"key":"K1","fields":{},"row":1}\n'
    assert daemon.api("PUT", f"/v1/runs/{run}/parts/1", part, content_type="application/x-ndjson").status == 200
    assert daemon.api("POST", f"/v1/runs/{run}/cancel", {"all": True}).status == 200
    refused = daemon.api("POST", f"/v1/runs/{run}/commit", {"parts": 1})
    assert refused.status == 409 and refused.json["code"] == "wrong_state"
    started = daemon.create([("K1", {})], [{"agent_id": "A"}])
    daemon.wait_done(started)
    assert daemon.api("POST", f"/v1/runs/{started}/commit", {"parts": 1}).status == 200  # the same commit again
