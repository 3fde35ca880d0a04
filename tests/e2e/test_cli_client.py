"""gallocctl as a client: exit statuses, restarts, interrupted imports, what it prints and where, terminals, Ctrl-C."""
import grp
import json
import os
import pty
import re
import signal
import subprocess
import termios
import threading
import zipfile

import pytest

import harness
from cli_fixture import Bench
from harness import wait_until

LOANS = "lan,region\n" + "".join(f"L{number},north\n" for number in range(20))


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def big(count=60000):
    return "lan,text\n" + "".join(f"L{number:06},{'x' * 40}\n" for number in range(count))


def test_no_daemon(bench):
    ran = bench.ctl("-S", "/tmp/nowhere/at-all", "status")
    assert ran.returncode == 3 and "start it with" in ran.err
    bench.fake.stop()
    ran = bench.ctl("status")
    assert ran.returncode == 3 and "no daemon listens" in ran.err


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_not_permitted_names_the_group(bench):
    os.chmod(bench.folder, 0o755)
    os.chmod(bench.fake.socket, 0o660)
    os.chown(bench.fake.socket, 0, grp.getgrnam("staff").gr_gid)
    program = bench.folder / "gallocctl"
    program.write_bytes(open(harness.program("gallocctl"), "rb").read())
    program.chmod(0o755)
    ran = subprocess.run([program, "status"], capture_output=True, text=True, env=bench.environment(), user=65534, group=65534, extra_groups=[], check=False)
    assert ran.returncode == 5 and "group staff" in ran.stderr, ran.stderr


@pytest.mark.parametrize("arguments,status,word", [
    ((), 2, "command is missing"), (("statsu",), 2, "did you mean status"), (("enqueue",), 2, "usage"), (("runs", "extra"), 2, "too many"),
    (("runs", "--limt", "3"), 2, "did you mean --limit"), (("runs", "--limit", "-3"), 2, "--limit"), (("pool", "lsit"), 2, "did you mean list"),
    (("pool",), 2, "list, show, import"), (("status", "r-none"), 4, "no run"), (("show", "r-none", "k"), 4, "no run"), (("cancel", "@last"), 2, "--all"),
    (("pause",), 2, "--all"), (("enqueue", "agents.csv"), 2, "--agents FILE or --pool"), (("endpoint", "show", "gemin"), 4, "there is gemini"),
    (("--format", "yaml", "runs"), 2, "table|json"), (("profile", "show", "adaptiv"), 4, "did you mean adaptive"),
    (("endpoint", "set", "gemini", "rpn=3"), 2, "did you mean rpm"), (("endpoint", "set", "gemini", "rpm=x"), 2, "rpm"),
    (("runs", "--since", "yesterday"), 2, "2026-12-01"), (("enqueue", "agents.csv", "--agents", "agents.csv", "--batch-size", "3"), 2, "batch profiles"),
    (("api", "GET", "nope"), 2, "begins with /"), (("api", "GET", "/v1/nope"), 4, "no such path"), (("results", "@last", "--format", "xlsx"), 2, "-o"),
    (("completion", "tcsh"), 2, "bash, zsh and fish"), (("help", "enqueu"), 2, "did you mean enqueue"),
])
def test_wrong_use(bench, arguments, status, word):
    ran = bench.ctl(*arguments)
    assert ran.returncode == status, (ran.returncode, ran.err)
    assert word in ran.err and ran.out == ""


def test_every_command_answers(bench):
    bench.fake.auto_finish = True
    bench.fake.fail_keys = {"L3"}
    bench.enqueue("in.csv", LOANS, "--name", "north")
    for arguments in (["status"], ["status", "north"], ["runs"], ["list", "north"], ["show", "north", "L1", "--prompt"], ["attempts", "north", "L1"],
                      ["failures"], ["loads", "north"], ["results", "north"], ["pool", "import", "P", "agents.csv"], ["pool", "list"], ["pool", "show", "P"],
                      ["pool", "set", "P", "A1", "capacity=none", "available=no"], ["loads", "--pool", "P"], ["endpoint", "list"],
                      ["endpoint", "show", "gemini"], ["endpoint", "set", "gemini", "rpm=30", "request_timeout=30s", "--for", "2h"],
                      ["endpoint", "unset", "gemini", "rpm"], ["profile", "list"], ["profile", "show", "adaptive"], ["template", "show"], ["health"],
                      ["doctor"], ["drain", "--wait"], ["undrain"], ["reload"], ["audit"], ["version"], ["retry", "north", "--state", "failed"],
                      ["cancel", "north", "--key", "L3"], ["set", "north", "priority=5"], ["pause", "north"], ["resume", "north"], ["events"]):
        for form in ([], ["--json"], ["--format", "ndjson"], ["--format", "csv"]):
            if form and arguments[0] == "events":
                continue
            if form == ["--format", "csv"] and arguments[0] == "status":
                refused = bench.ctl(*form, *arguments)
                assert refused.returncode == 2 and "gallocctl runs --format csv" in refused.err and not refused.out
                continue
            ran = bench.ctl(*form, *arguments)
            assert ran.returncode == 0, (arguments, ran.returncode, ran.err)
            assert ran.out or arguments[0] == "events", arguments
            if form == ["--json"]:
                json.loads(ran.out)
    assert bench.fake.audit[0] == {"settings": {"rpm": 30, "request_timeout": "30s"}, "for_ms": 7200000}
    assert bench.ctl("endpoint", "test", "gemini").returncode == 1


def test_quiet_prints_the_id_alone(bench):
    ran = bench.enqueue("in.csv", LOANS, "-q")
    assert ran.out.strip() == bench.fake.the_run()["id"] and ran.err == ""
    assert bench.ctl("-q", "runs").out.split() == [bench.fake.the_run()["id"]]


def test_verbose_tells_requests(bench):
    ran = bench.ctl("-v", "status")
    assert re.search(r"GET /v1/status: HTTP 200 after \d+ ms", ran.err), ran.err


def test_the_same_file_again(bench):
    assert bench.enqueue("in.csv", LOANS).returncode == 0
    ran = bench.enqueue("in.csv", LOANS)
    assert ran.returncode == 6 and bench.fake.the_run()["id"] in ran.err and "--again" in ran.err
    assert bench.enqueue("in.csv", LOANS, "--again").returncode == 0


def test_check_sends_nothing(bench):
    ran = bench.ctl("check", bench.write("in.csv", LOANS), "--agents", "agents.csv", "--keep-back", "region", "--show-prompt", "2")
    assert ran.returncode == 0, ran.err
    assert "20 assignments" in ran.out and "kept back  region" in ran.out and ran.out.count("prompt of L") == 2
    assert not bench.fake.runs
    assert bench.ctl("enqueue", "in.csv", "--agents", "agents.csv", "-n").returncode == 0 and not bench.fake.runs


def test_import_goes_on_after_a_kill_of_the_client(bench):
    """Killed in the middle, the same command continues: parts that stand are not sent again."""
    path = bench.write("in.csv", big())
    held = []

    def hold(handler):
        held.append(handler)
        wait_until(lambda: client.poll() is not None, what="the client is dead")
        handler.cut()

    bench.fake.faults[("PUT", "/parts/3")] = [hold]
    client = bench.start("enqueue", path, "--agents", "agents.csv")
    wait_until(lambda: held, what="the third part")
    client.kill()
    client.wait()
    client.stdout.close()
    client.stderr.close()
    bench.fake.faults.clear()
    ran = bench.ctl("enqueue", path, "--agents", "agents.csv")
    assert ran.returncode == 0, ran.err
    assert "2 parts stand" in ran.err and "accepted  60,000" in ran.out
    puts = [path for method, path, _ in bench.fake.requests if method == "PUT"]
    assert sum(path.endswith("/parts/1") for path in puts) == 1
    assert [key for key, _ in bench.rows()] == [f"L{number:06}" for number in range(60000)]


@pytest.mark.parametrize("where", [("PUT", "/parts/2"), ("POST", "/commit"), ("POST", "/v1/runs")])
def test_a_restart_in_the_middle_is_followed(bench, where):
    """The daemon dies with a request in its hands, once before and once after it did the work."""
    def die(handler):
        bench.fake.stop()
        threading.Timer(0.2, bench.fake.start).start()

    def die_after(handler):
        body = [body for _, path, body in bench.fake.requests if path == handler.path][-1]
        names = handler.path.split("/")[1:]
        with bench.fake.lock:
            handler.route(handler.command, names, {}, body)
        die(handler)

    bench.fake.faults[where] = [die, die_after] if where[1] != "/v1/runs" else []
    if where[1] == "/v1/runs":
        bench.fake.faults[where] = [lambda handler: handler.answer(503, "application/problem+json", {"code": "busy", "detail": "later", "status": 503})]
    ran = bench.enqueue("in.csv", big())
    assert ran.returncode == 0, ran.err
    assert len(bench.rows()) == 60000 and bench.fake.the_run()["state"] == "running"


def test_a_full_disk_ends_the_import_and_keeps_it(bench):
    full = {"type": "about:blank", "title": "x", "status": 507, "code": "disk_full", "detail": "the disk is full"}
    bench.fake.faults[("PUT", "/parts/2")] = [lambda handler: handler.answer(507, "application/problem+json", full)]
    ran = bench.enqueue("in.csv", big())
    assert ran.returncode == 11 and "disk is full" in ran.err and "same command goes on" in ran.err
    assert bench.fake.the_run()["state"] == "importing"
    assert bench.ctl("enqueue", "in.csv", "--agents", "agents.csv").returncode == 0


def test_wait_outcomes(bench):
    bench.fake.fail_keys = {"L1"}
    bench.fake.auto_finish = True
    assert bench.enqueue("in.csv", LOANS, "--wait").returncode == 1
    assert bench.ctl("wait", "@last").returncode == 1
    bench.fake.auto_finish, bench.fake.fail_keys = False, set()
    bench.enqueue("b.csv", LOANS + "X,1\n", "--name", "b")
    run = bench.fake.find("b")
    assert bench.ctl("--timeout", "300ms", "wait", "b").returncode == 8
    waiter = bench.start("wait", "b")
    wait_until(lambda: any("/v1/events" in path for _, path, _ in bench.fake.requests[-3:]), what="the waiter listens")
    bench.fake.finish(run)
    assert waiter.wait(20) == 0
    waiter.stdout.close()
    waiter.stderr.close()
    bench.enqueue("c.csv", LOANS + "Y,1\n", "--name", "c")
    bench.fake.pause(bench.fake.find("c"), "credentials", "the key is refused: put a good one there, then 'gallocctl endpoint resume gemini'")
    ran = bench.ctl("wait", "c")
    assert ran.returncode == 9 and "endpoint resume gemini" in ran.err
    bench.ctl("cancel", "c", "--all", "-y")
    assert bench.ctl("wait", "c").returncode == 10
    assert bench.ctl("wait", "b", "c").returncode == 10


@pytest.mark.parametrize("command", ["watch", "follow", "wait"])
def test_a_restart_under_watch(bench, command):
    bench.enqueue("in.csv", LOANS)
    run = bench.fake.the_run()
    client = bench.start(command, run["id"])
    wait_until(lambda: any("/v1/events" in path for _, path, _ in bench.fake.requests), what="the client listens")
    bench.fake.stop()
    before = len(bench.fake.requests)
    bench.fake.start()
    wait_until(lambda: any("/v1/events" in path for _, path, _ in bench.fake.requests[before:]), what="the client came back")
    bench.fake.finish(run)
    out, err = client.communicate(timeout=30)
    assert client.returncode == 0, (out, err)
    assert b"waiting for it" in err and b"20 allocated" in err


def test_follow_prints_retries(bench):
    bench.enqueue("in.csv", LOANS)
    run = bench.fake.the_run()
    client = bench.start("follow", run["id"])
    wait_until(lambda: any("assignments=1" in path for _, path, _ in bench.fake.requests), what="the client listens")
    bench.fake.event("attempt", run=run["id"], key="L1", n=1, **{"class": "transient"}, http_status=503, retry=1, max_retries=3, retry_in_ms=2100,
                     message="overloaded\x1b[31m", endpoint="gemini")
    bench.fake.event("assignment", run=run["id"], key="L1", state="succeeded", code=None, agent_id="A1")
    bench.fake.finish(run)
    out, _ = client.communicate(timeout=30)
    assert client.returncode == 0
    assert "retry 1/3 in 2.1 s, L1, 503 transient: overloaded\\x1b[31m" in out.decode() and "L1 allocated to A1" in out.decode()


def test_interrupt_detaches(bench):
    bench.enqueue("in.csv", LOANS)
    client = bench.start("watch")
    wait_until(lambda: any("/v1/events" in path for _, path, _ in bench.fake.requests), what="the client listens")
    client.send_signal(signal.SIGINT)
    _, err = client.communicate(timeout=20)
    assert client.returncode == -signal.SIGINT and b"goes on" in err
    assert bench.fake.the_run()["state"] == "running"


HOSTILE = "\x1b]0;owned\x07 \x9b31m \u202e evil \x7f"


def on_terminal(bench, *arguments):
    """Runs gallocctl with stdout and stderr on a pseudo-terminal; what the terminal got, and the exit status."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 110))
    process = subprocess.Popen([harness.program("gallocctl"), *arguments], stdin=child, stdout=child, stderr=child, cwd=bench.folder,
                               env=bench.environment(TERM="xterm", COLUMNS="110"))
    os.close(child)
    text = b""
    while True:
        try:
            block = os.read(parent, 65536)
        except OSError:
            break
        if not block:
            break
        text += block
    os.close(parent)
    return text.decode(errors="replace"), process.wait(20)


@pytest.mark.parametrize("arguments", [["show", "@last", "L1"], ["list", "@last"], ["results", "@last"], ["results", "@last", "--format", "ndjson"],
                                       ["--json", "list", "@last"], ["--format", "csv", "list", "@last"], ["results", "@last", "--format", "json"],
                                       ["show", "@last", "L1", "--json"]])
def test_nothing_hostile_reaches_a_terminal(bench, arguments):
    bench.fake.auto_finish = True
    bench.fake.hostile = HOSTILE
    bench.enqueue("in.csv", "lan,note\nL1,\"" + HOSTILE + "\"\n")
    text, status = on_terminal(bench, *arguments)
    assert status == 0
    plain = re.sub(r"\x1b\[[0-9;]*[mK]", "", text)
    assert "owned" in plain
    assert not set(plain) & set("\x1b\x07\x9b\u202e\x7f"), repr(plain)
    assert "\x1b[31m" not in text


def test_raw_is_not_for_terminals(bench):
    bench.fake.auto_finish = True
    bench.fake.hostile = HOSTILE
    bench.enqueue("in.csv", LOANS)
    text, status = on_terminal(bench, "attempts", "@last", "L1", "--raw")
    assert status == 2 and "\x07" not in text
    assert HOSTILE in bench.ctl("attempts", "@last", "L1", "--raw").out


def test_bar_on_a_terminal_alone(bench):
    bench.enqueue("in.csv", LOANS)
    bench.fake.event("progress", run=bench.fake.the_run()["id"], snapshot=bench.fake.run_object(bench.fake.the_run()))
    text, status = on_terminal(bench, "--timeout", "1500ms", "watch")
    assert status == 8 and "[----" in text and "ETA 20 min to 28 min  3,120/min (limited by rpm)" in text
    assert all(len(line) < 110 for line in re.sub(r"\x1b\[[0-9;]*[mK]", "", text).replace("\n", "\r").split("\r"))
    ran = bench.ctl("--timeout", "1500ms", "watch")
    assert ran.returncode == 8 and "[--" not in ran.err


def test_results_files(bench):
    bench.fake.auto_finish = True
    bench.fake.fail_keys = {"L3"}
    bench.enqueue("in.csv", LOANS)
    for name in ("out.csv", "out.ndjson", "out.json", "out.xlsx"):
        ran = bench.ctl("results", "@last", "-o", name)
        assert ran.returncode == 0, ran.err
    assert len((bench.folder / "out.csv").read_text().splitlines()) == 21
    rows = [json.loads(line) for line in (bench.folder / "out.ndjson").read_text().splitlines()]
    assert [row["key"] for row in rows] == [f"L{number}" for number in range(20)]
    assert json.loads((bench.folder / "out.json").read_text()) == rows
    with zipfile.ZipFile(bench.folder / "out.xlsx") as book:
        names = re.findall(r'<sheet name="([^"]*)"', book.read("xl/workbook.xml").decode())
        sheets = [book.read(f"xl/worksheets/sheet{number}.xml").decode() for number in (1, 2, 3)]
    assert names == ["Allocations", "Not allocated", "Loads"]
    assert sheets[0].count("<row ") == 20 and sheets[1].count("<row ") == 2 and sheets[2].count("<row ") == 3
    assert "<f>" not in "".join(sheets) and ">=least" in sheets[0]
    assert not list(bench.folder.glob("out.*.*")), "no temporary file is left"


def test_results_that_break_off_leave_the_old_file(bench):
    bench.fake.auto_finish = True
    bench.enqueue("in.csv", LOANS)
    bench.write("out.csv", "old")

    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/csv")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.chunk(b"key\r\nL1\r\n")
        handler.cut()

    bench.fake.faults[("GET", "/results")] = [cut]
    ran = bench.ctl("results", "@last", "-o", "out.csv", "-y")
    assert ran.returncode == 3 and (bench.folder / "out.csv").read_text() == "old"
    assert sorted(path.name for path in bench.folder.glob("out*")) == ["out.csv"]
    assert bench.ctl("results", "@last", "-o", "/nonexistent/x.csv").returncode == 11


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_output_device(bench):
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([harness.program("gallocctl"), "status"], stdout=full, stderr=subprocess.PIPE, env=bench.environment(), check=False)
    assert ran.returncode == 11 and b"writing the output failed" in ran.stderr


def test_answers_that_are_no_answers(bench):
    def text(handler):
        handler.answer(200, "application/json", "{nonsense")

    def page(handler):
        handler.answer(502, "text/html", "<h1>bad gateway</h1>")

    bench.fake.faults[("GET", "/v1/status")] = [text, page, lambda handler: handler.cut()]
    assert bench.ctl("status").returncode == 11
    assert bench.ctl("status").returncode == 11
    assert bench.ctl("status").returncode == 3


def test_completions_name_everything(bench):
    listed = set(re.findall(r"^  ([a-z]+)  ", bench.ctl("help").out, re.M))
    for shell in ("bash", "zsh", "fish"):
        script = bench.ctl("completion", shell).out
        assert all(command in script for command in listed)
        assert "max-candidates" in script and "allocate" not in script[:20]
    path = bench.write("c.bash", bench.ctl("completion", "bash").out)
    test = ("source " + path + "; compopt() { :; }; COMP_WORDS=(gallocctl enq); COMP_CWORD=1; _gallocctl; echo ${COMPREPLY[@]}; "
            "COMP_WORDS=(gallocctl enqueue --max-ca); COMP_CWORD=2; _gallocctl; echo ${COMPREPLY[@]}; "
            "COMP_WORDS=(gallocctl pool im); COMP_CWORD=2; _gallocctl; echo ${COMPREPLY[@]}; "
            "COMP_WORDS=(gallocctl endpoint set gemini price_i); COMP_CWORD=4; _gallocctl; echo ${COMPREPLY[@]}; "
            "COMP_WORDS=(gallocctl endpoint unset gemini pric); COMP_CWORD=4; _gallocctl; echo ${COMPREPLY[@]}")
    ran = subprocess.run(["bash", "-c", test], capture_output=True, text=True, env=bench.environment(), check=False)
    assert ran.stdout.split() == ["enqueue", "--max-candidates", "import", "price_in=", "price"], ran
