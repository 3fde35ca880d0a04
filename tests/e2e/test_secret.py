"""An API key's file. (That the key is seen nowhere else is held by tests/crash, R23.)"""

CANARY = "AQ.Canary+7/key=that-must_never.be~seen"


def test_a_key_file_that_others_can_read_is_refused(make_sim, make_daemon):
    daemon = make_daemon(make_sim().url)
    daemon.set_key(CANARY)
    daemon.key_file.chmod(0o644)
    daemon.start()
    endpoint = daemon.api("GET", "/v1/endpoints/gemini").json
    assert (endpoint["state"], endpoint["reason"]) == ("down", "credentials"), endpoint
    assert "0600" in endpoint["text"] or "chmod" in endpoint["text"], endpoint["text"]
    daemon.key_file.chmod(0o600)
    assert daemon.ctl("endpoint", "resume", "gemini").returncode == 0
    assert daemon.api("GET", "/v1/endpoints/gemini").json["state"] == "up"
