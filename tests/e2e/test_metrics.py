"""GET /metrics: what is promised is there, every line of it is Prometheus' own text format, and the figures are those of what happened."""
import re
import shutil
import subprocess

import pytest

from harness import make_agents, make_loans, wait_until, write_csv

PROMISED = """galloc_assignments galloc_assignments_finished_total galloc_assignments_enqueued_total galloc_oldest_pending_age_seconds galloc_attempts_total
galloc_request_duration_seconds galloc_requests_in_flight galloc_tokens_total galloc_cost_micros_total galloc_pacer_rate_per_second galloc_pacer_concurrency
galloc_breaker_state galloc_pacer_wait_seconds_total galloc_leases galloc_leases_expired_total galloc_store_commit_duration_seconds galloc_store_batch_size
galloc_db_size_bytes galloc_wal_size_bytes galloc_http_request_duration_seconds galloc_event_clients galloc_event_dropped_total galloc_loop_lag_seconds
galloc_build_info process_cpu_seconds_total process_resident_memory_bytes process_open_fds process_start_time_seconds""".split()


def metrics(daemon):
    return daemon.api("GET", "/metrics").body


def figure(daemon, sample):
    return float(re.search(rf"^{re.escape(sample)} (\S+)$", metrics(daemon), re.M)[1])


def enqueue(daemon, count, *options):
    loans = write_csv(daemon.folder / "loans.csv", make_loans(count))
    agents = write_csv(daemon.folder / "agents.csv", make_agents(5, count))
    return daemon.ctl("-q", "enqueue", loans, "--agents", agents, *options).stdout.strip()


@pytest.fixture
def done(world):
    sim, daemon = world()
    run = enqueue(daemon, 30)
    wait_until(lambda: daemon.run(run)["state"] == "done", 60, "the run's end")
    return sim, daemon


def test_all_that_is_promised_is_there(done):
    _, daemon = done
    assert not set(PROMISED) - set(re.findall(r"^# TYPE (\S+)", metrics(daemon), re.M))


def test_promtool_takes_every_line(done):
    _, daemon = done
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    ran = subprocess.run(["promtool", "check", "metrics"], input=metrics(daemon), capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr + ran.stdout


def test_what_is_decided_anew_or_taken_back_makes_no_counter_fall(done):
    _, daemon = done
    finished = 'galloc_assignments_finished_total{outcome="%s"}'
    assert figure(daemon, finished % "succeeded") == 30
    daemon.ctl("redo", "@last", "--all", "--reason", "again")
    daemon.wait_done()
    assert figure(daemon, finished % "succeeded") == 60
    daemon.ctl("discard", "@last", "--all", "--reason", "sold")
    assert (figure(daemon, finished % "succeeded"), figure(daemon, finished % "cancelled")) == (60, 30)
    assert figure(daemon, 'galloc_assignments{run_state="done",state="succeeded"}') == 0


def test_how_long_calls_took(done):
    sim, daemon = done
    name, of = "galloc_request_duration_seconds", 'endpoint="gemini"'
    buckets = [float(value) for value in re.findall(rf'^{name}_bucket{{{of},le="[^"]+"}} (\S+)$', metrics(daemon), re.M)]
    assert buckets == sorted(buckets) and buckets[-1] == figure(daemon, f"{name}_count{{{of}}}") == sim.stats()["calls"]
    assert figure(daemon, f"{name}_sum{{{of}}}") >= 30 * 0.020  # its latency


def test_what_held_calls_back(world):
    _, daemon = world(endpoint="rpm = 6")
    enqueue(daemon, 20)
    held = 'galloc_pacer_wait_seconds_total{endpoint="gemini",kind="%s"}'
    wait_until(lambda: figure(daemon, held % "rpm") > 0.5, 60, "some of it is waited for")
    assert figure(daemon, held % "outage") == figure(daemon, held % "quota_day") == 0
    daemon.ctl("cancel", "@last", "--all")
    wait_until(lambda: daemon.run()["state"] == "cancelled", 30, "its end")
    wait_until(lambda: figure(daemon, held % "rpm") == figure(daemon, held % "rpm"), 30, "it grows no more between two looks")
