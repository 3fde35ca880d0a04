"""What a person says yes to is what is done, whatever has become of @last, of a name and of ages while nobody answered."""
import os
import pty
import subprocess

import pytest

from harness import program, wait_until

AGENTS = [{"agent_id": "a1", "capacity": 1000}]


class Asked:
    """gallocctl on a terminal of its own, up to its question."""

    def __init__(self, daemon, *arguments):
        self.parent, child = pty.openpty()
        self.process = subprocess.Popen([program("gallocctl"), "-S", daemon.socket, *arguments], stdin=child, stdout=child, stderr=child)
        os.close(child)
        self.text = ""
        wait_until(self.has_asked, 20, lambda: f"it asks: {self.text}")

    def has_asked(self):
        self.text += os.read(self.parent, 65536).decode()
        return "[y/N]" in self.text

    def answer(self, word):
        os.write(self.parent, f"{word}\n".encode())
        status = self.process.wait(60)
        os.close(self.parent)
        return status


@pytest.fixture
def alone(make_daemon):
    return make_daemon("http://127.0.0.1:9").start()


def make_run(daemon, **members):
    return daemon.create([("K0", {})], AGENTS, endpoint="workers", **members)


def ended_run(daemon):
    run = make_run(daemon)
    assert daemon.api("POST", f"/v1/runs/{run}/cancel", {"all": True}).status == 200
    daemon.wait_done(run)
    return run


def runs_of(daemon):
    return {item["id"] for item in daemon.api("GET", "/v1/runs").json["items"]}


@pytest.mark.parametrize("before, arguments", [(1, ("@last",)), (1, ("--older-than", "0s")), (2, ("--older-than", "0s"))])
def test_purge_deletes_what_was_asked_about(alone, before, arguments):
    told = {ended_run(alone) for _ in range(before)}
    asked = Asked(alone, "purge", *arguments)
    assert (next(iter(told)) if before == 1 else "2 runs") in asked.text
    later = ended_run(alone)
    assert asked.answer("y") == 0
    assert runs_of(alone) == {later}


def test_cancel_ends_the_run_that_was_asked_about(alone):
    first = make_run(alone)
    asked = Asked(alone, "cancel", "@last", "--all")
    assert first in asked.text
    second = make_run(alone)
    assert asked.answer("y") == 0
    assert (alone.run(first)["state"], alone.run(second)["state"]) == ("cancelled", "running")


@pytest.mark.parametrize("verb", [("purge",), ("cancel", "--all")])
def test_no_changes_nothing(alone, verb):
    run = make_run(alone) if verb[0] == "cancel" else ended_run(alone)
    before = alone.run(run)
    assert Asked(alone, verb[0], "@last", *verb[1:]).answer("n") == 10
    assert alone.run(run) == before
