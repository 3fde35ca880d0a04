"""The installed service in a booted system: without a key, with one, given work by a member of the group, killed, rebooted."""
import json

import pytest

import harness
from machine import Machine, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
LOANS, KEY = 120, "AQ.the-key-of-the-service-test"


@pytest.fixture
def machine():
    machine = Machine()
    yield machine
    machine.remove()


def prepare(machine, sim):
    machine.install()
    machine.write("/etc/galloc/gallocd.conf", f'endpoint "gemini" {{\n  base_url = "{sim.url}"\n  max_in_flight = 4\n}}\n')
    harness.write_csv(machine.root / "loans.csv", harness.make_loans(LOANS))
    harness.write_csv(machine.root / "agents.csv", harness.make_agents(8, LOANS))
    machine.boot()
    for command in (["useradd", "-m", "anna", "-G", "galloc"], ["useradd", "-m", "bob"]):
        machine.run(*command)


def state_of(machine, unit="gallocd.service"):
    return machine.run("systemctl", "show", "-p", "ActiveState", "--value", unit, check=False).stdout.strip()


def run_of(machine):
    return json.loads(machine.as_user("anna", "gallocctl", "status", "@last", "--json").stdout)


def test_service_from_first_boot_to_the_end_of_a_run_that_nobody_watches(machine, make_sim):
    sim = make_sim("--latency_ms", 700, "--api_key", KEY)
    prepare(machine, sim)

    # It starts at boot with no client and without a key, and says so.
    harness.wait_until(lambda: state_of(machine) == "active", 30, lambda: f"gallocd is {state_of(machine)}: {machine.journal()}")
    said = machine.as_user("anna", "gallocctl", "status").stdout
    assert "key" in said, said
    assert "/etc/galloc/keys" in said or "/etc/galloc/keys" in machine.journal(), said

    # Only members of the group are let in, and a stranger is told which one it is.
    stranger = machine.as_user("bob", "gallocctl", "status", check=False)
    assert stranger.returncode == 5 and "galloc" in stranger.stderr, stranger

    # Work is taken without a key, and waits; with the key and a restart it runs.
    machine.as_user("anna", "gallocctl", "enqueue", "/loans.csv", "--agents", "/agents.csv")
    assert run_of(machine)["counts"]["pending"] == LOANS and sim.stats()["ok"] == 0
    machine.write("/etc/galloc/keys/gemini", KEY + "\n", 0o600)
    machine.run("systemctl", "restart", "gallocd")
    harness.wait_until(lambda: run_of(machine)["counts"]["succeeded"] >= 10, 60, lambda: f"{run_of(machine)}\n{machine.journal()}")

    # It is killed, and comes back by itself.
    machine.run("systemctl", "kill", "-s", "KILL", "gallocd")
    harness.wait_until(lambda: state_of(machine) == "active" and machine.as_user("anna", "gallocctl", "health", check=False).returncode == 0,
                       30, machine.journal)
    before_reboot = run_of(machine)["counts"]
    assert before_reboot["total"] == LOANS and before_reboot["succeeded"] < LOANS

    # The machine is rebooted, and the run ends with no client connected.
    machine.reboot()
    harness.wait_until(lambda: sim.stats()["keys"] == LOANS and sim.stats()["in_flight"] == 0, 120, lambda: f"{sim.stats()}\n{machine.journal()}")
    harness.wait_until(lambda: run_of(machine)["state"] == "done", 20, lambda: str(run_of(machine)))
    assert run_of(machine)["counts"]["succeeded"] == LOANS
    results = [json.loads(line) for line in machine.as_user("anna", "gallocctl", "results", "@last", "--format", "ndjson").stdout.splitlines()]
    harness.check_allocation(results, [loan["lan"] for loan in harness.make_loans(LOANS)], harness.make_agents(8, LOANS))

    # The sandbox is closed, the key is nobody else's, and reload and stop work under it.
    exposure = machine.run("systemd-analyze", "security", "--no-pager", "gallocd.service").stdout.strip().splitlines()[-1]
    assert float(exposure.split(":")[1].split()[0]) <= 1.5, exposure
    assert KEY not in machine.run("journalctl", "--no-pager").stdout
    machine.run("systemctl", "reload", "gallocd")
    assert state_of(machine) == "active"
    machine.run("systemctl", "stop", "gallocd.socket", "gallocd.service")
    assert machine.run("systemctl", "show", "-p", "Result", "--value", "gallocd.service").stdout.strip() == "success"
