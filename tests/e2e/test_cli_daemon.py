"""gallocctl and gallocd together: an import through kills of the daemon, a watch through one, every decision out again."""
import csv
import json
import re
import signal
import subprocess
import zipfile

import harness
from harness import REGIONS, check_allocation, make_agents, make_loans, wait_until, write_csv


def start(daemon, *arguments):
    return subprocess.Popen([harness.program("gallocctl"), "-S", daemon.socket, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def wide(path, count):
    return write_csv(path, [{"lan": f"L{number:07}", "text": "x" * 200} for number in range(count)])


def parts(daemon):
    """Parts that stand of the run created last; 0 while there is no run."""
    answer = daemon.api("GET", "/v1/runs/@last/parts?limit=1000")
    return len(answer.json["items"]) if answer.status == 200 else 0


def test_an_import_through_kills(daemon, tmp_path):
    agents = write_csv(tmp_path / "agents.csv", make_agents(2, 100000))
    client = start(daemon, "enqueue", wide(tmp_path / "in.csv", 60000), "--agents", agents, "--paused")
    for goal in (2, 5, 8):
        wait_until(lambda: client.poll() is not None or parts(daemon) >= goal, 60, "parts arrive")
        daemon.kill()
        daemon.start()
    out, err = client.communicate(timeout=120 * harness.SLOWNESS)
    assert client.returncode == 0, err
    assert "accepted  60,000" in out and "rejected  0" in out and "repeated  0" in out
    assert daemon.counts()["total"] == 60000
    rows = daemon.results(state="pending")
    assert [row["key"] for row in rows] == [f"L{number:07}" for number in range(60000)]


def test_an_interrupted_import_goes_on(daemon, tmp_path):
    agents = write_csv(tmp_path / "agents.csv", make_agents(2, 100000))
    path = wide(tmp_path / "in.csv", 60000)
    client = start(daemon, "enqueue", path, "--agents", agents, "--paused")
    wait_until(lambda: client.poll() is not None or parts(daemon) >= 3, 60, "parts arrive")
    client.send_signal(signal.SIGINT)
    _, err = client.communicate(timeout=30)
    assert client.returncode == -signal.SIGINT and "the same command goes on" in err, err
    assert daemon.run()["started_at"] is None
    ran = daemon.ctl("enqueue", path, "--agents", agents, "--paused")
    assert "parts stand" in ran.stderr and "accepted  60,000" in ran.stdout
    assert daemon.counts()["total"] == 60000
    again = daemon.ctl("enqueue", path, "--agents", agents, "--paused", check=False)
    assert again.returncode == 6 and "--again" in again.stderr


def test_a_watch_through_a_kill(make_daemon, make_sim, tmp_path):
    sim = make_sim("--latency_ms", "100")
    daemon = make_daemon(sim.url, endpoint="  max_in_flight = 8").start()
    loans, agents = make_loans(150), make_agents(8, 30)
    daemon.ctl("enqueue", write_csv(tmp_path / "in.csv", loans), "--agents", write_csv(tmp_path / "agents.csv", agents))
    client = start(daemon, "wait", "@last")
    wait_until(lambda: daemon.counts()["succeeded"] >= 20, 60, "some are settled")
    daemon.kill()
    daemon.start()
    out, err = client.communicate(timeout=120 * harness.SLOWNESS)
    assert client.returncode == 0, (out, err)
    assert "waiting for it" in err and "150 allocated" in err
    target = tmp_path / "out.csv"
    daemon.ctl("results", "@last", "-o", target)
    with open(target, encoding="utf-8", newline="") as file:
        check_allocation([{**row, "error": None} for row in csv.DictReader(file)], [loan["lan"] for loan in loans], agents)
    daemon.ctl("results", "@last", "-o", tmp_path / "out.json")
    assert len(json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))) == 150
    daemon.ctl("results", "@last", "-o", tmp_path / "out.xlsx")
    assert (tmp_path / "out.xlsx").read_bytes().startswith(b"PK")


def test_a_wrong_key_is_told_and_put_right(make_daemon, make_sim, tmp_path):
    sim = make_sim("--api_key", harness.KEY)
    daemon = make_daemon(sim.url)
    daemon.set_key("AQ.a-key-that-is-wrong")
    daemon.start()
    agents = write_csv(tmp_path / "agents.csv", make_agents(4, 30))
    ran = daemon.ctl("enqueue", write_csv(tmp_path / "in.csv", make_loans(20)), "--agents", agents, "--wait", check=False)
    assert ran.returncode == 9 and "credentials" in ran.stderr and "endpoint resume" in ran.stderr, ran.stderr
    status = daemon.ctl("status", "@last").stdout
    assert "credentials" in status
    for shown in (daemon.ctl("status").stdout, daemon.ctl("endpoint", "show", "gemini").stdout):
        assert shown.count("gallocctl endpoint resume gemini") == 1, shown  # why and what to do: said once
    daemon.set_key(harness.KEY)
    daemon.ctl("endpoint", "resume", "gemini")
    assert daemon.ctl("wait", "@last").returncode == 0
    assert daemon.counts()["succeeded"] == 20 and daemon.counts()["failed"] == 0


# ---- what a newcomer asks ----

def test_too_few_places_are_told_before_and_after(daemon, tmp_path):
    agents, loans = write_csv(tmp_path / "agents.csv", make_agents(2, 3)), write_csv(tmp_path / "in.csv", make_loans(10))
    looked = daemon.ctl("check", loans, "--agents", agents)
    assert "calls      6" in looked.stdout and "4 would fail with no_capacity" in looked.stderr
    assert "sent       lan (the key), " in looked.stdout
    ran = daemon.ctl("enqueue", loans, "--agents", agents)
    assert "6 are free: 4 assignments will fail with no_capacity" in ran.stdout
    daemon.wait_done()
    told = daemon.ctl("failures")
    assert "--error no_capacity" in told.stdout and "first make room: gallocctl pool set" in told.stderr
    written = daemon.ctl("results", "@last", "-o", tmp_path / "out.csv")
    assert f"of run {daemon.run()['id']}: 10 of its assignments have ended" in written.stderr
    failed = daemon.ctl("results", "@last", "--state", "failed,cancelled", "-o", str(tmp_path / "failed.csv"))
    assert f": {daemon.counts(daemon.run()['id'])['failed']} assignments, failed or cancelled\n" in failed.stderr
    shown = daemon.ctl("status", "@last").stdout
    assert "ended " in shown and ", after " in shown and "in all" not in shown


def test_match_by_an_attribute_that_no_agent_has(daemon, tmp_path):
    agents, loans = write_csv(tmp_path / "agents.csv", make_agents(2, 3)), write_csv(tmp_path / "in.csv", make_loans(3))
    daemon.ctl("pool", "import", "north", agents)
    for command in ("check", "enqueue"):
        for where in (("--agents", agents), ("--pool", "north")):
            ran = daemon.ctl(command, loans, *where, "--match", "region=regoin", check=False)
            assert ran.returncode == 7 and 'no agent' in ran.stderr and 'did you mean "region"?' in ran.stderr, ran.stderr
    assert daemon.api("GET", "/v1/runs").json["items"] == []
    refused = daemon.ctl("check", loans, "--agents", agents, "--profile", "agressive", check=False)
    assert refused.returncode == 7 and 'did you mean "aggressive"?' in refused.stderr and refused.stdout == ""


def test_wrong_delimiter_is_named_as_such(daemon, tmp_path):
    agents, path = write_csv(tmp_path / "agents.csv", make_agents(2, 3)), tmp_path / "in.csv"
    path.write_text("lan;region\nL1;north\n", encoding="utf-8")
    ran = daemon.ctl("check", path, "--agents", agents, "--delimiter", ",", check=False)
    assert ran.returncode == 7 and "--delimiter" in ran.stderr
    assert daemon.ctl("check", path, "--agents", agents).returncode == 0


def test_every_command_has_an_example(daemon):
    text = daemon.ctl("help", "--all").stdout
    for each in text.split("\nusage: ")[2:]:
        name = each.split()[1]
        assert "\nExample\n  gallocctl " in each and f"gallocctl {name}" in each.split("Example")[1] or "--timeout" in each.split("Example")[1], each


def test_words_that_name_the_run_and_the_date(daemon, tmp_path):
    agents, loans = write_csv(tmp_path / "agents.csv", make_agents(2, 30)), write_csv(tmp_path / "in.csv", make_loans(3))
    assert "gallocctl enqueue" in daemon.ctl("status", "@last", check=False).stderr
    daemon.ctl("enqueue", loans, "--agents", agents, "--paused")
    told = daemon.ctl("pool", "set", "@last", "AG-001", "available=no", "until=2099-05-01")
    assert "not available until 2099-05-01" in told.stdout
    assert daemon.run()["id"] in daemon.ctl("pool", "show", "@last").stdout
    unknown = daemon.ctl("show", "@last", "nobody", check=False)
    assert unknown.returncode == 4 and "gallocctl list" in unknown.stderr
    late = daemon.ctl("--timeout", "1s", "wait", "@last", check=False)
    assert late.returncode == 8 and "paused: operator" in late.stderr
    followed = daemon.ctl("--timeout", "1s", "follow", "@last", check=False)
    assert followed.stderr.startswith(f"run {daemon.run()['id']} paused: operator"), followed.stderr


# ---- what a second look found ----

def odd_files(folder):
    """Columns that are called otherwise than the options call them."""
    return (write_csv(folder / "odd.csv", [{"Loan No": f"N{n}", "Sales Region": REGIONS[n % 2]} for n in range(4)]),
            write_csv(folder / "people.csv", [{"agent_id": f"A{n}", "Region": REGIONS[n % 2], "capacity": "9"} for n in range(2)]))


def test_columns_are_meant_without_case_blanks_and_underscores(daemon, tmp_path):
    loans, agents = odd_files(tmp_path)
    daemon.ctl("enqueue", loans, "--agents", agents, "--key", "loan_no", "--match", "sales_region=region")
    counts = daemon.wait_done()["counts"]
    assert counts["succeeded"] == 4, counts
    assert all((row["key"] in ("N0", "N2")) == (row["agent_id"] == "A0") for row in daemon.results())
    assert len(daemon.ctl("-q", "list", "@last", "--where", "SALESREGION=north").stdout.split()) == 2
    for command in (("list",), ("retry",)):
        unknown = daemon.ctl(*command, "@last", "--where", "sales_regoin=north", check=False)
        assert unknown.returncode == 2 and 'did you mean "Sales Region"?' in unknown.stderr and unknown.stdout == "", unknown
    nobody = daemon.ctl("list", "@last", "--agent", "A9", check=False)
    assert nobody.returncode == 4 and 'no agent "A9"' in nobody.stderr
    assert "no assignment of run @last is meant" in daemon.ctl("list", "@last", "--where", "sales region=mars").stderr


PRICE = 'price "gemini-3.8-flash" { currency = "USD"  in = 1  cached_in = 0.5  out = 2 }'


def test_results_tell_what_each_cost(make_daemon, sim, tmp_path):
    daemon = make_daemon(sim.url, sections=PRICE).start()
    daemon.ctl("enqueue", write_csv(tmp_path / "in.csv", make_loans(6)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(2, 9)), "--wait")
    rows = list(csv.DictReader(daemon.ctl("results", "@last").stdout.splitlines()))
    assert list(rows[0])[-2:] == ["cost_micros", "currency"], rows[0]
    assert sum(int(row["cost_micros"]) for row in rows) == daemon.run()["cost"]["micros"] > 0
    assert {row["currency"] for row in rows} == {"USD"}
    assert [str(row["cost_micros"]) for row in daemon.results()] == [row["cost_micros"] for row in rows]
    daemon.ctl("results", "@last", "-o", tmp_path / "out.xlsx")
    with zipfile.ZipFile(tmp_path / "out.xlsx") as book:
        assert f"<v>{int(rows[0]['cost_micros']) / 1e6:.16g}</v>".encode() in book.read("xl/worksheets/sheet1.xml")
    ods = daemon.ctl("results", "@last", "-o", tmp_path / "out.ods", check=False)
    assert ods.returncode == 2 and ".ods" in ods.stderr and not (tmp_path / "out.ods").exists()


def test_an_enqueue_while_it_drains_says_what_it_waits_for(daemon, tmp_path):
    told = daemon.ctl("drain", "--wait")
    assert "no new work" in told.stdout and "drained: nothing is in flight" in told.stdout
    files = write_csv(tmp_path / "in.csv", make_loans(2)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 9))
    client = start(daemon, "enqueue", *files)
    assert "gallocctl undrain" in client.stderr.readline()
    daemon.ctl("undrain")
    assert client.wait(30 * harness.SLOWNESS) == 0


def test_the_run_is_told_before_it_is_waited_for(make_daemon, make_sim, tmp_path):
    daemon = make_daemon(make_sim("--latency_ms", "60000").url).start()
    client = start(daemon, "enqueue", write_csv(tmp_path / "in.csv", make_loans(1)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 9)), "--wait")
    assert re.match(r"run r-\w+", client.stdout.readline())
    client.terminate()
    client.communicate(timeout=30 * harness.SLOWNESS)


def test_check_counts_a_key_once_and_clears_rejects_of_before(daemon, tmp_path):
    agents, path = write_csv(tmp_path / "agents.csv", make_agents(2, 9)), tmp_path / "in.csv"
    path.write_text("lan,region\nL1,north\nL1,north\n,south\nL2,north\n", encoding="utf-8")
    looked = daemon.ctl("check", path, "--agents", agents)
    assert "2 assignments; key column lan, e.g. L1; 1 row rejected; 1 repeated key" in looked.stdout and "calls      2" in looked.stdout, looked.stdout
    rejects = tmp_path / "in.csv.rejects.csv"
    assert rejects.exists()
    path.write_text("lan,region\nL1,north\n", encoding="utf-8")
    assert "is removed" in daemon.ctl("check", path, "--agents", agents).stderr and not rejects.exists()
    rejects.write_text("mine\n", encoding="utf-8")
    daemon.ctl("check", path, "--agents", agents)
    assert rejects.read_text() == "mine\n"
    path.write_text("lan,region\n", encoding="utf-8")
    assert "has a header and no rows" in daemon.ctl("check", path, "--agents", agents, check=False).stderr


def test_a_key_that_is_there_already_is_told_as_repeated(daemon, tmp_path):
    agents = write_csv(tmp_path / "agents.csv", make_agents(2, 9))
    daemon.ctl("enqueue", write_csv(tmp_path / "in.csv", make_loans(2)), "--agents", agents, "--paused")
    late = daemon.ctl("enqueue", write_csv(tmp_path / "late.csv", make_loans(3)), "--append", "@last")
    assert f'repeated {tmp_path}/late.csv:2: key "LAN0000000" is in the run already' in late.stderr and "rejected /" not in late.stderr
    assert "rejected  0 rows\n" in late.stdout and "repeated  2 keys, the first row stands; see" in late.stdout, late.stdout


def test_a_runs_own_pool_by_the_runs_name(daemon, tmp_path):
    files = write_csv(tmp_path / "in.csv", make_loans(2)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 1))
    daemon.ctl("enqueue", *files, "--name", "north")
    daemon.wait_done()
    note = daemon.ctl("retry", "north", "--error", "no_capacity")
    assert "1 assignment is pending again" in note.stdout and "no agent has a free place" in note.stderr
    daemon.wait_done()
    assert "note: 1 more held" in daemon.ctl("pool", "set", "north", "AG-000", "capacity=0").stderr
    past = daemon.ctl("pool", "set", "north", "AG-000", "capacity=5", "available=no", "until=2020-01-01")
    assert "that date is past" in past.stderr
    assert daemon.run()["id"] in daemon.ctl("pool", "show", "north").stdout


def test_the_places_of_who_is_away_are_not_free(daemon, tmp_path):
    daemon.ctl("pool", "import", "north", write_csv(tmp_path / "agents.csv", make_agents(3, 4)))
    daemon.ctl("pool", "set", "north", "AG-000", "available=no")
    daemon.ctl("pool", "set", "north", "AG-001", "available=no", "until=2020-01-01")  # is back
    daemon.ctl("enqueue", write_csv(tmp_path / "in.csv", make_loans(1)), "--pool", "north", "--paused")
    for path in ("/v1/pools/north", "/v1/runs/@last/load"):
        shown = daemon.api("GET", path).json
        free = {agent["agent_id"]: agent["free"] for agent in shown.get("agents", shown.get("items"))}
        assert free == {"AG-000": 0, "AG-001": 4, "AG-002": 4}, (path, free)
    assert daemon.api("GET", "/v1/pools/north").json["free"] == daemon.api("GET", "/v1/pools").json["items"][0]["free"] == 8


def test_what_comes_next_is_named_as_the_person_calls_it(daemon, tmp_path):
    own = {"GALLOCCTL_NAME": "demo/gallocctl", "GALLOCCTL_START": "demo/start"}
    files = write_csv(tmp_path / "in.csv", make_loans(2)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 1))
    ran = daemon.ctl("enqueue", *files, "--wait", environment=own, check=False)
    assert "next      demo/gallocctl results" in ran.stdout and "why: demo/gallocctl failures" in ran.stderr
    failures = daemon.ctl("failures", environment=own)
    assert " demo/gallocctl retry " in failures.stdout and "demo/gallocctl pool set" in failures.stderr
    daemon.kill()
    gone = daemon.ctl("status", environment=own, check=False)
    assert gone.returncode == 3 and gone.stderr.startswith("gallocctl: ") and "start it with 'demo/start'" in gone.stderr
    assert "/sbin/gallocd'" in daemon.ctl("status", check=False).stderr


def test_show_lines_up_and_says_what_is_missing(daemon, tmp_path):
    loans = [{"lan": "L1", "Näme": "a", "姓名": "b", "x" * 40: "c"}]
    daemon.ctl("enqueue", write_csv(tmp_path / "in.csv", loans), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 1)), "--endpoint", "workers")
    lines = daemon.ctl("show", "@last", "L1").stdout.splitlines()
    assert "no prompt: outside workers decide this run" in daemon.ctl("show", "@last", "L1", "--prompt").stderr
    assert daemon.ctl("discard", "@last", "--key", "L2", "--reason", "x").stdout == "no assignment of run @last is meant by that: nothing is changed\n"
    assert f"  Näme{' ' * 22} a" in lines and f"  姓名{' ' * 22} b" in lines and f"  {'x' * 40} c" in lines


def test_a_backup_tells_how_this_daemon_gets_it_back(daemon, tmp_path):
    told = daemon.ctl("backup", tmp_path / "b.db").stderr
    assert f" -c {daemon.config} --state-dir {daemon.state_dir} --restore {tmp_path}/b.db" in told, told


def test_retries_that_were_spent_are_at_most_those_allowed(make_daemon, make_sim, tmp_path):
    daemon = make_daemon(make_sim("--latency_ms", "10").url, endpoint="  time_scale = 0.01").start()
    files = write_csv(tmp_path / "in.csv", make_loans(2)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 9))
    daemon.ctl("enqueue", *files, "--endpoint", "workers", "--max-retries", "1")
    fail = """import json, sys
batch = json.load(sys.stdin)
print(json.dumps({"results": [{"key": row["key"], "error": {"code": "transient", "message": "no", "retry": True}} for row in batch["assignments"]]}))"""
    worker = start(daemon, "work", "--", "/usr/bin/python3", "-c", fail)
    daemon.wait_done()
    worker.terminate()
    worker.communicate(timeout=30 * harness.SLOWNESS)
    status = daemon.ctl("status", "@last").stdout
    assert daemon.run()["retries"]["spent"] == 2 and "2 failed" in status, status
    assert "costs       nothing: workers decide" in status, status


def test_a_key_that_others_can_read_is_told_at_reload(daemon):
    daemon.key_file.chmod(0o644)
    told = daemon.ctl("reload", check=False)
    assert told.returncode == 5 and "others can reach the key file" in told.stderr and "nothing is different" not in told.stdout, told
    assert len(daemon.api("POST", "/v1/reload").json["problems"]) == 1
    daemon.key_file.chmod(0o600)
    again = daemon.ctl("reload")
    assert "nothing is different" in again.stdout and daemon.api("POST", "/v1/reload").json["problems"] == []


def test_a_wrong_configuration_is_told_once(daemon):
    daemon.config.write_text(daemon.config.read_text() + "\nnonsense = 1\n")
    told = daemon.ctl("reload", check=False)
    assert told.returncode != 0 and told.stderr.count("nonsense") == 1, told.stderr


def test_a_name_that_another_run_has_is_told(daemon, tmp_path):
    files = write_csv(tmp_path / "in.csv", make_loans(1)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 9)), "--name", "twins"
    assert "is named" not in daemon.ctl("enqueue", *files).stderr
    assert 'an earlier run is named "twins" too' in daemon.ctl("enqueue", *files, "--again").stderr


def test_the_range_of_the_cost_holds_what_the_cache_saves(make_daemon, make_sim, tmp_path):
    """Before anything was called, and by what was seen: the true cost lies in the range that check tells."""
    daemon = make_daemon(make_sim("--latency_ms", "5", "--cache_min_tokens", "100").url, sections='price "gemini-3.8-flash" { currency = "USD"  in = 1  cached_in = 0.01  out = 0.01 }').start()
    loans, agents = write_csv(tmp_path / "in.csv", make_loans(60)), write_csv(tmp_path / "agents.csv", make_agents(30, 20))
    for words in ("the upper end is without the provider's cache", "% of the tokens in so far"):
        looked = daemon.ctl("check", loans, "--agents", agents, "--again")
        low, high = map(float, re.search(r"cost +([\d.]+) USD to ([\d.]+) USD", looked.stdout).groups())
        assert words in looked.stdout, looked.stdout
        daemon.ctl("enqueue", loans, "--agents", agents, "--again", "--wait")
        run = daemon.run()
        assert run["tokens"]["cached"] > 0 and low <= run["cost"]["micros"] / 1e6 <= high, (low, high, run)


def test_follow_ends_in_words(daemon, tmp_path):
    files = write_csv(tmp_path / "in.csv", make_loans(3)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 9))
    log = daemon.ctl("enqueue", *files, "--follow").stdout
    assert "run done: " in log and "ETA" not in log.split("run done: ")[1] and "run_" not in log, log


def test_money_that_may_have_been_lost_is_told(make_daemon, make_sim, tmp_path):
    daemon = make_daemon(make_sim("--latency_ms", "500").url, sections=PRICE).start()
    daemon.ctl("enqueue", write_csv(tmp_path / "in.csv", make_loans(8)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 9)))
    wait_until(lambda: daemon.counts()["leased"] > 0, 20, "calls are in flight")
    daemon.kill()
    daemon.start()
    daemon.wait_done()
    lost = daemon.run()["retries"]["lost"]
    assert lost > 0 and re.search(rf"costs +at least 0\.\d+ USD \({lost} calls? w\w+ lost, possibly billed\)", daemon.ctl("status", "@last").stdout)


def test_a_failing_endpoint_is_not_told_as_up(make_daemon, make_sim, tmp_path):
    daemon = make_daemon(make_sim("--latency_ms", "10", "--error_503", "1").url).start()
    daemon.ctl("enqueue", write_csv(tmp_path / "in.csv", make_loans(40)), "--agents", write_csv(tmp_path / "agents.csv", make_agents(1, 99)))
    wait_until(lambda: daemon.api("GET", "/v1/endpoints/gemini").json["pacer"]["breaker"] == "open", 30, "the breaker opens")
    for command in (("status",), ("endpoint", "list"), ("endpoint", "show", "gemini")):
        out = daemon.ctl(*command).stdout
        assert "failing" in out and "breaker" not in out, out
