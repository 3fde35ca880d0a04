"""A disk that gets full: what is left is kept for results that are owed. New work is refused before, everybody is told, and room that comes back is enough."""
import json
import os

from harness import wait_until
from lease_worker import Worker, decide

AGENTS = [{"agent_id": "a1", "capacity": 100000}]
MIB = 1 << 20


def on(disk, daemon):
    daemon.state_dir = disk / "state"
    daemon.database = daemon.state_dir / "galloc.db"
    return daemon.start()


def leave(disk, size):
    """Fills the file system until so much is left."""
    free = os.statvfs(disk)
    with open(disk / "ballast", "wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, free.f_bavail * free.f_frsize - size)


def make_room(disk, size=None):
    """So much of what fills it goes, or all."""
    if size is None:
        (disk / "ballast").unlink()
    else:
        os.truncate(disk / "ballast", (disk / "ballast").stat().st_size - size)


def disk_figures(daemon):
    lines = [line.split() for line in daemon.api("GET", "/metrics").body.splitlines() if line.startswith("galloc_disk_")]
    return {name.removeprefix("galloc_disk_").removesuffix("_bytes"): int(value) for name, value in lines}


def store(daemon):
    return daemon.api("GET", "/v1/status").json["daemon"]["store"]


def rows(count, first=0):
    return [(f"K{number}", {"city": "Pune", "pad": "x" * 400}) for number in range(first, first + count)]


def check_refused(answer):
    assert answer.status == 507 and answer.json["code"] == "disk_full" and int(answer.headers["Retry-After"]) > 0, answer
    assert "gallocctl purge" in answer.json["detail"]


def test_what_is_left_is_for_results(make_daemon, make_sim, disk):
    sim = make_sim("--latency_ms", 3000)
    daemon = on(disk, make_daemon(sim.url, endpoint="max_in_flight = 5"))
    opened = daemon.create(rows(2), AGENTS, endpoint="workers", options={"open": True})
    outside = daemon.create(rows(40), AGENTS, endpoint="workers")
    begun = daemon.api("POST", "/v1/runs", {"agents": AGENTS}).json["id"]
    run = daemon.create(rows(40), AGENTS)
    worker = Worker(daemon.socket)
    held = worker.lease(run=outside, max=10, ttl_ms=3600000)
    wait_until(lambda: daemon.counts(run)["leased"] >= 5, what="calls under way")
    leave(disk, 20 * MIB)
    wait_until(lambda: store(daemon)["state"] == "disk_low", what="the word about the disk")
    assert "nearly full" in store(daemon)["detail"]
    figures = disk_figures(daemon)
    assert figures["free"] < figures["reserve"] < 42 * MIB
    not_ready = daemon.ctl("health", "--ready", check=False)
    assert not_ready.returncode == 11 and "results" in not_ready.stderr
    assert "nearly full" in daemon.ctl("status").stdout
    check_refused(daemon.api("POST", "/v1/runs", {"agents": AGENTS}))
    part = json.dumps({"key": "N", "fields": {"city": "Pune"}, "row": 1}) + "\n"
    check_refused(daemon.api("PUT", f"/v1/runs/{begun}/parts/1", part, content_type="application/x-ndjson"))
    check_refused(daemon.api("POST", f"/v1/runs/{opened}/assignments", {"assignments": [{"key": "N", "fields": {"city": "Pune"}}]}))
    check_refused(daemon.api("PUT", "/v1/pools/north", {"agents": AGENTS}))
    assert worker.ask(max=1).status == 507
    assert daemon.api("GET", "/v1/backup").status == 507
    # what is owed is stored, and nothing more is sent
    assert {item["verdict"] for item in worker.tell(held, decide(held))} == {"succeeded"}
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 60, "answers under way to be stored")
    assert daemon.run(run)["waiting"]["code"] == "disk"
    sent, decided = sim.stats()["calls"], daemon.counts(run)["succeeded"]
    assert decided == sent >= 5
    find = next(check for check in daemon.api("POST", "/v1/doctor", {}).json["checks"] if check["name"] == "space")
    assert not find["ok"] and "kept for results" in find["text"]
    assert sim.stats()["calls"] == sent
    # a little more than is kept is not enough to begin anew, and is told as what it is
    figures = disk_figures(daemon)
    make_room(disk, figures["reserve"] - figures["free"] - 4 * MIB)
    figures = wait_until(lambda: (found := disk_figures(daemon))["free"] > figures["reserve"] - 5 * MIB and found, what="another look at the disk")
    assert figures["free"] < figures["reserve"] and store(daemon)["state"] == "disk_low"
    make_room(disk)
    wait_until(lambda: store(daemon)["state"] == "ok", what="the room to be noticed")
    sim.set(latency_ms=10)
    assert daemon.wait_done(run)["counts"]["succeeded"] == 40
    assert daemon.counts(outside)["succeeded"] == 10
    assert worker.ask(max=1).status == 200
    assert daemon.ctl("health", "--ready").returncode == 0
    assert daemon.log.count("store_disk_low") == 1 and "store_well" in daemon.log


def test_purge_makes_room(make_daemon, make_sim, disk):
    """On a disk that is low, what was done long ago can go, and its room is enough: no other file has to. How much is in the log, and how much in the database,
    is the checkpoint's affair: with 16 of 64 MiB taken, 22 MiB of rows are too much either way, and without them there are 6 MiB more than have to be."""
    daemon = on(disk, make_daemon(make_sim().url))
    old = [daemon.create(rows(7500), AGENTS, paused=True) for _ in range(5)]
    for run in old:
        assert daemon.api("POST", f"/v1/runs/{run}/cancel", {"all": True}, timeout=120).json["changed"] == 7500
    waiting = daemon.create(rows(30), AGENTS, paused=True)
    (disk / "ballast").write_bytes(b"x" * (16 * MIB))
    wait_until(lambda: store(daemon)["state"] == "disk_low", what="the word about the disk")
    daemon.api("POST", f"/v1/runs/{waiting}/resume")
    wait_until(lambda: (daemon.run(waiting)["waiting"] or {}).get("code") == "disk", what="the run to wait")
    assert "5 runs (37,500 assignments) purged" in daemon.ctl("purge", "--older-than", "0", "-y").stdout
    wait_until(lambda: store(daemon)["state"] == "ok", 120, lambda: f"room: {disk_figures(daemon)}")
    assert daemon.wait_done(waiting)["counts"]["succeeded"] == 30
    assert daemon.ctl("doctor", "--full").returncode == 0
