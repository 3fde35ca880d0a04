"""gallocctl work: what becomes of a batch when its command ends, well or not, and when gallocctl itself is ended."""
import json
import os
import signal

import pytest

from harness import wait_until
from work_bench import Bench, is_gone

# How a first try ends, seen by the command's second start.
ONCE = "import pathlib\nfirst = pathlib.Path(FIRST)\nis_first = not first.exists()\nfirst.touch()\n"


@pytest.fixture
def bench(make_daemon):
    bench = Bench(make_daemon("http://127.0.0.1:9").start())
    yield bench
    bench.close()


def first_then(bench, body):
    """A command that does `body` when it is started first, and decides from then on."""
    return bench.command(ONCE.replace("FIRST", repr(str(bench.folder / "first"))) + f"if is_first:\n    {body}\ndecide()\n")


# ---- exit statuses ----

@pytest.mark.parametrize("body,first,words", [
    ("sys.exit(75)", "released", None),
    ("sys.exit(3)", "transient", "exit status 3"),
    ("print('no luck', file=sys.stderr); sys.exit(1)", "transient", "exit status 1: no luck"),
    ("os.kill(os.getpid(), signal.SIGKILL)", "transient", "signal 9"),
    ("decide(); sys.exit(1)", "transient", "exit status 1"),
])
def test_what_an_exit_status_does(bench, body, first, words):
    run = bench.enqueue(2)
    ran = bench.work("--run", run, command=first_then(bench, body))
    assert bench.daemon.counts(run)["succeeded"] == 2 and ran.returncode == 0, ran
    assert bench.classes(run, "K000") == [first, "succeeded"]
    assert bench.daemon.run(run)["retries"]["transient"] == (2 if first == "transient" else 0)
    if words:
        assert words in ran.stderr and words in bench.attempts(run, "K000")[0]["message"]


def test_65_fails_the_batch(bench):
    run = bench.enqueue(3)
    ran = bench.work("--once", "--json", command=bench.command("print('bad input', file=sys.stderr); sys.exit(65)"), check=False)
    assert ran.returncode == 1 and json.loads(ran.stdout)["failed"] == 3
    assert bench.daemon.counts(run)["failed"] == 3 and bench.classes(run, "K000") == ["worker"]
    assert "exit status 65: bad input" in bench.daemon.results(run)[0]["error"]["message"]


def test_a_command_that_takes_too_long(bench):
    run = bench.enqueue(1)
    ran = bench.work("--run", run, "--command-timeout", "3s", command=first_then(bench, "wait_for('never')"))
    assert "--command-timeout" in ran.stderr and bench.classes(run, "K000") == ["transient", "succeeded"]


@pytest.mark.parametrize("pipes", ["", ">/dev/null 2>&1"], ids=["holds_the_pipes", "has_closed_them"])
def test_what_outlives_a_stopped_command_is_killed(bench, pipes):
    """Its leader ends at SIGTERM; who does not care for that holds neither the slot nor the machine."""
    bench.enqueue(1)
    command = ["bash", "-c", f"(trap '' TERM; echo $BASHPID > {bench.folder}/left; exec sleep 300) {pipes} & wait"]
    process = bench.start("--batch", "1", "--command-timeout", "2s", "--timeout", "2s", command=command)
    left = wait_until(lambda: (path := bench.folder / "left").exists() and path.read_text().strip(), 20, "it is started")
    status, _, err = bench.end(process)
    assert "--command-timeout" in err and status == 8, err
    wait_until(lambda: is_gone(left), 5, "it is gone")


def test_a_command_that_keeps_failing_is_started_ever_more_seldom(bench):
    """At 0 s, then after 1 s, then after 2 s more: a program that is broken does not burn a whole run."""
    bench.enqueue(60)
    ran = bench.work("--timeout", "4s", "--batch", "1", command=["sh", "-c", f"echo x >> {bench.folder}/marks; exit 1"], check=False)
    assert ran.returncode == 8 and len(bench.marks()) <= 3


# ---- what the command prints ----

GOOD = '{"key":"K001","agent_id":"A1","reason":"r","confidence":1}'


@pytest.mark.parametrize("output,words,classes", [
    (b"", "printed nothing", ("transient", "transient")),
    (b"hello", "not valid JSON", ("transient", "transient")),
    (b'{"results":[' + GOOD.encode(), "not valid JSON", ("transient", "transient")),
    (b"[]", '{"results":[', ("transient", "transient")),
    (b'{"result":[]}', '{"results":[', ("transient", "transient")),
    (b'{"results":{}}', '{"results":[', ("transient", "transient")),
    (b'{"results":[{"key":"\xff"}]}', "UTF-8", ("transient", "transient")),
    (b"[" * 100000, "deep", ("transient", "transient")),
    (b'{"results":[]}' + b" " * (4 << 20), "4 MiB", ("transient", "transient")),
    (b'{"results":[%s]}' % GOOD.encode(), "no result of K000", ("transient", "succeeded")),
    (b'{"results":[%s,%s]}' % ((GOOD.encode(),) * 2), "K001 has a second result", ("transient", "succeeded")),
    (b'{"results":[%s,{"key":"K9"},{"key":"K000\\u0000"},{"key":""}]}' % GOOD.encode(), '"K9", which is not in this lease', ("transient", "succeeded")),
    (b'{"results":[%s,{},7,{"key":7},[]]}' % GOOD.encode(), 'no string "key"', ("transient", "succeeded")),
    (b'{"results":[%s,{"key":"K000","agent_id":"A1","reason":"%s"}]}' % (GOOD.encode(), b"x" * 70000), "the result of K000 has 70", ("transient", "succeeded")),
    (b'{"results":[%s,{"key":"K000"}]}' % GOOD.encode(), "result of K000 was not taken", ("invalid_answer", "succeeded")),
    (b'{"results":[%s,{"key":"K000","agent_id":"A9","reason":"r","confidence":1}]}' % GOOD.encode(), '"A9" is not an agent', ("invalid_answer", "succeeded")),
    (b'{"results":[%s,{"key":"K000","error":{"retry":true}}]}' % GOOD.encode(), "1 to be tried again", ("transient", "succeeded")),
    (b'{"results":[%s,{"key":"K000","error":{"code":"no","message":"never"}}]}' % GOOD.encode(), "1 failed", ("worker", "succeeded")),
    (b'{"more":1,"results":[%s,%s],"results2":[]}' % (GOOD.encode(), GOOD.replace("K001", "K000").encode()), "2 allocated", ("succeeded", "succeeded")),
], ids=lambda value: value if isinstance(value, str) else "")
def test_output(bench, output, words, classes):
    """Whatever it prints, each assignment is told of at once: none is left to the lease's end."""
    run = bench.enqueue(2)
    (bench.folder / "output").write_bytes(output)
    ran = bench.work("--run", run, "--ttl", "1h", "-v", command=first_then(bench, f"sys.stdout.buffer.write(open({str(bench.folder / 'output')!r}, 'rb').read()); sys.exit(0)"),
                     check=False)
    said = [line for line in ran.stderr.splitlines() if "HTTP" not in line]
    assert words in ran.stderr and len(said) <= 10, said
    assert all(line.startswith(("lease ", "the run ")) for line in said[:-1]), said
    assert (bench.classes(run, "K000")[0], bench.classes(run, "K001")[0]) == classes
    assert set(bench.classes(run, "K000")[1:] + bench.classes(run, "K001")[1:]) <= {"succeeded"}
    assert ran.returncode == (1 if "worker" in classes else 0) and bench.daemon.run(run)["state"] == "done"


def test_many_large_results_are_told_in_parts(bench):
    run = bench.enqueue(1000)
    ran = bench.work("--once", "-v", "--batch", "1000", command=bench.command("decide(reason='x' * 3900)"))
    assert bench.daemon.counts(run)["succeeded"] == 1000
    assert ran.stderr.count("/results: HTTP 200") == 2


def test_stderr_is_passed_on_escaped(bench):
    bench.enqueue(1)
    command = bench.command("sys.stderr.write('one\\n\\x1b[31mtwo\\r\\n' + 'y' * 5000 + '\\nlast'); decide()")
    lines = bench.work("--once", command=command).stderr.splitlines()
    name = command[0].rsplit("/", 1)[1]
    assert lines[:2] == [f"{name}: one", f"{name}: \\x1b[31mtwo"]
    assert lines[2] == f"{name}: " + "y" * 4096 and lines[3] == f"{name}: " + "y" * 904 and lines[4] == f"{name}: last"


def test_a_command_that_reads_nothing(bench):
    run = bench.daemon.create([(f"K{n}", {"text": "x" * 20000}) for n in range(50)], [{"agent_id": "A1"}], endpoint="workers")
    results = json.dumps({"results": [{"key": f"K{n}", "agent_id": "A1", "reason": "r", "confidence": 1} for n in range(50)]})
    bench.work("--once", "--batch", "50", command=["echo", results])
    assert bench.daemon.counts(run)["succeeded"] == 50


def test_what_a_command_leaves_behind_holds_nothing_up(bench):
    bench.enqueue(1)
    command = bench.command("decide(); import subprocess; print(subprocess.Popen(['sleep', '3600']).pid, file=sys.stderr)")
    ran = bench.work("--once", command=command)
    assert "1 allocated" in ran.stderr
    os.kill(int(ran.stderr.split(": ")[1].split()[0]), signal.SIGKILL)


def test_a_command_is_on_its_own(bench):
    """No descriptor of ours, which would look to the daemon like a client that listens; a process group of its own, which the terminal's Ctrl-C does not reach."""
    bench.enqueue(1)
    bench.work("--once", command=bench.command("""\
        files = sorted(os.listdir("/proc/self/fd"))
        mark(f"{files[:3]} {len(files)} {os.getpgid(0) == os.getpid()} {signal.pthread_sigmask(signal.SIG_BLOCK, [])}")
        decide()
        """))
    assert bench.marks() == ["['0', '1', '2'] 4 True set()"]  # the fourth file reads the folder


# ---- gallocctl is ended ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_finishes_what_is_in_hand(bench, number):
    run = bench.enqueue(4)
    process = bench.start("--batch", "2", command=bench.command("mark('begun'); wait_for('go'); decide()"))
    wait_until(bench.marks, what="the command begins")
    process.send_signal(number)
    assert "finished first" in process.stderr.readline()
    bench.touch("go")
    status, _, err = bench.end(process)
    assert status == -number and err.endswith("1 batch, 2 assignments: 2 allocated\n"), (status, err)
    assert bench.daemon.counts(run) == {"total": 4, "pending": 2, "leased": 0, "succeeded": 2, "failed": 0, "cancelled": 0}


def test_the_second_signal_gives_back(bench):
    run = bench.enqueue(2)
    process = bench.start(command=bench.command("signal.signal(signal.SIGTERM, lambda *_: (mark('ended'), sys.exit(0))); mark('begun'); wait_for('never')"))
    wait_until(bench.marks, what="the command begins")
    process.send_signal(signal.SIGTERM)
    process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    status, _, err = bench.end(process)
    assert status == -signal.SIGTERM and "2 given back" in err
    assert bench.marks() == ["begun", "ended"]
    assert bench.classes(run, "K000") == ["released"] and bench.daemon.counts(run)["pending"] == 2


def test_the_third_signal_ends_at_once(bench):
    """Also when there is a daemon that answers nothing."""
    bench.enqueue(1)
    process = bench.start(command=bench.command("mark('begun'); wait_for('never')"))
    wait_until(bench.marks, what="the command begins")
    bench.daemon.process.send_signal(signal.SIGSTOP)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert bench.end(process)[0] == -signal.SIGTERM


def test_a_command_that_is_ended_with_us_is_given_back(bench):
    """A service manager ends all processes of a service together."""
    run = bench.enqueue(1)
    process = bench.start(command=bench.command("mark(str(os.getpid())); wait_for('never')"))
    wait_until(bench.marks, what="the command begins")
    process.send_signal(signal.SIGTERM)
    process.stderr.readline()
    os.kill(int(bench.marks()[0]), signal.SIGTERM)
    bench.end(process)
    assert bench.classes(run, "K000") == ["released"]


def test_a_signal_ends_the_wait_for_work(bench):
    run = bench.enqueue(1)
    process = bench.start(command=bench.command("decide()"))
    bench.daemon.wait_done(run)
    process.send_signal(signal.SIGTERM)
    status, _, err = bench.end(process)
    assert status == -signal.SIGTERM and err == "1 batch, 1 assignment: 1 allocated\n"
    assert bench.leases() == []
