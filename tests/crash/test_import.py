"""kill -9 of gallocd at random moments of an import: every part that was answered stands, and none is there twice.

(Kills while calls are in flight are in e2e/test_kill.py.) The seed is printed; GALLOC_TEST_SEED repeats it.
"""
import json
import os
import random
import threading

from harness import wait_until

SEED = int(os.environ["GALLOC_TEST_SEED"])


class Importer(threading.Thread):
    """Sends parts until all are answered, through any number of restarts; remembers what was answered with 200."""

    def __init__(self, daemon, run, parts):
        super().__init__(daemon=True)
        self.target_daemon, self.run_id, self.parts, self.answers = daemon, run, parts, {}

    def run(self):
        for number, rows in enumerate(self.parts, start=1):
            body = "".join(json.dumps(row) + "\n" for row in rows)
            wait_until(lambda: self.put(number, body), 60, f"part {number} is answered")

    def put(self, number, body):
        try:
            answer = self.target_daemon.api("PUT", f"/v1/runs/{self.run_id}/parts/{number}", body, content_type="application/x-ndjson")
        except OSError:
            return False
        if answer.status == 200:
            self.answers[number] = answer.json
        return answer.status == 200


def test_an_import_killed_at_random_keeps_every_row_that_was_answered(make_daemon):
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    daemon = make_daemon("http://127.0.0.1:9").start()
    created = daemon.api("POST", "/v1/runs", {"agents": [{"agent_id": "A1"}], "paused": True})
    assert created.status == 201, created
    run = created.json["id"]
    parts = [[{"key": f"K{part:03}-{row:03}", "fields": {"note": "x" * dice.randrange(400)}, "row": part * 1000 + row} for row in range(1, 101)]
             for part in range(60)]
    importer = Importer(daemon, run, parts)
    importer.start()
    for _ in range(8):
        answered = len(importer.answers)
        wait_until(lambda: len(importer.answers) > answered + dice.randrange(4) or not importer.is_alive(), 60, "parts go on")
        threading.Event().wait(dice.random() * 0.02)  # anywhere between two answers
        daemon.kill()
        known = dict(importer.answers)
        daemon.start()
        standing = {part["n"]: part["answer"] for part in daemon.api("GET", f"/v1/runs/{run}/parts?limit=1000").json["items"]}
        for number, answer in known.items():
            assert standing.get(number) == answer, f"part {number} was answered and is not there; seed {SEED}"
    importer.join(120)
    assert len(importer.answers) == len(parts)
    committed = daemon.api("POST", f"/v1/runs/{run}/commit", {"parts": len(parts)})
    assert committed.status == 200 and committed.json["counts"]["total"] == 6000, committed
    assert sum(answer["accepted"] for answer in importer.answers.values()) == 6000
    doctor = daemon.api("POST", "/v1/doctor", {"full": True}).json
    assert doctor["ok"], doctor
