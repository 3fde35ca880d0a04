"""The process: its command line, state directory and sockets, signals, what the service manager hears, how it ends."""
import os
import signal
import socket
import stat
import subprocess
import time

import pytest
from harness import SLOWNESS, Daemon, Sim, program, wait_until

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def make():
    made = []

    def factory(*arguments, **members):
        made.append(Daemon(*arguments or (NOBODY,), **members))
        return made[-1]

    yield factory
    for daemon in made:
        daemon.remove()


def gallocd(*arguments, **more):
    return subprocess.run([program("gallocd"), *map(str, arguments)], capture_output=True, text=True, timeout=60 * SLOWNESS, check=False, **more)


def refused(daemon, *more):
    """Starts it in the foreground; it has to end by itself."""
    return gallocd("-c", daemon.config, "--socket", daemon.socket, "--state-dir", daemon.state_dir, *more)


# ---- command line ----

@pytest.mark.parametrize("arguments", [["--nonsense"], ["-c"], ["--socket"], ["what"], ["--check-confg"]])
def test_wrong_usage_is_64(arguments):
    ran = gallocd(*arguments)
    assert ran.returncode == 64 and "gallocd --help" in ran.stderr and ran.stdout == ""


def test_what_is_printed():
    assert "--state-dir" in gallocd("--help").stdout
    assert gallocd("--version").stdout.startswith("gallocd ")
    assert "GET    /v1/status" in gallocd("--print-routes").stdout
    assert "rpm" in gallocd("--print-settings").stdout


def test_configuration_is_checked(make):
    daemon = make()
    assert gallocd("-c", daemon.config, "--check-config").returncode == 0
    daemon.key_file.chmod(0o644)
    told = gallocd("-c", daemon.config, "--check-config")
    assert told.returncode == 0 and "others can reach the key file" in told.stdout
    daemon.key_file.chmod(0o600)
    assert "note" not in gallocd("-c", daemon.config, "--check-config").stdout
    daemon.config.write_text('drain_timeout = "30 parsecs"\n')
    for arguments in (["--check-config"], []):
        ran = gallocd("-c", daemon.config, *arguments)
        assert ran.returncode == 78 and f"{daemon.config}:1" in ran.stderr, ran
    assert gallocd("-c", daemon.folder / "none", "--check-config").returncode == 78
    assert not daemon.state_dir.exists(), "a wrong configuration touches nothing"


# ---- state directory ----

def test_a_second_daemon_is_told_who_holds_the_state(make):
    daemon = make().start()
    other = make()
    ran = gallocd("-c", other.config, "--socket", other.socket, "--state-dir", daemon.state_dir)
    assert ran.returncode == 75
    assert f"process {daemon.process.pid}" in ran.stderr and daemon.socket in ran.stderr
    assert daemon.api("GET", "/readyz").status == 200


def test_state_directory_has_to_be_ones_own_alone(make):
    daemon = make()
    daemon.state_dir.mkdir(0o700)
    os.chmod(daemon.state_dir, 0o755)
    ran = refused(daemon)
    assert ran.returncode == 78 and "chmod 700" in ran.stderr
    assert list(daemon.state_dir.iterdir()) == []
    os.chmod(daemon.state_dir, 0o700)
    daemon.start()
    assert stat.S_IMODE(daemon.database.stat().st_mode) == 0o600
    if os.geteuid() == 0:
        daemon.stop()
        os.chown(daemon.state_dir, 12345, -1)
        ran = refused(daemon)
        assert ran.returncode == 78 and "12345" in ran.stderr


def test_state_directory_that_is_a_file(make):
    daemon = make()
    daemon.state_dir.write_text("x")
    ran = refused(daemon)
    assert ran.returncode == 78 and "state directory" in ran.stderr and daemon.state_dir.read_text() == "x"


def test_a_foreign_database_is_65_and_untouched(make):
    daemon = make()
    daemon.state_dir.mkdir(0o700)
    daemon.database.write_bytes(b"this is no database at all" * 100)
    ran = refused(daemon)
    assert ran.returncode == 65 and str(daemon.database) in ran.stderr
    assert daemon.database.read_bytes() == b"this is no database at all" * 100
    assert not os.path.exists(daemon.socket), "nobody is let in"


# ---- the socket ----

def test_the_socket_is_never_open_to_others(make):
    daemon = make().start()
    found = os.stat(daemon.socket)
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o660
    daemon.stop()
    assert not os.path.exists(daemon.socket), "it is taken away at the end"


def test_a_stale_socket_is_replaced(make):
    daemon = make().start()
    daemon.kill()
    assert os.path.exists(daemon.socket)
    daemon.start()
    assert daemon.stop() == 0


def test_a_socket_that_answers_is_left_alone(make):
    first, second = make().start(), make()
    ran = gallocd("-c", second.config, "--socket", first.socket, "--state-dir", second.state_dir)
    assert ran.returncode == 75 and "answers" in ran.stderr
    assert first.api("GET", "/readyz").status == 200


def test_what_is_no_socket_is_left_alone(make):
    daemon = make()
    with open(daemon.socket, "w", encoding="ascii") as file:
        file.write("precious")
    ran = refused(daemon)
    assert ran.returncode == 78 and "is not a socket" in ran.stderr
    with open(daemon.socket, encoding="ascii") as file:
        assert file.read() == "precious"


def test_a_folder_where_everybody_writes_is_refused(make):
    daemon = make()
    ran = gallocd("-c", daemon.config, "--socket", f"/tmp/galloc-test-{os.getpid()}.sock", "--state-dir", daemon.state_dir)
    assert ran.returncode == 78 and "everybody can write" in ran.stderr


def test_a_path_too_long_for_a_socket(make):
    daemon = make()
    ran = gallocd("-c", daemon.config, "--socket", str(daemon.folder / ("x" * 200)), "--state-dir", daemon.state_dir)
    assert ran.returncode == 78 and "107" in ran.stderr


def test_a_socket_handed_over_is_served_and_stays(make):
    daemon = make()
    path = str(daemon.folder / "activated")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(8)
        daemon.process = subprocess.Popen(
            ["/bin/bash", "-c", 'export LISTEN_PID=$$; exec "$0" "$@" 3<&%d' % listening.fileno(), program("gallocd"), "-c", str(daemon.config), "--socket", path,
             "--state-dir", str(daemon.state_dir)], pass_fds=[listening.fileno()], stderr=open(daemon.log_path, "wb"),
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "gallocd.sock"})
    daemon.socket = path
    wait_until(daemon.is_ready, 20, "the socket is served")
    assert daemon.stop() == 0
    assert os.path.exists(path), "it belongs to the manager"


# ---- the key ----

def test_without_a_key_it_starts_and_says_so(make):
    daemon = make()
    daemon.key_file.unlink()
    daemon.start()
    status = daemon.api("GET", "/v1/status").json
    assert status["daemon"]["state"] == "ready" and "gemini" in status["daemon"]["text"]
    endpoint = status["endpoints"][0]
    assert (endpoint["state"], endpoint["reason"]) == ("down", "credentials") and "endpoint resume gemini" in endpoint["text"]
    run = daemon.create([("a", {})], [{"agent_id": "A"}])
    shown = daemon.run(run)
    assert (shown["state"], shown["reason"]) == ("paused", "credentials")
    assert daemon.api("POST", "/v1/endpoints/gemini/resume").status == 404


# ---- signals ----

def test_sigterm_lets_calls_in_flight_end(make):
    sim = Sim("--latency_ms", "1500")
    try:
        daemon = make(sim.url).start()
        run = daemon.create([(f"K{n}", {}) for n in range(40)], [{"agent_id": "A"}], profile="conservative")
        wait_until(lambda: sim.stats()["calls"] >= 3, 20, "calls are in flight")
        assert daemon.stop() == 0
        daemon.start()
        found = daemon.run(run)
        assert found["counts"]["succeeded"] == 3 and found["retries"]["lost"] == 0, found
    finally:
        sim.stop()


def test_a_second_sigterm_stops_at_once(make):
    sim = Sim("--latency_ms", "30000")
    try:
        daemon = make(sim.url).start()
        run = daemon.create([(f"K{n}", {}) for n in range(4)], [{"agent_id": "A"}])
        wait_until(lambda: daemon.counts(run)["leased"] > 0, 20, "calls are in flight")
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping " in daemon.log, 10, "it drains")
        assert daemon.api("GET", "/readyz").json["code"] == "draining"
        assert daemon.api("POST", "/v1/undrain").status == 409
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(10 * SLOWNESS) == 0, daemon.log
        assert time.monotonic() - began < 5 * SLOWNESS
        daemon.start()
        assert daemon.run(run)["counts"]["total"] == 4, "nothing accepted is lost"
    finally:
        sim.stop()


def test_sighup_reads_the_configuration_and_keeps_the_old_when_it_is_wrong(make):
    daemon = make().start()
    before = daemon.config.read_text()
    daemon.config.write_text('drain_timeout = "3s"\n' + before)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: 'changed=["drain_timeout"]' in daemon.log, 10, lambda: daemon.log)
    daemon.config.write_text("nonsense")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload_refused" in daemon.log, 10, lambda: daemon.log)
    assert daemon.api("GET", "/readyz").status == 200 and daemon.api("GET", "/v1/endpoints/gemini").status == 200


# ---- the service manager ----

def test_what_the_service_manager_hears(make):
    daemon = make(environment={"WATCHDOG_USEC": "3000000"})
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = str(daemon.folder / "notify")
        notify.bind(path)
        notify.settimeout(20 * SLOWNESS)
        daemon.environment["NOTIFY_SOCKET"] = path
        daemon.start()

        def hear(word):
            while not any(word in text for text in heard):
                heard.append(notify.recv(4096).decode())
            return True

        assert hear("READY=1") and hear("STATUS=")
        while sum("WATCHDOG=1" in text for text in heard) < 4:  # an idle daemon lives too
            heard.append(notify.recv(4096).decode())
        assert "watchdog_withheld" not in daemon.log
        daemon.process.send_signal(signal.SIGHUP)
        assert hear("RELOADING=1")
        daemon.process.send_signal(signal.SIGTERM)
        assert hear("STOPPING=1")
        assert daemon.process.wait(20 * SLOWNESS) == 0
    text = "\n".join(heard)
    assert text.index("READY=1") > text.index("opening the database")


def test_the_process_gives_its_rights_up(make):
    daemon = make().start()
    limits = open(f"/proc/{daemon.process.pid}/limits", encoding="ascii").read()
    assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")] == ["0"]
    status = open(f"/proc/{daemon.process.pid}/status", encoding="ascii").read()
    assert "NoNewPrivs:\t1" in status and "Umask:\t0077" in status
    assert "AQ.test-key" not in open(f"/proc/{daemon.process.pid}/cmdline", encoding="ascii").read()


@pytest.mark.parametrize("lines, words", [('base_url = "http://example.com"', "in the open"), ('base_url = "ftp://example.com"', "only https"),
                                          ('base_url = "https://me:secret@example.com"', "user or password"), ('base_url = "nonsense"', "not a URL"),
                                          ('provider = "carrier-pigeon"', "provider"), ('proxy = "socks5://127.0.0.1:1"', "proxy")])
def test_addresses_that_may_not_be_called_are_refused_at_the_start(tmp_path, lines, words):
    config = tmp_path / "gallocd.conf"
    config.write_text('endpoint "gemini" {\n  %s\n}\n' % lines)
    for arguments in (["--check-config"], []):
        ran = gallocd("-c", config, "--socket", tmp_path / "s", "--state-dir", tmp_path / "state", *arguments)
        assert ran.returncode == 78 and words in ran.stderr and "secret" not in ran.stderr, ran
    assert not (tmp_path / "state").exists()
