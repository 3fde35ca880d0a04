"""R1: kill -9 at random moments under mixed load; after each the files, and at the end everything, are held against the clients' log."""
from bench import Bench
from harness import wait_until
from load import Load
from purges import Purges


def run(options):
    with Bench(options, "R1", "kill -9", sim=("--latency_ms", 15, "--latency_sigma", 0.5, "--error_500", 0.01, "--malformed", 0.01, "--drop_reused", 0.01,
                                                      "--straggler_share", 0.03, "--straggler_factor", 20)) as bench:
        daemon = bench.subject(endpoint="max_in_flight = 32\nhedge = \"tail\"").start()
        load = Load(daemon, bench.history, options.seed, capacity=30)
        bench.callback(load.stopping.set)
        load.start()
        for _ in range(options.rounds):
            answers = len(bench.history)
            wait_until(lambda: len(bench.history) > answers + 5, 60, lambda: f"clients get answers; the log ends:\n{daemon.log[-3000:]}")
            bench.dice_rest(0.3)
            daemon.kill()
            bench.history.life += 1
            bench.report.rounds += 1
            if not bench.check_stopped(daemon):
                return bench.done()
            daemon.start()
        bench.check_end(daemon, load)
        return bench.done(purged=len(Purges(bench.history).sure))
