"""scripts/quickstart and scripts/rehearse, as a new user runs them; only the building is left out."""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import harness

ROOT = harness.ROOT


def quickstart(folder, *arguments, **environment):
    return subprocess.run([str(ROOT / "scripts" / "quickstart"), *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=240 * harness.SLOWNESS, stdin=subprocess.DEVNULL,
                          env={**os.environ, "QUICKSTART_BUILD": str(harness.BUILD), "QUICKSTART_DIR": str(folder), **environment})


def processes_of(folder):
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


def test_quickstart_survives_its_own_kill_and_removes_itself(tmp_path):
    folder = tmp_path / "q"
    loans, agents = harness.make_loans(150), harness.make_agents(8, 25)
    files = harness.write_csv(tmp_path / "loans.csv", loans), harness.write_csv(tmp_path / "agents.csv", agents)
    faults = "--latency_ms 300 --error_500 0.02 --error_503 0.02 --malformed 0.02 --unknown_agent 0.02"
    ran = quickstart(folder, *files, QUICKSTART_SIM_ARGS=faults, QUICKSTART_KILL_AT="0.3")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.findall(r"^(\d)/4 (\S+)", ran.stdout, re.M) == [("1", "built"), ("2", "enqueued"), ("3", "killed"), ("4", "done")], ran.stdout
    assert "150 of 150 allocated" in ran.stdout, ran.stdout
    results = [json.loads(line) for line in (folder / "results.ndjson").read_text().splitlines()]
    harness.check_allocation(results, [loan["lan"] for loan in loans], agents)
    assert (folder / "results.csv").read_text().count("\n") >= 151 and (folder / "results.xlsx").stat().st_size > 0

    # What it says to type next works as it stands.
    for command in re.findall(r"^\s*(?:Next)?\s+(\S*gallocctl (?:status|show|attempts) .*)$", ran.stdout, re.M):
        typed = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, cwd=os.getcwd())
        assert typed.returncode == 0, f"{command}\n{typed.stdout}{typed.stderr}"

    assert processes_of(folder)
    stopped = quickstart(folder, "--stop")
    assert stopped.returncode == 0 and not folder.exists() and not processes_of(folder), stopped.stdout + stopped.stderr


def test_quickstart_that_fails_leaves_nothing_running(tmp_path):
    folder = tmp_path / "q"
    (tmp_path / "empty.csv").write_text("")
    agents = harness.write_csv(tmp_path / "agents.csv", harness.make_agents(2, 5))
    ran = quickstart(folder, tmp_path / "empty.csv", agents)
    assert ran.returncode == 7, ran.stdout + ran.stderr
    assert not processes_of(folder)
    assert sorted(path.suffix or path.name for path in folder.iterdir()) == [".log", ".log", ".made-by-quickstart"]


def test_quickstart_without_a_retry_starts_again_and_keeps_its_results(tmp_path):
    """Nothing went wrong and nothing was tried twice; then a reboot; then another file."""
    folder, loans, agents = tmp_path / "q", tmp_path / "loans.csv", tmp_path / "agents.csv"
    loans.write_text("Loan no,region\n" + "".join(f"N{number},north\n" for number in range(20)) + "ragged\n", encoding="utf-8")
    agents.write_text("agent_id,region,capacity\nA1,north,30\n", encoding="utf-8")
    quiet = {"QUICKSTART_SIM_ARGS": "--latency_ms 20", "QUICKSTART_KILL_AT": "0"}
    wanted = quickstart(folder, loans, agents, **quiet)
    assert wanted.returncode == 7 and "-- --key COLUMN" in wanted.stderr
    ran = quickstart(folder, loans, agents, "--", "--key", "loan no", **quiet)
    assert ran.returncode == 0 and "20 of 20 allocated" in ran.stdout and "rejects.csv" in ran.stderr, ran.stderr
    for name in ("gallocd", "gallocsim"):
        os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGKILL)
    started = quickstart(folder, "--start", **quiet)
    assert started.returncode == 0 and "ready" in started.stdout and "done" in started.stdout, started.stderr
    again = quickstart(folder, loans, agents, "--", "--key", "loan no", "--first", "3", **quiet)
    assert again.returncode == 0 and "former" in again.stderr
    assert len((folder / "former" / "results.csv").read_text().splitlines()) == 21
    assert quickstart(folder, "--stop").returncode == 0 and not folder.exists()
    assert quickstart(folder, "--start").returncode != 0


def test_quickstart_touches_a_former_one_only_for_good_input_and_when_nothing_else_is_there(tmp_path):
    """A refused file, a run of the user's own, an open one: each time what there is goes on, and all of it is there."""
    folder, loans, agents = tmp_path / "q", tmp_path / "loans.csv", tmp_path / "agents.csv"
    loans.write_text("lan,region\n" + "".join(f"N{number},north\n" for number in range(9)), encoding="utf-8")
    agents.write_text("agent_id,region,capacity\nA1,north,30\n", encoding="utf-8")
    (tmp_path / "keyless.csv").write_text("Loan no,region\nX1,north\n", encoding="utf-8")
    quiet = {"QUICKSTART_SIM_ARGS": "--latency_ms 20", "QUICKSTART_KILL_AT": "0"}
    for _ in range(2):  # the second leaves the first one's results in former/
        assert quickstart(folder, loans, agents, **quiet).returncode == 0
    daemon = (folder / "gallocd.pid").read_text()

    for arguments in (tmp_path / "keyless.csv", agents), (loans, agents, "--", "--key", "lam"):
        refused = quickstart(folder, *arguments, **quiet)
        assert refused.returncode == 7 and "is as it was" in refused.stderr, refused.stderr
        assert (folder / "gallocd.pid").read_text() == daemon and (folder / "results.csv").exists()
        assert len((folder / "former" / "results.csv").read_text().splitlines()) == 10

    added = subprocess.run([folder / "gallocctl", "-q", "enqueue", loans, "--agents", agents, "--again", "--wait"], capture_output=True, text=True, check=True)
    refused = quickstart(folder, loans, agents, **quiet)
    assert refused.returncode == 6 and added.stdout.strip() in refused.stderr and "--stop" in refused.stderr, refused.stderr
    assert subprocess.run([folder / "gallocctl", "-q", "results", added.stdout.strip()], check=False, capture_output=True).returncode == 0

    subprocess.run([folder / "gallocctl", "-q", "-y", "purge", added.stdout.strip()], check=True)
    assert quickstart(folder, loans, agents, **quiet).returncode == 0  # nothing else is there any more
    assert len((folder / "former" / "results.csv").read_text().splitlines()) == 10
    assert quickstart(folder, "--stop").returncode == 0


def test_quickstart_keeps_former_results_when_it_fails(tmp_path):
    folder = tmp_path / "q"
    (folder / "former").mkdir(parents=True)
    (folder / "former" / "results.csv").write_text("key\n")
    (folder / ".made-by-quickstart").write_text(str(harness.BUILD))
    (tmp_path / "empty.csv").write_text("")
    agents = harness.write_csv(tmp_path / "agents.csv", harness.make_agents(2, 5))
    assert quickstart(folder, tmp_path / "empty.csv", agents).returncode == 7
    assert (folder / "former" / "results.csv").read_text() == "key\n"


def test_mail_without_a_mail_transfer_agent_is_one_line():
    ran = subprocess.run([ROOT / "examples" / "notify" / "mail.py", "a@b.c"], input='{"text": "done", "on": "done"}', capture_output=True, text=True,
                         check=False, env={**os.environ, "SENDMAIL": "/nowhere/sendmail"})
    assert ran.returncode == 1 and ran.stderr.startswith("mail.py: /nowhere/sendmail: No such file") and ran.stderr.count("\n") == 1, ran.stderr


def test_quickstart_says_what_is_wrong_with_the_command(tmp_path):
    one = quickstart(tmp_path / "q", tmp_path / "loans.csv")
    assert one.returncode == 2 and "two files" in one.stderr.splitlines()[0]
    unknown = quickstart(tmp_path / "q", "--reel")
    assert unknown.returncode == 2 and "--reel" in unknown.stderr.splitlines()[0]


def test_quickstart_leaves_a_folder_alone_that_is_not_its_own(tmp_path):
    (tmp_path / "precious").write_text("x")
    assert quickstart(tmp_path, "--stop").returncode == 1
    assert quickstart(tmp_path).returncode != 0
    assert (tmp_path / "precious").read_text() == "x"


def test_quickstart_real_wants_a_key(tmp_path):
    ran = quickstart(tmp_path / "q", "--real", GEMINI_API_KEY="")
    assert ran.returncode == 2 and "GEMINI_API_KEY" in ran.stderr


def test_rehearse_runs_its_five_lines(tmp_path):
    ran = subprocess.run([str(ROOT / "scripts" / "rehearse")], capture_output=True, text=True, check=False, timeout=300 * harness.SLOWNESS,
                         stdin=subprocess.DEVNULL, env={**os.environ, "QUICKSTART_BUILD": str(harness.BUILD), "TMPDIR": str(tmp_path)})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(re.findall(r"^ok ", ran.stdout, re.M)) == 5, ran.stdout
    assert not list(tmp_path.iterdir())
