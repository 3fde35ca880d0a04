"""Open runs through the API: a queue that is fed all day. What was accepted is kept and decided once, whoever feeds it, whatever dies meanwhile."""
import json
import threading
import time
from http.client import HTTPException

import pytest

from harness import wait_until

AGENTS = [{"agent_id": "A0"}, {"agent_id": "A1"}]
NDJSON = "application/x-ndjson"
FIELDS = {"region": "north"}


def open_run(daemon, agents=AGENTS, options=None, **members):
    """An open run that runs, empty; its id."""
    created = daemon.api("POST", "/v1/runs", {"agents": agents, "options": {"open": True, **(options or {})}, **members})
    assert created.status == 201, created
    run = created.json["id"]
    assert daemon.api("POST", f"/v1/runs/{run}/commit", {"parts": 0}).status == 200
    return run


def rows_of(keys, fields=None):
    return [{"key": key, "fields": fields or FIELDS} for key in keys]


def keys_from(first, count):
    return [f"K{number:05}" for number in range(first, first + count)]


def append(daemon, run, keys, key=None, fields=None):
    return daemon.api("POST", f"/v1/runs/{run}/assignments", {"assignments": rows_of(keys, fields)}, {"Idempotency-Key": key} if key else {})


def answer(accepted=0, duplicates=0, replaced=0, rejected=(), part=1, replayed=False):
    return {"accepted": accepted, "duplicates": duplicates, "replaced": replaced, "rejected": list(rejected), "part": part, "replayed": replayed}


def close(daemon, run):
    closed = daemon.api("POST", f"/v1/runs/{run}/close")
    assert closed.status == 200 and closed.json["open"] is False, closed
    return closed.json


def decided(daemon, run):
    """The keys of all decisions, sorted; a key twice stays twice."""
    return sorted(row["key"] for row in daemon.results(run))


def standing(daemon, run):
    """The keys of all assignments; a page ends early where reading it took long."""
    keys, cursor = [], ""
    while cursor is not None:
        page = daemon.api("GET", f"/v1/runs/{run}/assignments?limit=1000{cursor}").json
        keys += [item["key"] for item in page["items"]]
        cursor = page["next"] and f"&cursor={page['next']}"
    return keys


def wait_all(daemon, run, count):
    return wait_until(lambda: daemon.counts(run)["succeeded"] == count, 60, lambda: json.dumps(daemon.run(run)))


def audit(daemon, run, verb):
    return [{name: item[name] for name in ("before", "after")} for item in daemon.api("GET", f"/v1/audit?run={run}&limit=1000").json["items"] if item["action"] == verb]


def events(daemon, run):
    return [event["type"] for event in daemon.api("GET", f"/v1/events?since=0&run={run}&follow=0").lines]


# ---- open, fed, closed ----

def test_an_open_run_is_fed_and_closed(daemon):
    run = open_run(daemon)
    shown = daemon.run(run)
    assert shown["state"] == "running" and shown["open"] is True and shown["eta"] is None and shown["counts"]["total"] == 0
    assert shown["waiting"]["code"] == "open" and f"gallocctl close {run}" in shown["waiting"]["text"]
    assert append(daemon, run, keys_from(0, 3)).json == answer(3, part=1)
    wait_all(daemon, run, 3)
    assert daemon.run(run)["state"] == "running", "all is decided, and more may come"
    assert append(daemon, run, keys_from(2, 3)).json["accepted"] == 2
    wait_all(daemon, run, 5)
    seq = close(daemon, run)["seq"]
    assert daemon.wait_done(run)["finished_at"] is not None
    assert close(daemon, run)["seq"] == seq, "closing again changes nothing"
    assert decided(daemon, run) == keys_from(0, 5)
    assert audit(daemon, run, "run_close") == [{"before": {"open": True}, "after": {"open": False}}]
    assert [(item["after"]["part"], item["after"]["accepted"]) for item in audit(daemon, run, "run_append")] == [(2, 2), (1, 3)]
    told = events(daemon, run)
    assert told.index("run_closed") < told.index("run_done") and told.count("run_closed") == 1, told
    assert daemon.api("POST", "/v1/doctor", {"full": True}).json["ok"]


def test_an_empty_run_needs_to_be_open(daemon):
    plain = daemon.api("POST", "/v1/runs", {"agents": AGENTS}).json["id"]
    assert daemon.api("POST", f"/v1/runs/{plain}/commit", {"parts": 0}).json["code"] == "empty_run"
    closed = daemon.api("POST", "/v1/runs", {"agents": AGENTS, "options": {"open": True}}).json["id"]
    close(daemon, closed)
    assert daemon.api("POST", f"/v1/runs/{closed}/commit", {"parts": 0}).json["code"] == "empty_run"
    empty = open_run(daemon)
    assert close(daemon, empty)["state"] == "done" and daemon.run(empty)["counts"]["total"] == 0
    aged = daemon.api("POST", "/v1/runs", {"agents": AGENTS, "options": {"open": True, "max_age_ms": 5000}})
    assert aged.json["code"] == "usage" and "max_age_ms" in aged.json["detail"]


def test_a_closed_run_ends_when_the_last_is_decided(world):
    sim, daemon = world("--latency_ms", 400)
    run = open_run(daemon)
    append(daemon, run, keys_from(0, 4))
    assert close(daemon, run)["state"] == "running"
    assert daemon.wait_done(run)["counts"]["succeeded"] == 4
    assert sim.stats()["calls"] == 4


def test_an_open_run_has_no_end_in_sight(world):
    """While work is left, and its rate is known: when it ends, and what it costs in the end, is known once it is closed."""
    _, daemon = world("--latency_ms", 300, endpoint="max_in_flight = 4", sections='price "gemini-3.8-flash" { from = "2020-01-01"  currency = "USD"  in = 1.0  out = 1.0 }')
    run = open_run(daemon)
    append(daemon, run, keys_from(0, 400))
    open_ = wait_until(lambda: (shown := daemon.run(run))["counts"]["succeeded"] >= 20 and shown, 60, lambda: json.dumps(daemon.run(run)))
    assert open_["rate_per_min"] > 0 and open_["eta"] is None and open_["waiting"] is None, open_
    assert open_["cost"]["micros"] > 0 and open_["cost"]["projected_micros"] is None
    close(daemon, run)
    closed = wait_until(lambda: (shown := daemon.run(run))["eta"] and shown, 60, lambda: json.dumps(daemon.run(run)))
    assert closed["cost"]["projected_micros"]["high"] > closed["cost"]["micros"]


def test_max_age_counts_for_what_is_added(make_daemon):
    daemon = make_daemon("http://127.0.0.1:9").start()
    run = daemon.create([("OLD", FIELDS)], AGENTS, paused=True, options={"max_age_ms": 3000})
    wait_until(lambda: daemon.counts(run)["failed"] == 1, 30, "the first expires")
    began = time.monotonic()
    append(daemon, run, ["NEW"])
    wait_until(lambda: daemon.counts(run)["failed"] == 2, 30, "so does the second")
    assert time.monotonic() - began >= 2.5, "in its own time"


def test_a_cancelled_run_is_open_no_more(daemon):
    run = open_run(daemon, paused=True)
    append(daemon, run, keys_from(0, 2))
    assert daemon.api("POST", f"/v1/runs/{run}/cancel", {"all": True}).json["changed"] == 2
    assert daemon.run(run)["open"] is False
    refused = append(daemon, run, ["LATE"])
    assert refused.json["code"] == "wrong_state" and "enqueue" in refused.json["detail"]
    assert daemon.api("POST", f"/v1/runs/{run}/retry", {"all": True}).json["changed"] == 2
    daemon.api("POST", f"/v1/runs/{run}/resume")
    assert daemon.wait_done(run)["counts"]["succeeded"] == 2


# ---- append ----

def test_append_starts_a_done_run_again(daemon):
    run = daemon.create([(key, FIELDS) for key in keys_from(0, 3)], AGENTS)
    ended = daemon.wait_done(run)
    assert append(daemon, run, keys_from(0, 3)).json == answer(0, duplicates=3, part=2, rejected=[
        {"row": row, "key": key, "column": None, "code": "duplicate_key", "message": "the run has an assignment with this key"}
        for row, key in enumerate(keys_from(0, 3), start=1)])
    assert daemon.run(run)["finished_at"] == ended["finished_at"], "nothing new came: it stays done"
    assert append(daemon, run, keys_from(3, 2)).json == answer(2, part=3)
    wait_all(daemon, run, 5)
    again = daemon.wait_done(run)
    assert again["finished_at"] > ended["finished_at"] and again["open"] is False
    assert [item["before"]["state"] for item in audit(daemon, run, "run_append")] == ["done", "done"]
    assert events(daemon, run).count("run_started") == 2


def test_append_to_a_done_run_of_a_former_life(daemon):
    run = daemon.create([("OLD", FIELDS)], AGENTS)
    daemon.wait_done(run)
    daemon.restart()
    assert append(daemon, run, ["NEW"]).json["accepted"] == 1
    wait_all(daemon, run, 2)
    assert daemon.wait_done(run)["counts"]["total"] == 2


def test_append_is_refused_while_importing(daemon):
    run = daemon.api("POST", "/v1/runs", {"agents": AGENTS}).json["id"]
    refused = append(daemon, run, ["K"])
    assert refused.status == 409 and refused.json["code"] == "wrong_state" and f"/v1/runs/{run}/parts/1" in refused.json["detail"]
    assert append(daemon, "r-AAAAAAAAAA", ["K"]).status == 404


def test_append_with_a_key_is_answered_as_the_first_time(daemon):
    run, other = open_run(daemon), open_run(daemon)
    first = append(daemon, run, keys_from(0, 2), "feed-1").json
    assert first == answer(2)
    append(daemon, run, keys_from(2, 1))
    assert append(daemon, run, keys_from(0, 2), "feed-1").json == {**first, "replayed": True}
    daemon.kill()
    daemon.start()
    assert append(daemon, run, keys_from(0, 2), "feed-1").json == {**first, "replayed": True}
    for reused in (append(daemon, run, keys_from(5, 1), "feed-1"), append(daemon, other, keys_from(0, 2), "feed-1"),
                   daemon.api("POST", "/v1/runs", {"agents": AGENTS}, {"Idempotency-Key": "feed-1"})):
        assert reused.status == 409 and reused.json["code"] == "idempotency_key_reused", reused
    assert daemon.counts(run)["total"] == 3 and daemon.counts(other)["total"] == 0
    assert append(daemon, run, ["X"], "k" * 129).json["code"] == "invalid_value"


@pytest.mark.parametrize("rule", ["skip", "error", "replace"])
def test_append_keeps_the_runs_rule_for_repeated_keys(daemon, rule):
    run = open_run(daemon, options={"on_duplicate": rule}, paused=True)
    append(daemon, run, ["K1"])
    again = append(daemon, run, ["K1", "K2"], fields={"region": "south"})
    if rule == "error":
        assert again.status == 422 and again.json["errors"][0]["key"] == "K1"
        assert daemon.counts(run)["total"] == 1, "nothing of it stands"
        return
    assert again.json["accepted"] == 1 and again.json["duplicates"] == 1 and again.json["replaced"] == (rule == "replace")
    fields = daemon.api("GET", f"/v1/runs/{run}/assignments/K1").json["fields"]
    assert fields == {"region": "south" if rule == "replace" else "north"}


GOOD = {"key": "GOOD", "fields": FIELDS}
BAD_ROWS = {  # text of the row, its code, a word of the message
    "no object": ('"K"', "invalid_row", "object"),
    "no JSON": ('{"key" "K"}', "invalid_row", "not"),
    "nothing": ("nil", "invalid_row", "not"),
    "no key": ('{"fields":{}}', "invalid_key", "missing"),
    "empty key": ('{"key":"","fields":{}}', "invalid_key", "empty"),
    "key with a control": ('{"key":"a\\u0007","fields":{}}', "invalid_key", "control"),
    "long key": (json.dumps({"key": "k" * 257, "fields": {}}), "invalid_key", "256"),
    "broken key": ('{"key":"1.23E+15","fields":{}}', "invalid_key", "spreadsheet"),
    "fraction as key": ('{"key":1.5,"fields":{}}', "invalid_key", "whole number"),
    "no fields": ('{"key":"K"}', "invalid_row", "fields"),
    "fields no object": ('{"key":"K","fields":[1]}', "invalid_row", "fields"),
    "another member": ('{"key":"K","fields":{},"feilds":{}}', "invalid_row", "fields"),
    "a member twice": ('{"key":"K","fields":{"a":1,"a":2}}', "repeated_member", "repeated"),
    "bad row number": ('{"key":"K","fields":{},"row":0}', "invalid_row", "row"),
    "too large": (json.dumps({"key": "K", "fields": {"text": "x" * (256 << 10)}}), "too_large", "262,144"),
    "too deep": ('{"key":"K","fields":{"a":' + "[" * 40 + "]" * 40 + "}}", "invalid_row", "deep"),
    "half a character": (b'{"key":"K","fields":{"a":"\xff"}}', "not_utf8", "UTF-8"),
}


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_a_bad_row_stops_no_other(daemon, form):
    run = open_run(daemon, paused=True)
    texts = [row if isinstance(row, bytes) else row.encode() for row, _, _ in BAD_ROWS.values()]
    texts.insert(3, json.dumps(GOOD).encode())
    if form == "json":
        got = daemon.api("POST", f"/v1/runs/{run}/assignments", b' {"assignments" : [' + b",\n".join(texts) + b"]\n}\n")
    else:
        got = daemon.api("POST", f"/v1/runs/{run}/assignments", b"\n".join(texts), content_type=NDJSON)
    assert got.status == 200 and got.json["accepted"] == 1 and daemon.counts(run)["total"] == 1, got
    rejected = got.json["rejected"]
    for number, (name, (_, code, word)) in enumerate(BAD_ROWS.items()):
        item = rejected[number]
        assert item["code"] == code and word in item["message"], (name, item)
        assert abs(item["row"]) == number + (1 if number < 3 else 2), (name, item)


BAD_BODIES = {
    "nothing": ("", 400), "a list": ("[]", 400), "no list": ("{}", 400), "a text": ('{"assignments":"K"}', 400), "not JSON": ("{", 400),
    "cut off": ('{"assignments":[{"key":"K","fields":{}}', 400), "with more": ('{"assignments":[],"run":"x"}', 400), "two": ('{"assignments":[]}{}', 400),
    "more before": ('{"row":1,"assignments":[]}', 400), "quote left open": ('{"assignments":[{"key":"K]}', 400),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_none_is_refused(daemon, name):
    run = open_run(daemon, paused=True)
    body, status = BAD_BODIES[name]
    got = daemon.api("POST", f"/v1/runs/{run}/assignments", body)
    assert got.status in (status, 422) and got.json["code"] in ("not_json", "invalid_value"), got
    assert name != "with more" or '"run"' in got.json["detail"]
    assert daemon.counts(run)["total"] == 0 and daemon.api("GET", f"/v1/runs/{run}/parts").json["items"] == []


def test_limits_of_an_append_are_those_of_a_part(daemon):
    run = open_run(daemon, paused=True)
    assert append(daemon, run, []).json == answer(0)
    many = daemon.api("POST", f"/v1/runs/{run}/assignments", {"assignments": [{"key": str(i), "fields": {}} for i in range(20001)]})
    assert many.status == 413 and "20000" in many.json["detail"]
    assert daemon.api("POST", f"/v1/runs/{run}/assignments", b"x" * ((4 << 20) + 1), content_type=NDJSON).status == 413
    assert daemon.api("POST", f"/v1/runs/{run}/assignments", "x", content_type="text/csv").status == 415
    assert daemon.counts(run)["total"] == 0
    whole = daemon.api("POST", f"/v1/runs/{run}/assignments", {"assignments": [{"key": str(i), "fields": {}} for i in range(20000)]})
    assert whole.json["accepted"] == 20000


def test_a_row_that_lacks_what_the_template_needs(daemon):
    template = "Allocate.\n{{roster}}\n--- user\nCity: {{city}}\n{{assignment}}\n{{loads}}\n"
    run = open_run(daemon, template=template, columns=["city"])
    got = daemon.api("POST", f"/v1/runs/{run}/assignments",
                     {"assignments": [{"key": "K1", "fields": {"City": "Brno"}}, {"key": "K2", "fields": {"cty": "Brno"}}, {"key": "K3", "fields": {}}]}).json
    assert got["accepted"] == 1 and [item["code"] for item in got["rejected"]] == ["missing_column"] * 2
    assert "{{city}}" in got["rejected"][0]["message"] and "cty" in got["rejected"][0]["message"]
    at_import = daemon.api("POST", "/v1/runs", {"agents": AGENTS, "template": template, "columns": ["cty"]}).json["detail"]
    assert got["rejected"][0]["message"] == at_import
    wait_all(daemon, run, 1)
    close(daemon, run)
    daemon.wait_done(run)
    assert append(daemon, run, ["K4"]).json["rejected"][0]["code"] == "missing_column", "also of a done run, whose plan is read anew"


# ---- numbered parts on a run that runs ----

def part(daemon, run, number, keys):
    text = "".join(json.dumps({"key": key, "fields": FIELDS, "row": row}) + "\n" for row, key in enumerate(keys, start=1))
    return daemon.api("PUT", f"/v1/runs/{run}/parts/{number}", text, content_type=NDJSON)


def test_parts_go_on_counting_in_an_open_run(daemon):
    run = open_run(daemon)
    assert part(daemon, run, 1, ["P1"]).json == {"accepted": 1, "duplicates": 0, "replaced": 0, "rejected": []}
    assert append(daemon, run, ["A2"]).json["part"] == 2
    late = part(daemon, run, 2, ["P2"])
    assert late.status == 409 and late.json["code"] == "part_differs", "another was first"
    assert part(daemon, run, 4, ["P2"]).json["code"] == "part_out_of_order"
    assert part(daemon, run, 3, ["P2"]).json["accepted"] == 1
    close(daemon, run)
    assert part(daemon, run, 3, ["P2"]).json["accepted"] == 1, "a replay gets its answer whatever became of the run"
    refused = part(daemon, run, 4, ["P3"])
    assert refused.json["code"] == "wrong_state" and "--append" in refused.json["detail"]
    assert [item["n"] for item in daemon.api("GET", f"/v1/runs/{run}/parts").json["items"]] == [1, 2, 3]
    assert daemon.wait_done(run)["counts"]["succeeded"] == 3


# ---- several at once, crashes, races ----

def feed(daemon, run, name, count, told):
    """Appends rows one after another as a client does that does not give up: the same row and key until it is answered."""
    for number in range(count):
        row = f"{name}-{number:04}"
        while True:
            try:
                got = append(daemon, run, [row], f"{run}-{row}")
            except (OSError, HTTPException):  # killed in the middle of an answer
                continue
            if got.status == 200:
                told.append((row, got.json))
                break
            assert got.status in (429, 503, 507), got


def feed_from_three(daemon, run, count, meanwhile=lambda told: None):
    told = []
    clients = [threading.Thread(target=feed, args=(daemon, run, name, count, told), daemon=True) for name in "abc"]
    for client in clients:
        client.start()
    meanwhile(told)
    for client in clients:
        client.join(120)
    assert not any(client.is_alive() for client in clients)
    return told


def test_three_clients_feed_at_once(daemon):
    run = open_run(daemon)
    told = feed_from_three(daemon, run, 60)
    assert sorted(got["part"] for _, got in told) == list(range(1, 181)), "each append is a part of its own, in the order of their commits"
    assert all(got["accepted"] == 1 for _, got in told)
    close(daemon, run)
    daemon.wait_done(run)
    assert decided(daemon, run) == sorted(row for row, _ in told)


def test_accepted_is_kept_through_kill_9(world):
    """Whatever was answered stands after each kill, once; what was not is sent again under its key, and stands once too."""
    sim, daemon = world()
    run = open_run(daemon)

    def kill_often(told):
        for floor in (20, 60, 100):
            wait_until(lambda: len(told) >= floor, 60, lambda: f"{len(told)} of {floor}")  # noqa: B023
            daemon.kill()
            before = [row for row, _ in told]
            daemon.start()
            stand = standing(daemon, run)
            assert len(set(stand)) == len(stand) and set(before) <= set(stand)

    told = feed_from_three(daemon, run, 60, kill_often)
    assert len(told) == 180 and all(got["accepted"] == 1 for _, got in told), "a replay too tells what was accepted"
    close(daemon, run)
    ended = daemon.wait_done(run)
    assert ended["counts"] == {"total": 180, "pending": 0, "leased": 0, "succeeded": 180, "failed": 0, "cancelled": 0}
    assert decided(daemon, run) == sorted(row for row, _ in told)
    assert sim.stats()["calls"] <= 180 + ended["retries"]["lost"], "nothing was decided twice but what was in flight at a kill"
    assert daemon.api("POST", "/v1/doctor", {"full": True}).json["ok"]


def test_an_append_is_whole_or_nothing(world):
    """A large one is killed in its middle: none of it stands, or all."""
    _, daemon = world()
    run = open_run(daemon, paused=True)
    body = {"assignments": rows_of(keys_from(0, 20000))}
    for tries in range(3):
        caught = []

        def send(caught=caught):
            try:
                caught.append(daemon.api("POST", f"/v1/runs/{run}/assignments", body).status)
            except (OSError, HTTPException):
                caught.append(0)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        wait_until(lambda: not sender.is_alive() or (daemon.state_dir / "galloc.db-wal").stat().st_size > (1 + tries) << 20, what="the append begins")  # noqa: B023
        daemon.kill()
        sender.join(60)
        daemon.start()
        total = daemon.counts(run)["total"]
        assert total in (0, 20000) and (total == 20000 or caught != [200]), (total, caught)
    assert append(daemon, run, keys_from(0, 20000)).json["accepted"] + daemon.counts(run)["total"] >= 20000
    assert daemon.counts(run)["total"] == 20000


def test_close_races_with_append(daemon):
    """Each append is taken: before the close, or as one that starts the run again. None is lost between them."""
    run = open_run(daemon)
    told = []
    clients = [threading.Thread(target=feed, args=(daemon, run, name, 40, told), daemon=True) for name in "ab"]
    for client in clients:
        client.start()
    for floor in (5, 20, 40):
        wait_until(lambda: len(told) >= floor, 60, "appends")  # noqa: B023
        close(daemon, run)
    for client in clients:
        client.join(60)
    assert len(told) == 80
    wait_all(daemon, run, 80)
    assert daemon.wait_done(run)["open"] is False
    assert decided(daemon, run) == sorted(row for row, _ in told)


# ---- left importing ----

DAY_MS = 86_400_000


def test_an_import_that_was_left_is_cancelled(make_daemon):
    from test_store import sql
    daemon = make_daemon("http://127.0.0.1:9").start()
    made = {name: daemon.api("POST", "/v1/runs", {"agents": AGENTS, "name": name}).json["id"] for name in ("left", "fresh", "open")}
    part(daemon, made["left"], 1, ["K1", "K2"])
    daemon.stop()
    sql(daemon, f"UPDATE run SET import_ms = import_ms - {DAY_MS} WHERE name <> 'fresh'", f"UPDATE run SET import_ms = import_ms + 60000 WHERE name = 'open'")
    daemon.start()
    wait_until(lambda: daemon.run("left")["state"] == "cancelled", 20, lambda: daemon.log)
    assert daemon.counts("left")["cancelled"] == 2
    wait_until(lambda: f"import_abandoned run={made['left']} dropped=2" in daemon.log, what="a line in the log")
    assert daemon.run("fresh")["state"] == "importing" and daemon.run("open")["state"] == "importing"
    assert part(daemon, made["left"], 2, ["K3"]).json["code"] == "wrong_state"
