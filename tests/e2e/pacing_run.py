"""A scenario of the pacer (tests/sim/scenarios.c) in its real form: gallocd against a gallocsim that is that server, every time shrunk to a share of itself. What came of
it is read from gallocsim's record and gallocd's counters, so that a machine that is slow shows in the ratio alone. Used by test_pacing.py and bench/pacing."""
import json
import math
import random
import subprocess
import time

import harness

MAX_IN_FLIGHT, REQUEST_TIMEOUT_S = 256, 60
BYTES_A_TOKEN = 4
PART_ROWS = 250
FRAME_TOKENS = 510  # of a prompt beside its text
REFUSALS = ("quota", "busy", "outage", "error_503")


def scenarios(names, percent=10):
    """The scenarios of these names, as tests/sim/pacing tells them for this scale."""
    told = subprocess.run([harness.program("tests/sim/pacing"), "--export", str(percent), "--scenario", ",".join(names)], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in told.stdout.splitlines()]


def has_token_quota(scenario):
    return "tokens=" in scenario["settings"]["quotas"]


def assignments(scenario, count):
    """(key, fields) of each; their prompts are as long as the scenario's where tokens are counted."""
    if not has_token_quota(scenario):
        return [(f"K{n:05}", {"n": n}) for n in range(count)]
    draw, sigma = random.Random(1), scenario["token_sigma"]
    tokens = [math.exp(sigma * draw.gauss(0, 1)) for _ in range(count)]
    share = scenario["mean_tokens"] * count / sum(tokens)
    return [(f"K{n:05}", {"text": "word " * int(max(1, share * each - FRAME_TOKENS) * BYTES_A_TOKEN / 5)}) for n, each in enumerate(tokens)]


def begin(scenario, scale, endpoint=""):
    """A gallocsim that is the scenario's server, and a gallocd on it, with these lines more in its endpoint; the caller removes both."""
    sim = harness.Sim(*(word for name, value in scenario["settings"].items() for word in (f"--{name}", f"{value:g}" if isinstance(value, float) else value)))
    daemon = harness.Daemon(sim.url, endpoint=f'max_in_flight = {MAX_IN_FLIGHT}\n  time_scale = {scale:g}\n'
                                              f'  request_timeout = "{max(1, REQUEST_TIMEOUT_S * scale):g}s"\n  {endpoint}')
    return sim, daemon.start()


def enqueue(daemon, scenario, count, profile="adaptive"):
    """A run that waits for its start."""
    agents = [{"agent_id": f"A{n}", "capacity": count} for n in range(3)]
    created = daemon.api("POST", "/v1/runs", {"agents": agents, "profile": profile, "paused": True, "options": {"canary": "off"}})
    assert created.status == 201, created
    run, rows = created.json["id"], assignments(scenario, count)
    parts = [rows[first:first + PART_ROWS] for first in range(0, count, PART_ROWS)]
    for number, part in enumerate(parts, start=1):
        lines = "".join(json.dumps({"key": key, "fields": fields, "row": row}) + "\n" for row, (key, fields) in enumerate(part, start=(number - 1) * PART_ROWS + 1))
        put = daemon.api("PUT", f"/v1/runs/{run}/parts/{number}", lines, content_type="application/x-ndjson")
        assert put.status == 200 and not put.json["rejected"], put
    committed = daemon.api("POST", f"/v1/runs/{run}/commit", {"parts": len(parts)})
    assert committed.status == 200, committed
    return run


def start_at_phase(daemon, run, scenario, scale):
    """Windows begin on the wall clock: so does the run, the scenario's seconds after."""
    minute_s, phase_s = 60 * scale, scenario["phase_s"] * scale
    if "fixed" in scenario["settings"]["quotas"]:
        time.sleep((phase_s - time.time()) % minute_s)  # lint: poll
    daemon.ctl("resume", run)


def change_in_time(sim, scenario):
    """Generator: makes the scenario's changes when they are due, counted from the first call; gives True when all are made."""
    changes, first = list(scenario["changes"]), None
    while changes:
        if first is None and sim.stats()["received"] > 0:
            first = time.monotonic()
        if first is not None and time.monotonic() >= first + changes[0]["at_s"]:
            sim.set(**changes.pop(0)["settings"])
        yield False
    while True:
        yield True


def wait_done(sim, daemon, run, scenario, seconds, each=lambda: None):
    changes = change_in_time(sim, scenario)

    def is_done():
        next(changes)
        each()
        return daemon.run(run)["state"] in ("done", "cancelled")

    harness.wait_until(is_done, seconds, lambda: f"{scenario['name']}: {json.dumps(daemon.run(run))[:1200]}")


def figures(sim, daemon, run, scenario, scale):
    """What came of it: ratio against the oracle, calls refused or lost in an outage, and what is to be held besides."""
    record = [call for call in sim.record() if call["route"] == "generateContent"]
    begin_ms = min(call["arrival_ms"] for call in record)
    first_ms = {}  # of each assignment: when it was first answered; what a second call to it is told later changes nothing
    for call in sorted((call for call in record if call["kind"] == "ok"), key=lambda call: call["end_ms"]):
        first_ms.setdefault(call["key"], call["end_ms"])
    end_ms = max(first_ms.values())
    counts = daemon.counts(run)
    well = [call["key"] for call in record if call["kind"] == "ok" and call["key"]]
    refused = [call for call in record if call["kind"] in REFUSALS]
    return {"ratio": scenario["oracle_s"] * scale * 1000 / (end_ms - begin_ms), "makespan_s": (end_ms - begin_ms) / 1000 / scale, "refused": len(refused), "calls": len(record),
            "charged": daemon.run(run)["retries"]["spent"], "failed": counts["failed"], "succeeded": counts["succeeded"], "twice": len(well) - len(set(well)),
            "record": record}
