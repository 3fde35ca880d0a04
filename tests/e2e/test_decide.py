"""A person decides: assign, unassign, redo and discard, with the places of a pool that runs share, through a kill -9, and beside workers."""
import json
import re
import shlex
import threading

from harness import wait_until

AGENTS = [{"agent_id": f"A{n}", "capacity": 1000} for n in (1, 2)]
WHY = ("--reason", "knows the family")


def enqueue(daemon, count=10, agents=None, **members):
    rows = [(f"K{n:04}", {"n": n}) for n in range(count)]
    return daemon.create(rows, agents or AGENTS, **members) if "pool" not in members else create_in_pool(daemon, count, **members)


def create_in_pool(daemon, count, **members):
    created = daemon.api("POST", "/v1/runs", members)
    assert created.status == 201, created
    run = created.json["id"]
    part = "".join(json.dumps({"key": f"K{n:04}", "fields": {"n": n}, "row": n + 1}) + "\n" for n in range(count))
    assert daemon.api("PUT", f"/v1/runs/{run}/parts/1", part, content_type="application/x-ndjson").status == 200
    assert daemon.api("POST", f"/v1/runs/{run}/commit", {"parts": 1}).status == 200
    return run


def held(daemon, pool):
    return {agent["agent_id"]: agent["held"] for agent in daemon.api("GET", f"/v1/pools/{pool}").json["agents"]}


def row(daemon, run, key):
    return next(row for row in daemon.results(run) if row["key"] == key)


def check_well(daemon):
    report = daemon.api("POST", "/v1/doctor", {"full": True}).json
    assert report["ok"], report


def test_assign_to_another(daemon):
    run = enqueue(daemon)
    daemon.wait_done(run)
    before = row(daemon, run, "K0003")["agent_id"]
    after = "A2" if before == "A1" else "A1"
    places = held(daemon, run)
    start = daemon.api("GET", "/v1/status").json["daemon"]["seq"]
    assert f"K0003 is allocated to {after}" in daemon.ctl("assign", run, "K0003", after, *WHY).stdout
    now = row(daemon, run, "K0003")
    assert (now["agent_id"], now["decided_by"], now["reason"]) == (after, "person", "knows the family")
    assert re.search(r"^  decided by +person$", daemon.ctl("show", run, "K0003").stdout, re.MULTILINE)
    assert held(daemon, run) == {before: places[before] - 1, after: places[after] + 1}
    first, second = daemon.api("GET", f"/v1/runs/{run}/assignments/K0003/attempts").json["items"]
    assert first["decision"]["decided_by"] == "model" and first["agent_id"] == before and "knows the family" in first["message"]
    assert (second["class"], second["worker"], second["agent_id"], second["decision"]) == ("person", "person", after, None)
    events = [event for event in daemon.api("GET", f"/v1/events?since={start}&assignments=1&follow=false").lines if event["type"] == "assignment"]
    assert [(event["key"], event["state"], event["agent_id"], event["decided_by"]) for event in events] == [("K0003", "succeeded", after, "person")]
    said = daemon.api("GET", f"/v1/audit?run={run}").json["items"][0]
    assert (said["action"], said["run"], said["object"], said["reason"]) == ("assign", run, "K0003", "knows the family")
    assert said["before"]["agent_id"] == before and said["after"]["agent_id"] == after and said["who"]
    daemon.kill()
    daemon.start()
    assert row(daemon, run, "K0003") == now
    check_well(daemon)


def test_refusals(daemon):
    run = enqueue(daemon, 3, [{"agent_id": "A1", "capacity": 2}, {"agent_id": "A2", "capacity": 1}])
    daemon.wait_done(run)
    key = next(row["key"] for row in daemon.results(run) if row["agent_id"] == "A1")
    full = daemon.ctl("assign", run, key, "A2", *WHY, check=False)
    assert full.returncode == 6 and "A2 is full: has 1 of 1 places" in full.stderr and "--over-capacity" in full.stderr
    nobody = daemon.ctl("assign", run, key, "A22", *WHY, check=False)
    assert nobody.returncode == 4 and "did you mean 'A2'" in nobody.stderr
    assert daemon.ctl("assign", run, "K9", "A2", *WHY, check=False).returncode == 4
    assert daemon.ctl("assign", run, key, "A2", check=False).returncode == 2
    assert daemon.api("PUT", f"/v1/runs/{run}/assignments/{key}/agent", {"agent_id": "A2"}).status == 400
    assert daemon.api("DELETE", f"/v1/runs/{run}/assignments/{key}/agent").status == 400
    assert daemon.ctl("redo", run, "--all", check=False).returncode == 2
    assert daemon.ctl("redo", run, *WHY, check=False).returncode == 2
    assert "is allocated to A2" in daemon.ctl("assign", run, key, "A2", *WHY, "--over-capacity").stdout
    assert held(daemon, run) == {"A1": 1, "A2": 2}
    loads = {agent["agent_id"]: agent["free"] for agent in daemon.api("GET", f"/v1/runs/{run}/load").json["items"]}
    assert loads == {"A1": 1, "A2": 0}
    check_well(daemon)


def test_unassign_and_discard_free_places_for_others(daemon):
    daemon.api("PUT", "/v1/pools/north", {"agents": [{"agent_id": "A1", "capacity": 10}]})
    first = enqueue(daemon, 10, pool="north")
    daemon.wait_done(first)
    second = enqueue(daemon, 4, pool="north")
    assert daemon.wait_done(second)["counts"]["failed"] == 4
    assert "K0000 is cancelled" in daemon.ctl("unassign", first, "K0000", "--reason", "paid in full").stdout
    assert "3 assignments are discarded" in daemon.ctl("discard", first, "--key", "K0001", "--key", "K0002", "--key", "K0003", "--reason", "sold").stdout
    assert held(daemon, "north") == {"A1": 6}
    again = daemon.ctl("unassign", first, "K0000", "--reason", "paid in full", check=False)
    assert again.returncode == 6 and "is cancelled" in again.stderr
    daemon.ctl("retry", second, "--all")
    assert daemon.wait_done(second)["counts"]["succeeded"] == 4
    assert held(daemon, "north") == {"A1": 10}
    assert daemon.run(first)["counts"]["cancelled"] == 4 and daemon.run(first)["state"] == "done"
    check_well(daemon)


def test_redo_decides_again(daemon):
    run = enqueue(daemon)
    daemon.wait_done(run)
    agent = row(daemon, run, "K0000")["agent_id"]
    count = held(daemon, run)[agent]
    daemon.ctl("pool", "set", run, agent, "available=no")
    assert "pending again" in daemon.ctl("redo", run, "--agent", agent, "--reason", "on leave").stdout
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 10
    assert held(daemon, run)[agent] == 0
    attempts = daemon.api("GET", f"/v1/runs/{run}/assignments/K0000/attempts").json["items"]
    assert [attempt["class"] for attempt in attempts] == ["succeeded"] * 2 and "on leave" in attempts[0]["message"]
    assert attempts[0]["agent_id"] == agent != attempts[1]["agent_id"] and attempts[0]["decision"]["reason"]
    said = daemon.api("GET", f"/v1/audit?run={run}").json["items"][0]
    assert said["action"] == "run_redo" and said["reason"] == "on leave" and count > 0
    check_well(daemon)


def test_an_answer_that_comes_later_is_dropped(world):
    sim, daemon = world("--latency_ms", "1500")
    run = enqueue(daemon, 1)
    wait_until(lambda: sim.stats()["received"] >= 1, 20, "the call is under way")
    daemon.ctl("assign", run, "K0000", "A2", *WHY)
    assert daemon.run(run)["state"] == "done"
    attempts = wait_until(lambda: (items := daemon.api("GET", f"/v1/runs/{run}/assignments/K0000/attempts").json["items"])[0]["class"] != "open" and items, 20,
                          "the answer is there")
    assert [attempt["class"] for attempt in attempts] == ["dropped", "person"] and attempts[0]["tokens"]["in"] > 0
    assert row(daemon, run, "K0000")["agent_id"] == "A2" and held(daemon, run) == {"A1": 0, "A2": 1}
    check_well(daemon)


def test_what_a_worker_has(daemon):
    run = enqueue(daemon, 2, endpoint="workers")
    lease = daemon.api("POST", "/v1/leases", {"worker": "w1", "max": 2}).json
    daemon.ctl("assign", run, "K0000", "A2", *WHY)
    answer = daemon.api("POST", f"/v1/leases/{lease['lease']}/results", {"results": [{"key": key, "agent_id": "A1"} for key in ("K0000", "K0001")]})
    assert [item["verdict"] for item in answer.json["items"]] == ["stale", "succeeded"]
    assert daemon.wait_done(run)["counts"]["succeeded"] == 2
    assert held(daemon, run) == {"A1": 1, "A2": 1}
    check_well(daemon)


def test_memory_and_store_agree_on_places(world):
    """Places that persons give and take while calls are under way and the pool is changed: what prompts go by is what the ledger has."""
    sim, daemon = world("--latency_ms", "20")
    daemon.api("PUT", "/v1/pools/north", {"agents": [{"agent_id": "A1", "capacity": 100}, {"agent_id": "A2", "capacity": 300}]})
    first = enqueue(daemon, 250, pool="north")
    daemon.wait_done(first)
    changes = threading.Thread(target=lambda: [daemon.api("PATCH", "/v1/pools/north/agents/A2", {"capacity": 300 + n % 2}) for n in range(40)])
    changes.start()
    for turn in range(4):
        daemon.ctl("redo", first, "--where", f"n={turn}", "--reason", "again")
        assert daemon.api("POST", f"/v1/runs/{first}/discard", {"agents": ["A1" if turn % 2 else "A2"], "reason": "sold"}).status == 200
        daemon.wait_done(first)
        daemon.api("POST", f"/v1/runs/{first}/retry", {"states": ["cancelled"]})
        daemon.wait_done(first)
    changes.join()
    assert daemon.run(first)["counts"]["succeeded"] == 250
    daemon.api("PATCH", "/v1/pools/north/agents/A2", {"capacity": 300})
    second = enqueue(daemon, 200, pool="north")
    done = daemon.wait_done(second)
    assert done["counts"]["succeeded"] == 150 and done["counts"]["failed"] == 50  # as many as the ledger has places
    check_well(daemon)


def test_an_officer_on_leave(daemon):
    """The command that is printed does what it says when it is pasted."""
    daemon.api("PUT", "/v1/pools/north", {"agents": [{"agent_id": "O'Hara 7", "capacity": 100}, {"agent_id": "A2", "capacity": 100}]})
    runs = [enqueue(daemon, 12, pool="north", name=name) for name in ("first", "second")]
    for run in runs:
        daemon.wait_done(run)
    mine = [sum(row["agent_id"] == "O'Hara 7" for row in daemon.results(run)) for run in runs]
    assert all(mine)
    listed = daemon.api("GET", "/v1/pools/north/agents/O%27Hara%207/runs").json["items"]
    assert [(item["run"], item["name"], item["state"], item["count"]) for item in listed] == [(runs[1], "second", "done", mine[1]), (runs[0], "first", "done", mine[0])]
    assert daemon.api("GET", "/v1/pools/north/agents/nobody/runs").status == 404
    told = daemon.ctl("pool", "set", "north", "O'Hara 7", "available=no").stderr
    assert f"still has {sum(mine)} assignments" in told
    commands = [line.strip() for line in told.splitlines() if "gallocctl redo" in line]
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command, comments=True)
        daemon.ctl(*words[words.index("redo"):])
    for run in runs:
        assert daemon.wait_done(run)["counts"]["succeeded"] == 12
    assert held(daemon, "north") == {"O'Hara 7": 0, "A2": 24}
    assert daemon.api("GET", "/v1/pools/north/agents/O%27Hara%207/runs").json["items"] == []
    assert "still has" not in daemon.ctl("pool", "set", "north", "O'Hara 7", "capacity=50").stderr
    check_well(daemon)


def test_what_an_agent_holds_of_a_run_alone_and_after_a_reset(daemon):
    own = enqueue(daemon, 6)
    daemon.wait_done(own)
    count = sum(row["agent_id"] == "A1" for row in daemon.results(own))
    assert [item["count"] for item in daemon.api("GET", f"/v1/pools/{own}/agents/A1/runs").json["items"]] == [count]
    daemon.api("PUT", "/v1/pools/north", {"agents": [{"agent_id": "A1", "capacity": 100, "load": 3}]})
    first = enqueue(daemon, 5, pool="north")
    daemon.wait_done(first)
    assert daemon.api("POST", "/v1/pools/north/reset").status == 200
    second = enqueue(daemon, 4, pool="north")
    daemon.wait_done(second)
    assert [(item["run"], item["count"]) for item in daemon.api("GET", "/v1/pools/north/agents/A1/runs").json["items"]] == [(second, 4)]
