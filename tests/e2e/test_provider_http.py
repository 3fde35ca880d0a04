"""The provider `http`: a user's own service decides. What it is sent, and what each of its answers costs an assignment."""
import datetime
import email.utils
import json
import re
import sqlite3
import subprocess
import sys

import pytest
from decide_server import Reply, Service, least_loaded
from harness import KEY, ROOT, check_allocation, make_agents, make_loans, program, wait_until

EXAMPLES = ROOT / "examples"


@pytest.fixture
def make_service():
    services = []

    def make(*arguments, **named):
        services.append(Service(*arguments, **named))
        return services[-1]

    yield make
    for service in services:
        service.stop()


@pytest.fixture
def decided_by(make_daemon):
    """decided_by(service, endpoint="max_in_flight = 4") gives a gallocd whose endpoint `mine` is that service, ready."""
    def make(service, endpoint="", path="/allocate", with_key=False, sections=""):
        daemon = make_daemon("http://127.0.0.1:1")
        key = f'api_key_file = "{daemon.key_file}"' if with_key else ""
        daemon.configure("http://127.0.0.1:1", 'default_endpoint = "mine"', sections=f"""
            endpoint "mine" {{ provider = "http"  base_url = "{service.url}{path}"
            {key}
            {endpoint} }}
            {sections}""")
        return daemon.start()

    return make


def enqueue(daemon, count=20, capacity=100, **members):
    agents = [{"agent_id": f"A{n}", "capacity": capacity, "attributes": {"region": "north"}} for n in range(3)]
    return daemon.create([(f"K{n:04}", {"region": "north", "n": n}) for n in range(count)], agents, **members)


def classes(daemon, run, key):
    return [attempt["class"] for attempt in daemon.api("GET", f"/v1/runs/{run}/assignments/{key}/attempts").json["items"]]


def failed(daemon, run):
    return {row["key"]: row["error"]["code"] for row in daemon.results(run) if row.get("error")}


def spent(daemon):
    connection = sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT key, retries_spent FROM assignment WHERE retries_spent > 0").fetchall())
    finally:
        connection.close()


def endpoint(daemon, name="mine"):
    return daemon.api("GET", f"/v1/endpoints/{name}").json


# ---- what it is sent ----

def test_the_example_service_allocates_the_examples(make_daemon, tmp_path):
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text("the-key-of-the-example\n")
    service = subprocess.Popen([sys.executable, str(EXAMPLES / "http-decider.py"), "0"], stdout=subprocess.PIPE, text=True,
                               env={"DECIDER_KEY": "the-key-of-the-example"})
    try:
        url = re.search(r"http://\S+", service.stdout.readline()).group(0)
        daemon = make_daemon("http://127.0.0.1:1")
        daemon.configure("http://127.0.0.1:1", sections=f"""
            endpoint "mine" {{ provider = "http"  base_url = "{url}"  test_path = "/health"  api_key_file = "{key}" }}
            endpoint "keyless" {{ provider = "http"  base_url = "{url}"  test_path = "/health" }}""")
        daemon.start()
        assert "endpoint mine answers" in daemon.ctl("endpoint", "test", "mine").stdout
        refused = daemon.ctl("endpoint", "test", "keyless", check=False)
        assert refused.returncode == 1 and "credentials" in refused.stdout and endpoint(daemon, "keyless")["reason"] == "credentials"
        daemon.ctl("enqueue", EXAMPLES / "assignments.csv", "--agents", EXAMPLES / "agents.csv", "--endpoint", "mine", "--wait")
        rows = daemon.results()
        assert len(rows) == 312 and all(row["agent_id"] and row["confidence"] == 1 for row in rows)
        assert daemon.run()["counts"]["succeeded"] == 312
    finally:
        service.kill()
        service.wait(30)
        service.stdout.close()


def test_what_is_sent(make_service, decided_by):
    service = make_service()
    daemon = decided_by(service, path="/v2/allocate?team=north&x=%20", endpoint="rpm = 100000")
    run = daemon.create([(f"K \"{n}", {"region": "north", "phone": "+91 1", "n": n}) for n in range(4)],
                        [{"agent_id": "A1", "capacity": 3, "attributes": {"region": "north", "free": "mine"}}, {"agent_id": "A2", "attributes": {}}],
                        profile="sequential", options={"keep_back": ["Phone"]})
    daemon.wait_done(run)
    asked = service.requests()
    assert [one.path for one in asked] == ["/v2/allocate?team=north&x=%20"] * 4
    assert asked[0].body == {"run": run, "key": 'K "0', "attempt": 1, "fields": {"region": "north", "n": 0}, "candidates": [
        {"agent_id": "A1", "attributes": {"region": "north", "free": "mine"}, "capacity": 3, "held": 0, "free": 3},
        {"agent_id": "A2", "attributes": {}, "capacity": None, "held": 0, "free": None}]}
    assert [one["held"] for one in asked[3].body["candidates"]] == [2, 1]  # as it stands at the moment of sending
    assert "Authorization" not in asked[0].headers
    assert asked[0].headers["Content-Type"] == "application/json" and asked[0].headers["User-Agent"].startswith("galloc/")
    ids = [one.headers["X-Galloc-Attempt"] for one in asked]
    assert len(set(ids)) == 4 and all(re.fullmatch(rf"{run}/\d+/1", one) for one in ids), ids


def test_each_attempt_has_an_id_of_its_own(make_service, decided_by):
    service = make_service(lambda asked: Reply(200, {"agent_id": "nobody"}) if asked.body["attempt"] < 3 else least_loaded(asked))
    daemon = decided_by(service)
    daemon.wait_done(enqueue(daemon, 1))
    assert [(one.body["attempt"], one.headers["X-Galloc-Attempt"].rsplit("/", 1)[1]) for one in service.requests()] == [(1, "1"), (2, "2"), (3, "3")]


def test_a_key_is_sent_and_kept_out_of_what_is_told(make_service, decided_by):
    key = "plain words have no mark".replace(" ", "_")
    service = make_service(lambda asked: Reply(200, {"error": {"message": f"you sent {asked.headers['Authorization']} i.e. {key}", "retry": False}}))
    daemon = decided_by(service, with_key=True)
    daemon.set_key(key)
    daemon.restart()
    run = enqueue(daemon, 2)
    daemon.wait_done(run)
    assert service.requests()[0].headers["Authorization"] == f"Bearer {key}"
    told = json.dumps(daemon.results(run)) + json.dumps(endpoint(daemon)) + daemon.log + daemon.ctl("failures", run).stdout
    assert "you sent" in told and key not in told
    daemon.stop()
    assert key.encode() not in b"".join(path.read_bytes() for path in daemon.state_dir.iterdir() if path.is_file())


def test_no_key_is_no_fault_and_a_missing_one_that_was_named_is(make_service, decided_by, make_daemon):
    service = make_service()
    daemon = decided_by(service)
    shown = endpoint(daemon)
    assert (shown["state"], shown["has_key"], shown["needs_key"], shown["has_test_request"]) == ("up", False, False, False)
    text = daemon.ctl("endpoint", "show", "mine").stdout
    assert "none; its provider needs none" in text and "no model" in text and "no test_path" in text and "max_output_tokens" not in text
    daemon.key_file.unlink()
    daemon.configure("http://127.0.0.1:1", sections=f'endpoint "mine" {{ provider = "http"  base_url = "{service.url}"  api_key_file = "{daemon.key_file}" }}')
    daemon.restart()
    assert endpoint(daemon)["reason"] == "credentials"
    daemon.set_key("late-key-0123456789")
    assert daemon.api("POST", "/v1/endpoints/mine/resume").json["state"] == "up"
    daemon.wait_done(enqueue(daemon, 1, endpoint="mine"))
    assert service.requests()[-1].headers["Authorization"] == "Bearer late-key-0123456789"


# ---- what it answers ----

def test_it_is_validated_as_a_models_answer_is(make_service, decided_by):
    answers = {"K0000": {"agent_id": "nobody"}, "K0001": {"agent_id": "A0", "confidence": 1.5}, "K0002": {"decision": "A0"}, "K0003": ["A0"],
               "K0004": {"agent_id": "A0", "reason": 7}, "K0005": {"agent_id": "A0", "error": {"message": "x"}}}
    service = make_service(lambda asked: Reply(200, answers[asked.key]) if asked.key in answers else least_loaded(asked))
    daemon = decided_by(service)
    run = enqueue(daemon, 8)
    daemon.wait_done(run)
    assert failed(daemon, run) == {key: "invalid_answer" for key in answers}
    for key in answers:
        assert classes(daemon, run, key) == ["invalid_answer"] * 5


def test_an_agent_is_never_over_capacity(make_service, decided_by):
    service = make_service(lambda asked: Reply(200, {"agent_id": asked.body["candidates"][0]["agent_id"]}))
    daemon = decided_by(service)
    agents = make_agents(4, 10)
    loans = make_loans(40)
    run = daemon.create([(loan["lan"], loan) for loan in loans], agents)
    daemon.wait_done(run)
    check_allocation(daemon.results(run), [loan["lan"] for loan in loans], agents)


def test_an_error_of_its_own_is_final_with_its_words(make_service, decided_by):
    service = make_service(lambda asked: Reply(200, {"error": {"code": "closed_account", "message": "the account is closed", "retry": False}})
                           if asked.key == "K0003" else least_loaded(asked))
    daemon = decided_by(service, endpoint="max_in_flight = 2")
    run = enqueue(daemon, 10)
    assert daemon.wait_done(run)["counts"]["succeeded"] == 9
    assert failed(daemon, run) == {"K0003": "rejected"} and classes(daemon, run, "K0003") == ["rejected"]
    row = next(row for row in daemon.results(run) if row["key"] == "K0003")
    assert row["error"]["message"] == "closed_account: the account is closed"


POISONS = {"retry": lambda: Reply(200, {"error": {"code": "busy", "message": "later", "retry": True}}), "500": lambda: Reply(500),
           "short": lambda: Reply(200, '{"agent_id":"A', length=400), "drip": lambda: Reply(200, "{", drip=True), "504": lambda: Reply(504, "<p>gateway</p>")}


@pytest.mark.parametrize("poison", list(POISONS))
@pytest.mark.parametrize("test_path", ["", 'test_path = "/health"'])
def test_an_assignment_that_always_fails_spends_its_retries_by_the_others(make_service, decided_by, poison, test_path):
    service = make_service(latency=0.05)
    service.decide = lambda asked: POISONS[poison]() if asked.key == "K0002" else least_loaded(asked)
    daemon = decided_by(service, endpoint=f'request_timeout = "1s" max_in_flight = 3 {test_path}')
    run = enqueue(daemon, 400, capacity=200, options={"max_retries": 1})  # they last longer than its failures
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 399
    assert failed(daemon, run) == {"K0002": "transient"}
    assert classes(daemon, run, "K0002").count("transient") == 2 and spent(daemon) == {"K0002": 1}  # --max-retries 1: the failure that is final is not tried again


def test_half_an_answer_is_asked_again(make_service, decided_by):
    service = make_service(lambda asked: Reply(200, '{"agent_id":"A') if asked.body["attempt"] == 1 else least_loaded(asked))
    daemon = decided_by(service)
    run = enqueue(daemon, 5)
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 5 and done["retries"]["invalid_answer"] == 5


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_of_the_input_is_final(make_service, decided_by, status):
    service = make_service(lambda asked: Reply(status, {"detail": "n is odd"}) if asked.body["fields"]["n"] == 7 else least_loaded(asked))
    daemon = decided_by(service, endpoint="max_in_flight = 1")
    run = enqueue(daemon, 10)
    daemon.wait_done(run)
    assert failed(daemon, run) == {"K0007": "rejected"} and spent(daemon) == {}


@pytest.mark.parametrize("status, reason", [(401, "credentials"), (403, "credentials"), (402, "billing"), (404, "config"), (501, "config"), (302, "config")])
def test_what_is_wrong_with_the_endpoint_puts_it_down(make_service, decided_by, status, reason):
    target = make_service()
    service = make_service(lambda asked: Reply(status, b"", {"Location": f"{target.url}/elsewhere"}))
    daemon = decided_by(service)
    run = enqueue(daemon, 10)
    wait_until(lambda: endpoint(daemon)["state"] == "down", 20, "the endpoint is down")
    assert endpoint(daemon)["reason"] == reason and daemon.run(run)["reason"] == reason
    assert target.asked == []  # a redirect is never followed
    service.decide = least_loaded
    assert daemon.api("POST", "/v1/endpoints/mine/resume").status == 200
    assert daemon.wait_done(run)["counts"]["succeeded"] == 10 and spent(daemon) == {}


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_a_hint_is_waited_for(make_service, decided_by, kind):
    refused = []

    def decide(asked):
        if refused or asked.key != "K0002":
            return least_loaded(asked)
        refused.append(asked.at)
        now = datetime.datetime.now(datetime.timezone.utc)
        hint = "3" if kind == "seconds" else email.utils.format_datetime(now + datetime.timedelta(seconds=4), usegmt=True)
        return Reply(429, b"slow down", {"Retry-After": hint})  # the server's own Date goes with it

    service = make_service(decide)
    daemon = decided_by(service, endpoint="time_scale = 0.01")  # its own wait would be 0.15 s; a hint is not scaled
    run = enqueue(daemon, 6, profile="sequential")
    done = daemon.wait_done(run)
    assert done["counts"]["succeeded"] == 6 and done["retries"]["throttled"] == 1 and spent(daemon) == {}
    after = min(one.at for one in service.requests() if one.at > refused[0])
    assert after - refused[0] >= 2.9, after - refused[0]  # a date has whole seconds


# ---- well or ill ----

@pytest.mark.parametrize("test_path", ["", 'test_path = "/health"'])
def test_an_outage_fails_nobody(make_service, decided_by, test_path):
    service = make_service()
    daemon = decided_by(service, endpoint=f"max_in_flight = 8 rpm = 6000 {test_path}")
    run = enqueue(daemon, 600, capacity=300)
    wait_until(lambda: daemon.counts(run)["succeeded"] > 50, 30, "some are allocated")
    service.decide = service.health = lambda asked: Reply(503, b"down for repair")
    waiting = wait_until(lambda: (found := daemon.run(run)["waiting"]) and found["code"] == "outage" and found, 30, "the run waits")
    assert ("small test request" if test_path else "waiting assignment") in waiting["text"]
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 30, "nothing stays leased")
    before = len(service.requests()), len(service.requests("GET"))
    wait_until(lambda: len(service.asked) > sum(before) + 1, 30, "it is tried again")
    posts, gets = len(service.requests()) - before[0], len(service.requests("GET")) - before[1]
    assert (posts == 0 and gets > 0) if test_path else (gets == 0 and 0 < posts <= 4), (posts, gets)
    service.decide, service.health = least_loaded, lambda asked: Reply(200)
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 600
    assert spent(daemon) == {}


def test_probes_are_different_assignments_one_at_a_time(make_service, decided_by):
    service = make_service(lambda asked: Reply(500), latency=0.3)
    daemon = decided_by(service, endpoint="max_in_flight = 8")
    run = enqueue(daemon, 40)
    wait_until(lambda: endpoint(daemon)["pacer"]["breaker"] == "open", 20, "the breaker opens")
    wait_until(lambda: daemon.counts(run)["leased"] == 0, 20, "nothing stays leased")
    before = len(service.requests())
    wait_until(lambda: len(service.requests()) >= before + 3, 30, "three probes")
    probes = service.requests()[before:]
    assert len({one.key for one in probes}) == len(probes)
    assert all(later.at - earlier.at > 0.8 for earlier, later in zip(probes, probes[1:]))  # after 1, 2, 4 s
    service.decide = least_loaded
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 40
    assert sum(spent(daemon).values()) <= 1, spent(daemon)  # the last probe's own failure is confirmed by the next, which was answered


def test_those_that_are_never_served_hold_up_no_other(make_service, decided_by):
    """A service that says 503 to some: they open the breaker, and the others are its probes before they are."""
    service = make_service(lambda asked: Reply(503) if asked.key < "K0006" else least_loaded(asked))
    daemon = decided_by(service, endpoint="max_in_flight = 6")
    run = enqueue(daemon, 40)
    wait_until(lambda: endpoint(daemon)["pacer"]["breaker"] == "open", 20, "the breaker opens")
    wait_until(lambda: daemon.counts(run)["succeeded"] == 34, 20, lambda: f"the others are allocated: {daemon.run(run)}")
    assert daemon.counts(run)["failed"] == 0 and spent(daemon) == {}


@pytest.mark.parametrize("profile", ["adaptive", "sequential"])
def test_a_failure_that_nothing_else_can_judge_costs_nothing(make_service, decided_by, profile):
    failures = []

    def decide(asked):
        if asked.key == "K0001" and len(failures) < 2:
            failures.append(asked.at)
            return Reply(500)
        return least_loaded(asked)

    service = make_service(decide)
    daemon = decided_by(service)
    run = enqueue(daemon, 2, profile=profile, options={"max_retries": 0})
    assert daemon.wait_done(run, 60)["counts"]["succeeded"] == 2
    assert len(failures) == 2 and spent(daemon) == {}


def test_when_only_failures_are_left_it_is_told_and_at_last_a_person_decides(make_service, decided_by):
    service = make_service(lambda asked: Reply(500, b"no such column") if asked.key == "K0004" else least_loaded(asked))
    daemon = decided_by(service, endpoint="time_scale = 0.001")  # an hour is 3.6 s
    run = enqueue(daemon, 5, options={"max_retries": 0})
    told = wait_until(lambda: (found := daemon.run(run))["waiting"] and "all that is left has failed" in found["waiting"]["text"] and found, 30, "it is told")
    assert told["state"] == "running" and "no such column" in told["waiting"]["text"] and told["counts"]["failed"] == 0
    paused = wait_until(lambda: (found := daemon.run(run))["state"] == "paused" and found, 60, "it pauses")
    assert paused["reason"] == "failure_ratio"
    assert daemon.api("POST", f"/v1/runs/{run}/resume").status == 200
    before = len(service.requests(key="K0004"))
    wait_until(lambda: len(service.requests(key="K0004")) > before, 60, "it is tried again")
    assert daemon.run(run)["state"] == "running"  # not paused so again before a success
    daemon.ctl("cancel", run, "--state", "pending", "-y")
    assert daemon.wait_done(run, 30)["counts"] == {"total": 5, "pending": 0, "leased": 0, "succeeded": 4, "failed": 0, "cancelled": 1}


# ---- what it costs, and what may be said ----

def test_tokens_and_prices(make_service, decided_by):
    def decide(asked):
        answer = json.loads(least_loaded(asked).body)
        return Reply(200, {**answer, "usage": {"input_tokens": 1000, "output_tokens": 100}, "model": "router-2"} if asked.key < "K0005" else answer)

    daemon = decided_by(make_service(decide), sections='price "router-2" { in = 1  out = 10 }')
    run = enqueue(daemon, 10)
    done = daemon.wait_done(run)
    assert done["tokens"]["in"] == 5000 and done["tokens"]["out"] == 500
    assert done["cost"]["micros"] == 5 * 2000 and done["cost"]["unknown_calls"] == 5
    assert {row["model"] for row in daemon.results(run)} == {"router-2", None}
    daemon.ctl("endpoint", "set", "mine", "price_in=0", "price_out=0")
    free = daemon.wait_done(enqueue(daemon, 10, name="free"))
    assert free["cost"]["micros"] == 0 and free["cost"]["unknown_calls"] == 0


def test_an_estimate_tells_calls_and_time_and_no_tokens(make_service, decided_by):
    service = make_service()
    daemon = decided_by(service)
    body = {"endpoint": "mine", "agents": make_agents(3, 10), "assignments": 20, "prompts": 1, "options": {"keep_back": ["phone"]},
            "sample": [{"key": "K1", "fields": {"region": "north", "phone": "1"}}]}
    told = daemon.api("POST", "/v1/estimate", body).json
    assert told["calls"] == 20 and told["time"]["high_s"] > 0 and told["tokens_in"] == {"low": None, "high": None}
    assert told["cost"]["low_micros"] is None and "not known" in told["cost"]["text"]
    shown = json.loads(told["prompts"][0]["user"])
    assert shown["key"] == "K1" and shown["fields"] == {"region": "north"} and len(shown["candidates"]) == 3
    daemon.ctl("endpoint", "set", "mine", "price_in=0", "price_out=0")
    assert daemon.api("POST", "/v1/estimate", body).json["cost"]["high_micros"] == 0
    assert service.asked == []


def test_what_means_nothing_to_it_is_refused(make_service, decided_by):
    service = make_service()
    daemon = decided_by(service)
    refused = daemon.ctl("endpoint", "set", "mine", "max_output_tokens=99", check=False)
    assert refused.returncode != 0 and "takes no prompt" in refused.stderr
    created = daemon.api("POST", "/v1/runs", {"agents": [{"agent_id": "A"}], "template": "{{fields}} {{loads}}"})
    assert created.status == 422 and "takes no prompt" in created.json["detail"]
    tested = daemon.ctl("endpoint", "test", "mine", check=False)
    assert tested.returncode == 6 and "test_path" in tested.stderr
    assert service.asked == []


@pytest.mark.parametrize("health, ok, class_", [(Reply(200, b"fine"), True, "succeeded"), (Reply(204), True, "succeeded"), (Reply(503), False, "unavailable"),
                                                (Reply(404), False, "config"), (Reply(401), False, "credentials")])
def test_the_test_request(make_service, decided_by, health, ok, class_):
    service = make_service(health=lambda asked: health)
    daemon = decided_by(service, endpoint='test_path = "/health?deep=1"', with_key=True)
    tested = daemon.api("POST", "/v1/endpoints/mine/test").json
    assert (tested["ok"], tested["class"]) == (ok, class_)
    assert [(one.method, one.path, one.headers["Authorization"]) for one in service.asked] == [("GET", "/health?deep=1", f"Bearer {KEY}")]


BAD = [('provider = "http"', 'base_url has to be given', 2),
       ('provider = "http"\n base_url = "http://10.0.0.1/x"', "allow_plain_http", 3),
       ('provider = "http"\n base_url = "https://a.example/x y"', "not a URL", 3),
       ('provider = "http"\n base_url = "https://a.example/#x"', "fragment", 3),
       ('provider = "http"\n base_url = "https://a.example/"\n test_path = "health"', "test_path must be a path", 4),
       ('base_url = "https://a.example/"\n test_path = "/health"\n\n', 'test_path means nothing to provider "gemini"', 3),
       ('max_output_tokens = 99\n provider = "http"\n base_url = "https://a.example/"', 'max_output_tokens means nothing to provider "http"', 2),
       ('provider = "http"\n api_version = "v1"\n base_url = "https://a.example/"', 'api_version means nothing to provider "http"', 3),
       ('provider = "https"', "one of gemini|openai|http", 2)]


@pytest.mark.parametrize("text, words, line", BAD)
def test_a_wrong_configuration_names_its_line(make_daemon, text, words, line):
    daemon = make_daemon("http://127.0.0.1:1")
    daemon.config.write_text(f'endpoint "mine" {{\n {text} }}\n')
    checked = subprocess.run([program("gallocd"), "-c", str(daemon.config), "--check-config"], capture_output=True, text=True, check=False)
    assert checked.returncode == 78 and words in checked.stderr, checked.stderr
    assert f"{daemon.config}:{line}: " in checked.stderr, checked.stderr


def test_check_config_says_what_is_not_needed(make_daemon):
    daemon = make_daemon("http://127.0.0.1:1", sections='endpoint "mine" { provider = "http"  base_url = "http://127.0.0.1:2" }')
    checked = subprocess.run([program("gallocd"), "-c", str(daemon.config), "--check-config"], capture_output=True, text=True, check=True)
    assert "endpoint mine has no key; its provider (http) needs none" in checked.stdout and "no test_path" in checked.stdout
