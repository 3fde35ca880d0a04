"""Gemini on Vertex AI: project paths with an access token that another program renews, and the express mode with a key."""
import os

import pytest

from harness import wait_until
from test_provider_openai import make_agents, make_loans

TOKENS = ["ya29.CANARY-first", "ya29.CANARY-second", "ya29.CANARY-third"]
PLACE = 'vertex = yes project = "my-project-1" location = "europe-west4"'


def put_token(path, token):
    """As the manual says: written beside it and renamed."""
    fresh = path.with_suffix(".new")
    fresh.touch(0o600)
    fresh.write_text(token + "\n")
    os.rename(fresh, path)


@pytest.fixture
def vertex(make_daemon, make_sim):
    """vertex(PLACE) gives (sim, daemon, token file): a gallocd on a simulator that takes the first token."""
    def make(settings, token=TOKENS[0]):
        sim = make_sim("--api-key", token)
        daemon = make_daemon("http://127.0.0.1:1")
        path = daemon.folder / "token"
        put_token(path, TOKENS[0])
        daemon.configure("http://127.0.0.1:1", 'default_endpoint = "v"', sections=f"""
            endpoint "v" {{ {settings} base_url = "{sim.url}" token_file = "{path}" time_scale = 0.02 }}""")
        return sim, daemon.start(), path

    return make


def reason(daemon, run):
    return daemon.run(run)["reason"]


@pytest.mark.parametrize("settings", [PLACE, PLACE + " api_version = v1beta1", "vertex = yes"])
def test_a_run_is_allocated(vertex, settings):
    sim, daemon, _ = vertex(settings)
    run = daemon.create(make_loans(20), make_agents(3, 10))
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 20 and sim.stats()["by_kind"]["ok"] == 20


def test_an_expired_token_fails_nothing_and_a_renewed_one_goes_on(vertex):
    sim, daemon, path = vertex(PLACE)
    daemon.wait_done(daemon.create(make_loans(3), make_agents(3, 10)))
    for token in TOKENS[1:]:
        sim.set(api_key=token)  # the former one has expired
        run = daemon.create(make_loans(6), make_agents(3, 10))
        wait_until(lambda: reason(daemon, run) == "credentials", what="the endpoint to go down")
        assert f"goes on by itself when the access token in {path} is renewed" in daemon.run(run)["text"]
        put_token(path, token)
        daemon.wait_done(run)  # by itself: nobody resumed anything
        assert daemon.counts(run)["succeeded"] == 6 and daemon.run(run)["retries"]["transient"] == 0
    assert not any(token in daemon.log for token in TOKENS) and "CANARY" not in str(daemon.api("GET", "/v1/endpoints/v").body)


def test_a_late_refusal_of_the_former_token_says_nothing_of_the_new_one(vertex):
    sim, daemon, path = vertex(PLACE)
    sim.set(api_key=TOKENS[1], refusal_ms=3000)
    run = daemon.create(make_loans(2), make_agents(3, 10))
    wait_until(lambda: sim.stats()["in_flight"] > 0, what="calls with the former token")
    put_token(path, TOKENS[1])
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 2 and "endpoint_down" not in daemon.log


def test_a_token_that_comes_late(make_daemon, make_sim):
    sim = make_sim("--api-key", TOKENS[0])
    daemon = make_daemon("http://127.0.0.1:1")
    path = daemon.folder / "token"
    daemon.configure("http://127.0.0.1:1", 'default_endpoint = "v"',
                     sections=f'endpoint "v" {{ {PLACE} base_url = "{sim.url}" token_file = "{path}" }}')
    daemon.start()
    run = daemon.create(make_loans(3), make_agents(3, 10))
    wait_until(lambda: reason(daemon, run) == "credentials", what="the endpoint to be without a token")
    assert str(path) in str(daemon.run(run))
    put_token(path, TOKENS[0])
    daemon.wait_done(run)
    assert daemon.counts(run)["succeeded"] == 3


@pytest.mark.parametrize("settings, line, words", [
    ('vertex = yes\nproject = "p"', 3, "location is missing"), ('vertex = yes\nlocation = "us"', 3, "project is missing"),
    ('model = "m"\nproject = "p"', 3, "project is for Vertex AI"), ('vertex = yes\nproject = "p"\nlocation = "us/x"', 4, "location must be like")])
def test_what_cannot_be_is_told_with_its_line(make_daemon, settings, line, words):
    daemon = make_daemon("http://127.0.0.1:1")
    daemon.config.write_text(f'endpoint "v" {{\n{settings}\n}}\n')
    daemon.start(ready=False)
    assert daemon.process.wait(30) == 78
    assert f"gallocd.conf:{line}: " in daemon.log and words in daemon.log
