"""R11: a database that something has changed: bytes flipped, pages zeroed, cut short, another program's, a newer one's, empty, gone. The daemon refuses it with one
line that names the file and the next step, touching no byte; or it serves, and then never content that is not what was stored (I-17, I-20).
"""
import hashlib
import shutil
import sqlite3

from bench import Bench
from harness import wait_until

ROWS = 60
REFUSED = 65
PAGE = 4096


def canned(bench):
    """A database with a run that is done, and what it says: key -> (agent, reason), key -> fields."""
    daemon = bench.subject()
    daemon.start()
    run = daemon.create([(f"K{n}", {"region": "north", "note": f"note of {n} " * 6}) for n in range(ROWS)], [{"agent_id": f"A{n}", "capacity": ROWS} for n in range(4)])
    daemon.wait_done(run)
    said = {row["key"]: (row["agent_id"], row["reason"]) for row in daemon.results(run)}
    fields = {row["key"]: row["fields"] for row in daemon.api("GET", f"/v1/runs/{run}/assignments?fields=1&limit=1000").json["items"]}
    daemon.stop()
    return daemon, run, said, fields


def write_at(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip_bytes(path, dice):
    size = path.stat().st_size
    for _ in range(dice.choice((1, 1, 4, 32))):
        offset = dice.randrange(100, size)
        with open(path, "rb") as file:
            file.seek(offset)
            old = file.read(1)[0]
        write_at(path, offset, bytes([old ^ (1 << dice.randrange(8))]))


def flip_text(path, dice):
    """Inside a stored text, where SQLite sees nothing."""
    data = path.read_bytes()
    wanted = dice.choice((b"note of", b'"reason"'))
    places = [at for at in range(len(data)) if data.startswith(wanted, at)]
    write_at(path, dice.choice(places) + len(wanted) + 6, b"#")


def zero_page(path, dice):
    write_at(path, PAGE * dice.randrange(1, path.stat().st_size // PAGE), bytes(PAGE))


def cut_short(path, dice):
    with open(path, "r+b") as file:
        file.truncate(dice.randrange(1, path.stat().st_size))


def header(path, dice):
    write_at(path, dice.randrange(0, 100), bytes([dice.randrange(256)]))


def pragma(path, text):
    db = sqlite3.connect(path)
    db.execute(text)
    db.commit()
    db.close()


def newer(path, _):
    pragma(path, "PRAGMA user_version = 9999")


def foreign(path, _):
    pragma(path, "PRAGMA application_id = 12345")


def no_database(path, dice):
    path.write_bytes(bytes(dice.randrange(256) for _ in range(5000)))


def empty(path, _):
    path.write_bytes(b"")


def gone(path, _):
    path.unlink()


MUTATIONS = (flip_text, flip_bytes, zero_page, cut_short, header, newer, foreign, no_database, empty, gone)
ALWAYS_REFUSED = (newer, foreign, no_database, empty, gone)


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir()) if path.name.startswith("galloc.db")}


def check_refusal(bench, daemon, name, before):
    text = daemon.log.strip().splitlines()[-1] if daemon.log.strip() else ""
    if daemon.process.returncode != REFUSED:
        bench.violation("broken", f"{name}: ended with {daemon.process.returncode}: {daemon.log[-1500:]}")
    elif str(daemon.database) not in text or "Next:" not in text:
        bench.violation("broken", f"{name}: the refusal does not name the file and the next step: {text}")
    elif digest(daemon.state_dir) != before:
        bench.violation("broken", f"{name}: a refused database was touched: {before} {digest(daemon.state_dir)}")


def check_served(bench, daemon, name, run, said, fields):
    """What it shows is what was stored, or is named as corrupt; whatever else fails is an error of the API's."""
    results = daemon.api("GET", f"/v1/runs/{run}/results")
    for row in results.lines if results.status == 200 else ():
        if row.get("agent_id") and not row.get("corrupt") and (row["agent_id"], row["reason"]) != said.get(row["key"]):
            bench.violation("broken", f"{name}: served {row}, stored was {said.get(row['key'])}")
    listed = daemon.api("GET", f"/v1/runs/{run}/assignments?fields=1&limit=1000")
    for row in listed.json["items"] if listed.status == 200 else ():
        if row.get("fields") is not None and not row.get("corrupt") and row["fields"] != fields.get(row["key"]):
            bench.violation("broken", f"{name}: served other fields of {row['key']}: {row['fields']}")
    for path in (f"/v1/runs/{run}/assignments/K1/attempts", f"/v1/runs/{run}/load", f"/v1/runs/{run}/failures", "/v1/audit", "/v1/status"):
        daemon.api("GET", path)
    doctor = daemon.api("POST", "/v1/doctor", {"full": True})
    if name.startswith(flip_text.__name__) and doctor.json.get("ok") is not False:
        bench.violation("broken", f"{name}: the doctor finds nothing wrong: {doctor}")
    if not daemon.is_running() and daemon.process.wait() != 74:
        bench.violation("broken", f"{name}: ended with {daemon.process.returncode} while it served: {daemon.log[-1500:]}")


def run(options):
    with Bench(options, "R11", "changed databases", sim=("--latency_ms", 2)) as bench:
        source, run_id, said, fields = canned(bench)
        served = 0
        for number in range(options.rounds):
            mutation = MUTATIONS[number % len(MUTATIONS)] if number < 2 * len(MUTATIONS) else bench.dice.choice(MUTATIONS[:5])
            name = f"{mutation.__name__} {number}"
            daemon = bench.subject()
            shutil.copytree(source.state_dir, daemon.state_dir)
            mutation(daemon.database, bench.dice)
            before = digest(daemon.state_dir)
            daemon.start(ready=False)
            bench.report.rounds += 1
            if daemon.is_up():
                served += 1
                if mutation in ALWAYS_REFUSED:
                    bench.violation("broken", f"{name}: served")
                try:
                    check_served(bench, daemon, name, run_id, said, fields)
                except OSError as error:
                    wait_until(lambda: not daemon.is_running(), 10, f"{name}: {error}")
                    bench.check_exit(daemon, name, (74,))
            else:
                check_refusal(bench, daemon, name, before)
            daemon.remove()
            bench.subjects.remove(daemon)
            if not bench.report.verdict.is_clean:
                break
        return bench.done(served=served)
