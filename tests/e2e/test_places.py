"""The places of a pool as a whole: the last ones are filled without a storm of calls for full agents, and a run that cannot fit says so and ends."""
import time

from harness import make_agents, make_loans, wait_until


def agents_of(count, capacity):
    return [{"agent_id": agent["agent_id"], "capacity": capacity, "attributes": {"region": agent["region"], "speciality": agent["speciality"]}}
            for agent in make_agents(count, capacity)]


def rows_of(count):
    return [(loan["lan"], loan) for loan in make_loans(count)]


def test_the_last_places_are_filled_without_a_storm(world):
    sim, daemon = world("--latency_ms", "100", endpoint="  max_in_flight = 64")
    run = daemon.create(rows_of(1000), agents_of(50, 20), options={"canary": "off"})
    assert daemon.wait_done(run)["counts"]["succeeded"] == 1000
    assert {agent["held"] for agent in daemon.api("GET", f"/v1/runs/{run}/load").json["items"]} == {20}
    calls = sim.stats()["received"] - sim.stats()["tests"]
    assert calls <= 1050, f"{calls} calls for 1,000 assignments"


def test_places_of_a_region_are_shared_out_too(world):
    sim, daemon = world("--latency_ms", "100", endpoint="  max_in_flight = 64")
    run = daemon.create(rows_of(400), agents_of(8, 50), options={"match": ["region=region"]})
    assert daemon.wait_done(run)["counts"]["succeeded"] == 400
    assert sim.stats()["received"] - sim.stats()["tests"] <= 440


def test_a_run_that_does_not_fit_says_so_and_ends(world, tmp_path):
    _, daemon = world()
    assert daemon.api("PUT", "/v1/pools/north", {"agents": [{"agent_id": "A1", "capacity": 20, "load": 3}, {"agent_id": "A2", "capacity": 10}]}).status == 201
    loans = tmp_path / "loans.csv"
    loans.write_text("lan,region\n" + "".join(f"L{n:03},north\n" for n in range(40)))
    checked = daemon.ctl("check", loans, "--pool", "north")
    assert "27 places are free for 40 assignments: 13 would fail with no_capacity" in checked.stdout + checked.stderr
    told = daemon.ctl("enqueue", loans, "--pool", "north", "--paused").stdout
    assert "27 are free: 13 assignments will fail with no_capacity" in told and "gallocctl pool set north AGENT capacity=N" in told
    run = daemon.run()["id"]
    assert daemon.run(run)["places_free"] == 27
    daemon.ctl("resume", run)
    done = daemon.wait_done(run)
    assert (done["counts"]["succeeded"], done["counts"]["failed"]) == (27, 13)
    assert "no_capacity" in daemon.ctl("failures", run).stdout
    assert [row["error"]["code"] for row in daemon.results(run, "failed")] == ["no_capacity"] * 13
    daemon.ctl("pool", "set", "north", "A2", "capacity=23")
    daemon.ctl("retry", run, "--error", "no_capacity")
    assert daemon.wait_done(run)["counts"]["succeeded"] == 40


def test_a_run_whose_agents_are_all_away_says_until_when(world):
    _, daemon = world()
    until = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 3600))
    agents = [{"agent_id": "A1", "capacity": 10, "available": False, "until": f"{until}Z"}, {"agent_id": "A2", "capacity": 10, "available": False}]
    for options in ({}, {"match": ["region=region"]}):
        run = daemon.create(rows_of(4), [{**agent, "attributes": {"region": "north"}} for agent in agents], options=options)
        waiting = wait_until(lambda: daemon.run(run)["waiting"], 20, "it waits")
        assert (waiting["code"], waiting["until"]) == ("no_places", f"{until}.000Z"), waiting


def test_whose_date_has_passed_is_shown_as_back(world):
    _, daemon = world()
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    daemon.api("PUT", "/v1/pools/north", {"agents": [{"agent_id": "A1", "capacity": 10, "available": False, "until": until}]})

    def shown():
        agent = daemon.api("GET", "/v1/pools/north").json["agents"][0]
        return agent["available"], agent["until"], agent["free"]

    wait_until(lambda: shown() == (True, None, 10), 20, shown)


def test_an_open_run_on_a_full_pool_fails_at_once(world):
    _, daemon = world()
    daemon.api("PUT", "/v1/pools/north", {"agents": [{"agent_id": "A1", "capacity": 2}]})
    created = daemon.api("POST", "/v1/runs", {"pool": "north", "options": {"open": True}}).json["id"]
    assert daemon.api("POST", f"/v1/runs/{created}/commit", {"parts": 0}).status == 200
    appended = daemon.api("POST", f"/v1/runs/{created}/assignments", {"assignments": [{"key": f"K{n}", "fields": {}} for n in range(3)]})
    assert appended.json["accepted"] == 3
    daemon.api("POST", f"/v1/runs/{created}/close")
    assert daemon.wait_done(created)["counts"]["failed"] == 1
