"""R23: the API key, and nothing that it can be told by, is found in anything that somebody could read: log at -v -v, database, its log and backup, answers, exports,
gallocctl's output, the process's command line and environment; in any of the forms in which a text travels (I-29). With failures that carry it: a wrong key, an
answer that echoes it, a crash.
"""
import base64
import json
from pathlib import Path
from urllib.parse import quote

import harness
from bench import Bench

CANARY = "AQ.Canary+7/key=that-must_never.be~seen"
RUN_PATHS = ("", "/results", "/results?format=csv", "/failures", "/parts", "/assignments?fields=1", "/load", "/assignments/K1?prompt=1", "/assignments/K1/attempts?raw=1")
PATHS = ("/v1/status", "/v1/endpoints", "/v1/endpoints/gemini", "/v1/audit", "/metrics", "/v1/events?follow=0&assignments=1&since=0", "/v1/runs", "/v1/leases", "/v1/backup")
COMMANDS = (["status"], ["status", "--json"], ["endpoint", "show", "gemini"], ["endpoint", "test", "gemini"], ["attempts", "@last", "K1", "--raw"], ["doctor"],
            ["results", "@last"], ["failures", "@last"], ["-v", "show", "@last", "K1", "--prompt"], ["audit"], ["api", "GET", "/v1/endpoints"])


def spellings(secret=CANARY):
    """The secret as it is, and in every form that something may put it into: base64 at each of its three offsets, hex, percent, JSON, backwards."""
    raw = secret.encode()
    found = {raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), quote(secret, safe="").encode(), quote(secret).encode(),
             json.dumps(secret)[1:-1].encode(), json.dumps(secret)[1:-1].replace("/", "\\/").encode(), b"".join(b"\\x%02x" % byte for byte in raw)}
    for pad in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"\0" * pad + raw)[4:-4])  # whatever stands before and after it
    return found


def places(daemon):
    """Everything that somebody could read, with its name."""
    for path in sorted(daemon.folder.rglob("*")):
        if path.is_file() and path != daemon.key_file:
            yield str(path), path.read_bytes()
    process = Path(f"/proc/{daemon.pid()}")
    for name in ("cmdline", "environ", "status", "maps"):
        yield f"/proc: {name}", (process / name).read_bytes()
    runs = [run["id"] for run in daemon.api("GET", "/v1/runs").json["items"]]
    for path in [*PATHS, *(f"/v1/runs/{run}{what}" for run in runs for what in RUN_PATHS)]:
        answer = daemon.api("GET", path)
        yield path, (answer.body + json.dumps(answer.headers)).encode()
    for command in COMMANDS:
        ran = daemon.ctl(*command, check=False)
        yield "gallocctl " + " ".join(command), (ran.stdout + ran.stderr).encode()


def check_unseen(bench, daemon, when):
    for name, content in places(daemon):
        for spelling in spellings():
            if spelling in content:
                bench.violation("broken", f"{when}: the key stands in {name}, as {spelling[:12]!r}…")
                return
        bench.report.figures["places"] = bench.report.figures.get("places", 0) + 1


def work(daemon, name, rows=12):
    return daemon.create([(f"K{number}", {"region": "north"}) for number in range(rows)], [{"agent_id": "A1", "capacity": 100}], name=name)


def is_down(daemon):
    return daemon.api("GET", "/v1/endpoints/gemini").json["state"] == "down"


def run(options):
    with Bench(options, "R23", "the key is seen nowhere", sim=("--api_key", CANARY, "--latency_ms", 5)) as bench:
        for number in range(options.rounds):
            daemon = bench.subject(arguments=["-v", "-v"])
            daemon.set_key(CANARY)
            bench.sim.set(api_key=CANARY)
            daemon.start()
            done = daemon.wait_done(work(daemon, "well"))
            if done["counts"]["succeeded"] != 12:
                raise AssertionError(f"the key was not sent: {done}")
            check_unseen(bench, daemon, "after work")
            bench.sim.set(api_key="another")  # refused, and told in the provider's words
            work(daemon, "refused")
            harness.wait_until(lambda: is_down(daemon), 30, lambda: daemon.log)
            check_unseen(bench, daemon, "refused")
            daemon.kill()
            daemon.start()
            check_unseen(bench, daemon, "after a crash")
            daemon.remove()
            bench.report.rounds += 1
            if not bench.report.verdict.is_clean:
                break
        return bench.done(**bench.report.figures)
