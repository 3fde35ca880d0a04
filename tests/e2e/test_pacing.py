"""The pacer against servers that it knows nothing of, a tenth of their time: what is refused, what is charged, and that every assignment ends once. How fast it is, is
held in virtual time (tests/sim/pacing) and measured by bench/pacing: a machine under load must not fail a test."""
import pacing_run
import pytest

SCALE, REFUSED_FACTOR = 0.1, 3  # of what the scenario allows over more assignments: jitter is ten times as large here
ITEMS = {"P1": 600, "P4": 800, "P11": 800}
OUTAGE_S = 10.0


@pytest.mark.parametrize("name", ITEMS)
def test_a_quota_that_nobody_told_of(name):
    [scenario] = [found for found in pacing_run.scenarios([name], round(100 * SCALE)) if found["name"] == name]
    if name == "P11":
        begin, end = scenario["changes"]
        end["at_s"] = begin["at_s"] + OUTAGE_S
    sim, daemon = pacing_run.begin(scenario, SCALE)
    try:
        run = pacing_run.enqueue(daemon, scenario, ITEMS[name])
        pacing_run.start_at_phase(daemon, run, scenario, SCALE)
        pacing_run.wait_done(sim, daemon, run, scenario, 180)
        found = pacing_run.figures(sim, daemon, run, scenario, SCALE)
    finally:
        daemon.remove()
        sim.stop()
    assert (found["succeeded"], found["failed"], found["twice"]) == (ITEMS[name], 0, 0)
    assert found["charged"] == 0, "neither a refusal nor an outage spends an assignment's retries"
    assert 0 < found["refused"] <= REFUSED_FACTOR * scenario["refused"], f"{found['refused']} of {found['calls']} calls were refused"
