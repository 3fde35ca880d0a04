"""R24: a run with a budget, 64 calls in flight, and kills in between: what the stand-in has answered never costs more than max_cost."""
import json

from bench import Bench
from harness import wait_until

# A micro a token in, two a token out: the stand-in's counts are money without rounding.
PRICE = 'price "gemini-3.8-flash" { currency = "USD"  in = 1  cached_in = 1  out = 2 }\n'
ENDPOINT = "max_in_flight = 64\n  max_output_tokens = 64"
ROWS, KILLS = 3000, 3
FIRST_MICROS, MORE_MICROS = 400_000, 200_000


def answered_micros(sim):
    stats = sim.stats()
    return stats["tokens_in"] + 2 * (stats["tokens_out"] + stats["tokens_thought"])


def enqueue(bench, daemon):
    """Through the API alone: the history of other harnesses has no words for money."""
    created = daemon.api("POST", "/v1/runs", {"agents": [{"agent_id": f"A{n}"} for n in range(4)], "options": {"max_cost": f"{FIRST_MICROS / 1e6:.6f}"}})
    assert created.status == 201, created
    run = created.json["id"]
    rows = "".join(json.dumps({"key": f"K{n}", "fields": {"text": "x" * bench.dice.randrange(40, 800)}, "row": n}) + "\n" for n in range(1, ROWS + 1))
    assert daemon.api("PUT", f"/v1/runs/{run}/parts/1", rows, content_type="application/x-ndjson").status == 200
    assert daemon.api("POST", f"/v1/runs/{run}/commit", {"parts": 1}).status == 200
    return run


def check_spent(bench, most_micros, when):
    spent = answered_micros(bench.sim)
    if spent > most_micros:
        bench.violation("broken", f"{when}: the stand-in answered for {spent} micros, and max_cost is {most_micros}")
    return bench.report.verdict.is_clean


def is_at_rest(daemon, run):
    found = daemon.run(run)
    return found if found["reason"] == "budget" or found["state"] == "done" else None


def check_pause(bench, found, most_micros):
    """It pauses when one more call does not fit, and not before."""
    cost = found["cost"]
    if cost["micros"] + cost["reserved_micros"] > most_micros:
        bench.violation("broken", f"{cost} is more than {most_micros}")
    if found["reason"] == "budget" and cost["micros"] + cost["reserved_micros"] < most_micros - 10_000:
        bench.violation("broken", f"it paused with {cost} of {most_micros}")


def spend(bench, daemon, run, most_micros, kills):
    """To the pause, killed meanwhile."""
    for _ in range(kills):
        bench.dice_rest(0.25)
        check_spent(bench, most_micros, "in flight")
        daemon.kill()
        daemon.start()
    found = wait_until(lambda: not check_spent(bench, most_micros, "in flight") or is_at_rest(daemon, run), 120, lambda: f"the run pauses or ends: {daemon.run(run)}")
    wait_until(lambda: bench.sim.stats()["in_flight"] == 0, 30, "the stand-in is quiet")
    if check_spent(bench, most_micros, "at rest") and found is not True:
        check_pause(bench, found, most_micros)


def run(options):
    with Bench(options, "R24", "budget", sim=("--latency_ms", 40, "--latency_sigma", 0.5, "--malformed", 0.05, "--max_tokens", 0.05, "--continuation", 0.05)) as bench:
        spent = 0
        for _ in range(options.rounds):
            daemon = bench.new_store(endpoint=ENDPOINT, settings=PRICE)
            daemon.start()
            name = enqueue(bench, daemon)
            spend(bench, daemon, name, FIRST_MICROS, KILLS)
            if bench.report.verdict.is_clean:
                daemon.api("PATCH", f"/v1/runs/{name}", {"max_cost": f"{(FIRST_MICROS + MORE_MICROS) / 1e6:.6f}"})
                spend(bench, daemon, name, FIRST_MICROS + MORE_MICROS, 1)
            spent += answered_micros(bench.sim)
            bench.report.rounds += 1
            if bench.report.verdict.is_clean and daemon.ctl("doctor", "--full", check=False).returncode != 0:
                bench.violation("broken", "the doctor finds something")
            daemon.stop()
            if not bench.report.verdict.is_clean:
                break
        return bench.done(micros=spent)
