"""The first assignments of a run go slowly and are looked at: a run that would fail, or cost too much, pauses before the rest is paid for."""
from harness import wait_until

AGENTS = [{"agent_id": f"A{n}", "capacity": 10000, "attributes": {"region": "north"}} for n in range(4)]
MATCH = {"match": ["region=region"]}
PRICE = 'price "gemini-3.8-flash" { currency = "USD" in = 10 cached_in = 10 out = 100 }'


def rows_of(count, fails=lambda n: False):
    return [(f"K{n:04}", {"region": "nowhere" if fails(n) else "north"}) for n in range(count)]


def settled(daemon, run):
    counts = daemon.counts(run)
    return counts["succeeded"] + counts["failed"]


def events_of(daemon, run, start):
    return [event["type"] for event in daemon.api("GET", f"/v1/events?since={start}&follow=false").lines if event.get("run") == run]


def test_a_run_that_would_fail_pauses_and_goes_on_when_told(world):
    sim, daemon = world("--latency_ms", "50")
    run = daemon.create(rows_of(1200, lambda n: n % 2), AGENTS, options=MATCH)
    paused = wait_until(lambda: (found := daemon.run(run))["state"] == "paused" and found, 60, lambda: f"the run pauses: {daemon.run(run)}")
    assert paused["reason"] == "first"
    assert "10 of the first 20 failed, and canary_failures lets 25 % pass" in paused["text"]
    assert paused["text"].count("no_candidate") == 3 and "K0001" in paused["text"] and f"gallocctl resume {run}" in paused["text"]
    assert settled(daemon, run) == 20 and sim.stats()["received"] == 10
    daemon.kill()
    daemon.start()
    assert daemon.run(run)["reason"] == "first" and daemon.run(run)["text"] == paused["text"]
    daemon.ctl("resume", run)
    done = daemon.wait_done(run)
    assert (done["counts"]["succeeded"], done["counts"]["failed"]) == (600, 600)


def test_it_goes_slowly_until_it_is_well(world):
    sim, daemon = world("--latency_ms", "600")
    start = daemon.api("GET", "/v1/status").json["daemon"]["seq"]
    run = daemon.create(rows_of(1100), AGENTS, options={"canary": "auto"})
    seen = wait_until(lambda: (found := daemon.run(run))["canary"], 20, "the canary is told")
    assert seen["of"] == 20 and seen["done"] < 20
    assert "canary: " in daemon.ctl("status", run).stdout
    most = sim.stats()["max_in_flight"]
    if daemon.run(run)["canary"]:
        assert most <= 4
    wait_until(lambda: "run_canary_passed" in events_of(daemon, run, start), 30, "the first were well")
    wait_until(lambda: settled(daemon, run) > 60, 30, "it goes on")
    assert daemon.run(run)["canary"] is None
    daemon.ctl("cancel", run, "--all", "-y")


def test_four_at_once_are_assignments_however_they_are_packed(world):
    _, daemon = world("--latency_ms", "300")
    run = daemon.create(rows_of(60), AGENTS, options={"canary": "on", "pack": 10})
    most = 0

    def looks():
        nonlocal most
        found = daemon.run(run)
        if found["canary"]:
            most = max(most, found["counts"]["leased"])
        return found["canary"] is None

    wait_until(looks, 30, "the first are judged")
    assert most == 4 and daemon.wait_done(run)["counts"]["succeeded"] == 60


def test_what_a_person_decided_says_nothing_of_the_rest(world):
    _, daemon = world()
    run = daemon.create(rows_of(60, lambda n: True), AGENTS, options={**MATCH, "canary": "on"}, paused=True)
    for n in range(25):
        daemon.api("PUT", f"/v1/runs/{run}/assignments/K{n:04}/agent", {"agent_id": "A1", "reason": "theirs"})
    daemon.ctl("resume", run)
    assert wait_until(lambda: (found := daemon.run(run))["state"] != "running" and found, 30, "the run pauses")["reason"] == "first"
    assert daemon.counts(run)["failed"] == 20 and "20 of the first 20 failed" in daemon.run(run)["text"]


def test_workers_take_no_more_than_the_first(world):
    sim, daemon = world("--error_401", "1")  # the endpoint is down: all are left to workers
    run = daemon.create(rows_of(100), AGENTS, options={"canary": "on", "workers_too": True})
    wait_until(lambda: daemon.run(run)["reason"] == "credentials", 30, "the endpoint is down")
    done = 0
    while daemon.run(run)["reason"] == "credentials":
        lease = daemon.api("POST", "/v1/leases", {"worker": "w1", "run": run, "max": 100, "wait_ms": 200})
        if lease.status != 200:
            continue
        keys = [row["key"] for row in lease.json["assignments"]]
        assert len(keys) <= 4, "four at once"
        results = [{"key": key, "error": {"code": "unreadable", "message": "no", "retry": False}} for key in keys]
        assert daemon.api("POST", f"/v1/leases/{lease.json['lease']}/results", {"results": results}).status == 200
        done += len(keys)
    assert daemon.run(run)["reason"] == "first" and done == settled(daemon, run) == 20 and sim.stats()["received"] >= 1


def test_small_runs_and_off_go_at_once(world):
    _, daemon = world("--latency_ms", "20")
    small = daemon.create(rows_of(1000), AGENTS)
    assert daemon.run(small)["canary"] is None
    large = daemon.create(rows_of(1100, lambda n: n % 2), AGENTS, options={**MATCH, "canary": "off"})
    assert daemon.wait_done(large)["counts"]["failed"] == 550 and daemon.wait_done(small)["counts"]["succeeded"] == 1000


def test_on_judges_a_small_run_and_off_is_refused_by_name(world):
    _, daemon = world()
    run = daemon.create(rows_of(40, lambda n: n % 3 == 0), AGENTS, options={**MATCH, "canary": "on"})
    assert wait_until(lambda: daemon.run(run)["reason"] == "first", 30, "the run pauses")
    refused = daemon.api("POST", "/v1/runs", {"agents": AGENTS, "options": {"canary": "never"}})
    assert refused.status == 400 and "auto" in refused.json["detail"]


def test_a_restart_in_the_middle_goes_on_slowly(world):
    sim, daemon = world("--latency_ms", "400")
    run = daemon.create(rows_of(1100, lambda n: n % 2), AGENTS, options=MATCH)
    wait_until(lambda: settled(daemon, run) >= 6, 30, "some are settled")
    daemon.kill()
    daemon.start()
    assert wait_until(lambda: daemon.run(run)["reason"] == "first", 60, "the run pauses")
    assert settled(daemon, run) == 20 and sim.stats()["received"] <= 10 + 4  # what the crash lost is asked again


def test_throttling_and_an_outage_are_no_failures(world):
    sim, daemon = world("--latency_ms", "20", "--error_429_next", "3", "--error_503_next", "3")
    start = daemon.api("GET", "/v1/status").json["daemon"]["seq"]
    run = daemon.create(rows_of(60), AGENTS, options={"canary": "on"})
    assert daemon.wait_done(run)["counts"]["succeeded"] == 60
    events = events_of(daemon, run, start)
    assert "run_canary_passed" in events and "run_paused" not in events


def test_a_run_that_costs_too_much_pauses(world):
    _, daemon = world(settings='canary_cost = 0.0001', sections=PRICE)
    run = daemon.create(rows_of(40), AGENTS, options={"canary": "on"})
    paused = wait_until(lambda: (found := daemon.run(run))["state"] == "paused" and found, 30, "the run pauses")
    assert paused["reason"] == "first" and "canary_cost lets 0.000100 pass" in paused["text"]
