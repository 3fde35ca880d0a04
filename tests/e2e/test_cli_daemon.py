"""gallocctl and gallocd together: an import through kills of the daemon, a watch through one, every decision out again."""
import csv
import json
import signal
import subprocess

import harness
from harness import check_allocation, make_agents, make_loans, wait_until, write_csv


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
