"""The store as people meet it: what is told of its log, runs of long ago, what the doctor recounts, figures that outlive the daemon."""
import os

from harness import wait_until

NOBODY = "http://127.0.0.1:9"


# ---- the log ----

def test_a_long_log_is_told(make_daemon):
    daemon = make_daemon(NOBODY).start()
    store = lambda: daemon.api("GET", "/v1/status").json["daemon"]["store"]  # noqa: E731
    assert store() == {"state": "ok", "detail": None}
    os.truncate(daemon.state_dir / "galloc.db-wal", 80 << 20)  # longer by nothing that counts: its size is what is looked at
    wait_until(lambda: store()["detail"] is not None, what="a word about the log")
    assert store()["state"] == "ok" and "80 MiB" in store()["detail"] and "256 MiB" in store()["detail"]
    assert "80 MiB" in daemon.api("GET", "/readyz").json["text"]
    assert f"galloc_wal_size_bytes {80 << 20}\n" in daemon.api("GET", "/metrics").body
    assert "80 MiB" in daemon.ctl("status").stdout
    wait_until(lambda: "store_log_long" in daemon.log, what="the log's line")
    os.truncate(daemon.state_dir / "galloc.db-wal", 1 << 20)
    wait_until(lambda: store()["detail"] is None, what="silence")
    assert daemon.log.count("store_log_long") == 1
