"""Two runs on the same keys: every figure is worked out a second time by compare_check.py, and what cannot be compared is refused with a reason."""
import csv
import io
import json

import pytest

import compare_check
from harness import Daemon, Sim, make_loans, wait_until, write_csv

PRICE = 'price "gemini-3.8-flash" { from = "2026-01-01"  currency = "USD"  in = 0.75  cached_in = 0.075  out = 3.75 }'


@pytest.fixture(name="bed")
def make_bed():
    sim = Sim("--latency_ms", "2")
    daemon = Daemon(sim.url, sections=PRICE).start()
    yield daemon, sim
    daemon.remove()
    sim.stop()


def agents_of(capacities, loads=None):
    """The agents as compare_check wants them. A capacity of "" is no limit."""
    return [{"agent_id": f"AG-{number:03}", "capacity": None if capacity == "" else int(capacity), "load": (loads or {}).get(number, 0), "available": True}
            for number, capacity in enumerate(capacities)]


def write_agents(path, agents):
    rows = [{"agent_id": agent["agent_id"], "region": ("north", "south", "east", "west")[number % 4], "speciality": "recovery" if number % 2 else "servicing",
             "capacity": "" if agent["capacity"] is None else agent["capacity"], "load": agent["load"], "available": "yes" if agent["available"] else "no"}
            for number, agent in enumerate(agents)]
    return write_csv(path, rows)


def enqueue(daemon, loans, agents, *options):
    run = daemon.ctl("-q", "enqueue", write_csv(daemon.folder / "loans.csv", loans), "--agents", agents, "--again", *options).stdout.strip()
    daemon.wait_done(run)
    return run


def compare(daemon, a, b, query=""):
    answer = daemon.api("GET", f"/v1/compare?a={a}&b={b}{query}")
    assert answer.status == 200, answer
    return answer.json


def check(daemon, a, b, agents, truth=None):
    """The whole object against the second reckoning; returns it."""
    found = compare(daemon, a, b, f"&truth={truth[0]}" if truth else "")
    wanted = compare_check.comparison(daemon.run(a), daemon.run(b), daemon.results(a), daemon.results(b), agents, truth)
    for name in ("a", "b"):  # what no result row has
        assert found[name]["calls"] >= sum(row["state"] == "succeeded" for row in daemon.results(found[name]["id"]))
    bare = {**found, "a": {**found["a"]}, "b": {**found["b"]}}
    del bare["notes"], bare["a"]["calls"], bare["b"]["calls"]
    assert not compare_check.differences(bare, wanted)
    return found


def test_every_figure(bed):
    """Starting loads, an agent without capacity, one without a limit, one who is away; too few places on one side; answers that are not valid; a column
    with the right agent that is empty at times and names nobody at others."""
    daemon, sim = bed
    agents = agents_of(["6", "9", "14", "0", "40", "", "12", "7"], {1: 3, 6: 12})
    agents[7]["available"] = False
    path = write_agents(daemon.folder / "agents.csv", agents)
    loans = make_loans(90)
    for number, loan in enumerate(loans):
        loan["officer"] = "" if number % 9 == 0 else "AG-999" if number % 11 == 0 else f" AG-{number % 6:03} "
    right = {loan["lan"]: loan["officer"].strip() for loan in loans}
    a = enqueue(daemon, loans, path, "--profile", "sequential", "--name", "one", "--keep-back", "officer")
    sim.set(unknown_agent=0.2)
    b = enqueue(daemon, loans[10:] + [{**loan, "lan": loan["lan"] + "x"} for loan in loans[:4]], path, "--keep-back", "officer")
    found = check(daemon, a, b, agents, ("officer", right, False))
    assert found["keys"]["only_a"] == 10 and found["keys"]["only_b"] == 4
    assert 0 < found["agreement"]["share"] < 1 and found["b"]["invalid_answers"] > 0
    assert found["truth"]["unknown"] > 0 and found["truth"]["unknown_example"] == "AG-999"
    assert {note["code"] for note in found["notes"]} == {"lone_keys", "truth_unknown"}
    check(daemon, b, a, agents)


def test_places_run_out(bed):
    """Failures on one side alone, and the other way round; the rows that differ are those, in order, with their reasons."""
    daemon, _ = bed
    agents = agents_of(["5"] * 8)
    few, many = write_agents(daemon.folder / "few.csv", agents_of(["5"] * 8, {0: 5, 1: 5})), write_agents(daemon.folder / "many.csv", agents)
    loans = make_loans(40)
    a, b = enqueue(daemon, loans, many), enqueue(daemon, loans, few)
    found = compare(daemon, a, b)
    assert found["keys"]["allocated_a"] == 10 and found["b"]["failures"] == {"no_capacity": 10} and found["b"]["balance"]["full"] == 8
    rows = daemon.api("GET", f"/v1/compare?a={a}&b={b}&only=diff").lines
    left, right = {row["key"]: row for row in daemon.results(a)}, {row["key"]: row for row in daemon.results(b)}
    assert [row["key"] for row in rows] == [key for key in left if left[key]["agent_id"] != right[key]["agent_id"]]
    for row in rows:
        assert (row["agent_a"], row["agent_b"]) == (left[row["key"]]["agent_id"], right[row["key"]]["agent_id"])
        assert row["reason_a"] == left[row["key"]]["reason"] and row["state_b"] == right[row["key"]]["state"]
        assert row["reason_b"] == (right[row["key"]]["reason"] or right[row["key"]]["error"]["message"]) or row["state_b"] == "failed"
    table = list(csv.DictReader(io.StringIO(daemon.ctl("compare", a, b, "--only", "diff", "--format", "csv").stdout)))
    assert [row["key"] for row in table] == [row["key"] for row in rows] and table[0]["agent_a"] == rows[0]["agent_a"]
    assert json.loads(daemon.ctl("compare", a, b, "--only", "diff", "--format", "json").stdout) == rows


def test_alike(bed):
    """The same runs: no move, and of one agent alone nothing can be said beyond chance."""
    daemon, _ = bed
    agents = agents_of([""])
    path = write_agents(daemon.folder / "agents.csv", agents)
    a, b = (enqueue(daemon, make_loans(20), path) for _ in range(2))
    found = check(daemon, a, b, agents)
    assert found["agreement"]["share"] == 1 and found["agreement"]["kappa"] is None and found["moves"]["items"] == []
    assert daemon.api("GET", f"/v1/compare?a={a}&b={b}&only=diff").body == ""
    text = daemon.ctl("compare", a, b)
    assert "100.0 % of 20" in text.stdout and "cannot be told" in text.stdout and "no key differs" in daemon.ctl("compare", a, b, "--only", "diff").stderr


def test_table(bed):
    """The table for people, in a narrow and a wide terminal, with more under --stats; CSV has the same figures."""
    daemon, _ = bed
    agents = agents_of(["9"] * 12)
    path = write_agents(daemon.folder / "agents.csv", agents)
    loans = [{**loan, "officer": "AG-003"} for loan in make_loans(60)]
    a, b = enqueue(daemon, loans, path, "--profile", "sequential"), enqueue(daemon, loans[:50], path)
    text = daemon.ctl("compare", a, b, "--truth", "officer")
    found = compare(daemon, a, b, "&truth=officer")
    assert f"A {a} and B {b}: 50 keys in both" in text.stdout
    assert f"{100 * found['agreement']['share']:.1f} % of 50 that both allocated" in text.stdout and "McNemar" in text.stdout or "no test" in text.stdout
    for word in ("sequential", "adaptive", "Gini of loads", "capacity left", "cost", "USD"):
        assert word in text.stdout, word
    assert "10 keys in" in text.stderr and "was sent to the model" in text.stderr
    more = daemon.ctl("compare", a, b, "--stats").stdout
    assert "Wilson" in more and "without a limit" in more and len(more) > len(text.stdout)
    rows = {row["figure"]: row for row in csv.DictReader(io.StringIO(daemon.ctl("compare", a, b, "--format", "csv").stdout))}
    assert float(rows["agreement.share"]["both"]) == found["agreement"]["share"]
    assert float(rows["balance.gini"]["a"]) == found["a"]["balance"]["gini"] and rows["id"] == {"figure": "id", "both": "", "a": a, "b": b}
    whole = json.loads(daemon.ctl("compare", a, b, "--json").stdout)
    assert whole["agreement"] == found["agreement"]


def test_refused(bed):
    daemon, _ = bed
    path = write_agents(daemon.folder / "agents.csv", agents_of(["50"] * 4))
    other = write_csv(daemon.folder / "other.csv", [{"agent_id": "X-1", "region": "north", "capacity": "99"}])
    loans = make_loans(12)
    a, b = enqueue(daemon, loans, path), enqueue(daemon, [{**loan, "lan": "Z" + loan["lan"]} for loan in loans], path)
    c = enqueue(daemon, loans, other)
    created = daemon.api("POST", "/v1/runs", {"agents": [{"agent_id": "AG-000"}], "name": "half"}).json["id"]

    def refusal(*words, status=None):
        ran = daemon.ctl("compare", *words, check=False)
        assert status is None or ran.returncode == status, ran
        return ran.stderr

    assert "are both run" in refusal(a, a, status=2)
    assert "no key in common (12 and 12 keys)" in refusal(a, b, status=7)
    assert "no agent in common" in refusal(a, c, status=7)
    assert "still importing" in refusal(a, created, status=6) and "still importing" in refusal(created, a, status=6)
    assert "there is no run" in refusal(a, "r-NOSUCH", status=4)
    assert 'did you mean "outstanding"' in refusal(a, c, "--truth", "outstandig", status=7)
    assert "no column" in refusal(a, c, "--truth", "outstandig", "--only", "diff", status=7)
    assert daemon.api("GET", f"/v1/compare?a={a}").status == 400
    assert daemon.api("GET", f"/v1/compare?a={a}&b={b}&only=same").status == 400
    assert daemon.api("GET", f"/v1/compare?a={a}&b={b}&format=csv").status == 400
    assert daemon.api("GET", f"/v1/compare?a={a}&b={b}&truth=").status == 400
    daemon.ctl("purge", c, "-y")
    assert "there is no run" in refusal(a, c, status=4)


def test_going_on(bed):
    """A run that is not done can be compared, and that is said."""
    daemon, _ = bed
    agents = agents_of(["50"] * 4)
    path = write_agents(daemon.folder / "agents.csv", agents)
    loans = make_loans(12)
    a = enqueue(daemon, loans, path)
    b = daemon.ctl("-q", "enqueue", write_csv(daemon.folder / "more.csv", loans), "--agents", path, "--again", "--paused").stdout.strip()
    found = compare(daemon, a, b)
    assert found["is_going"] and found["keys"]["allocated_a"] == 12 and found["agreement"]["share"] is None and found["b"]["common"]["pending"] == 12
    assert [note["code"] for note in found["notes"]] == ["going"]
    assert "nothing was allocated by both yet" in daemon.ctl("compare", a, b).stdout


def test_shared_pool(bed):
    """Two runs on one standing pool share its places: their loads are those of the common keys, and that is said."""
    daemon, _ = bed
    path = write_agents(daemon.folder / "agents.csv", agents_of(["50"] * 4))
    daemon.ctl("pool", "import", "north", path)
    loans = write_csv(daemon.folder / "loans.csv", make_loans(12))
    runs = [daemon.ctl("-q", "enqueue", loans, "--pool", "north", "--again", "--profile", profile).stdout.strip() for profile in ("sequential", "adaptive")]
    for run in runs:
        daemon.wait_done(run)
    found = compare(daemon, *runs)
    assert found["a"]["balance"]["is_shared"] and found["a"]["balance"]["load"] == 12 and found["a"]["balance"]["capacity_left"] is None
    assert {note["code"] for note in found["notes"]} == {"shared_pool"}


def test_hostile_text(bed):
    """What a worker says in his reasons, and what a key or an agent is called, comes out as data and acts on no terminal or spreadsheet."""
    daemon, _ = bed
    agents = [{"agent_id": 'a"b,c'}, {"agent_id": "=1+1"}]
    keys = ['k"1', "k,2", "=cmd()", "ключ"]
    runs = []
    for turn in range(2):
        run = daemon.create([(key, {"n": "1"}) for key in keys], agents, endpoint="workers", options={"again": True})
        lease = wait_until(lambda run=run: (got := daemon.api("POST", "/v1/leases", {"worker": "w", "run": run, "max": 10})).status == 200 and got.json)
        results = [{"key": key, "agent_id": agents[(number + turn) % 2]["agent_id"], "reason": f"=HYPERLINK(\"x\")\u001b[31m,\r\n\u202e{key}", "confidence": 0.5}
                   for number, key in enumerate(keys)]
        told = daemon.api("POST", f"/v1/leases/{lease['lease']}/results", {"results": results})
        assert {item["verdict"] for item in told.json["items"]} == {"succeeded"}, told
        daemon.wait_done(run)
        runs.append(run)
    found = compare(daemon, *runs)
    assert found["agreement"]["same"] == 0 and found["a"]["decided_by"]["worker"] == 4 and found["a"]["latency_ms"]["mean"] is None
    assert sorted(move["from"] for move in found["moves"]["items"]) == ["=1+1", 'a"b,c']
    rows = list(csv.DictReader(io.StringIO(daemon.ctl("compare", *runs, "--only", "diff", "--format", "csv").stdout, newline="")))
    assert [row["key"] for row in rows] == keys and all(row["reason_a"].startswith("'=HYPERLINK") for row in rows)
    lines = daemon.ctl("compare", *runs, "--only", "diff", "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line)["key"] for line in lines] == keys
    table = daemon.ctl("compare", *runs, "--only", "diff").stdout + daemon.ctl("compare", *runs).stdout
    assert "\x1b" not in table and "\u202e" not in table
