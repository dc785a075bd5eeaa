"""Who may use the API, where it is, and what does not need it."""

import os

import pytest

from adminapi import TOKEN, Api


def test_the_token_may_stand_in_a_file(admin, tmp_path):
    file = tmp_path / "token"
    file.write_text("token-of-the-file-1\n")
    api = admin("", HTTP__TOKEN_FILE=file)
    api.token = "token-of-the-file-1"
    assert api.get("/sessions")["items"] == []
    api.token = "token-of-the-file-2"
    assert api.problem(401, "GET", "/sessions") == "unauthorized"


def test_without_a_token_only_the_api_is_off(admin):
    api = admin("")
    assert api.problem(404, "GET", "/sessions") == "api-off"
    for path in ("/metrics", "/healthz", "/readyz", "/api/v1/openapi.json"):
        assert api.broker.get(path)[0] == 200, path


@pytest.mark.parametrize("token, reason", [
    ("short", "at least 16 characters"), ("0123456789 abcdef", "without spaces"),
    ("x" * 257, "at most 256"), ("0123456789012345ü", "ASCII")])
def test_a_token_that_is_none_is_refused_at_the_start(admin, tmp_path, token, reason):
    api = admin(token, start=False)
    refused = api.broker.run("serve")
    assert refused.returncode == 2 and reason in refused.stderr, refused.stderr
    assert len(refused.stderr.splitlines()) == 1 and token not in refused.stderr
    file = tmp_path / "token"
    file.write_text(token)
    api.broker.settings = {"HTTP__TOKEN_FILE": file}
    refused = api.broker.run("serve")
    assert refused.returncode == 2 and reason in refused.stderr, refused.stderr
    assert token not in refused.stderr


def test_a_token_file_that_is_not_there_or_beside_a_token_is_refused(admin, tmp_path):
    api = admin("", start=False, HTTP__TOKEN_FILE=tmp_path / "none")
    refused = api.broker.run("serve")
    assert refused.returncode == 2 and "cannot read the token file" in refused.stderr
    api.broker.settings |= {"HTTP__TOKEN": TOKEN}
    refused = api.broker.run("config", "check")
    assert refused.returncode == 2 and "keep one of them" in refused.stderr


def test_a_token_of_digits_is_a_token(admin):
    for token in ("1234567890123456", "0000000000000001", "12345678901234567890123"):
        assert admin(token).get("/sessions")["items"] == []


def test_the_token_is_never_shown(admin):
    api = admin()
    for arguments in (["config", "show"], ["config", "show", "--format", "json"], ["config", "check"]):
        shown = api.broker.run(*arguments)
        assert TOKEN not in shown.stdout + shown.stderr, arguments
    other = Api(api.broker, "wrong-token-0123456789")
    assert other.problem(401, "GET", "/sessions") == "unauthorized"
    api.publish("a")
    assert TOKEN not in api.broker.logged() and other.token not in api.broker.logged()
    assert "API request refused: token missing or wrong" in api.broker.logged()


def test_metrics_can_have_a_listener_of_their_own(admin):
    from brokerproc import Port
    lease = Port()
    api = admin(HTTP__METRICS_BIND=f"127.0.0.1:{lease.number}")
    main, metrics = api.broker.http_port, lease.number

    def status(port, path):
        api.broker.http_port = port
        return api.broker.get(path)[0]

    for path, on_main, on_metrics in [
            ("/metrics", 404, 200), ("/healthz", 200, 200), ("/readyz", 200, 200),
            ("/api/v1/openapi.json", 200, 404)]:
        assert (status(main, path), status(metrics, path)) == (on_main, on_metrics), path
    assert status(metrics, "/api/v1/sessions") == 404
    api.broker.http_port = main
    assert api.broker.run("health").returncode == 0
    lease.lease.close()


def test_health_is_asked_on_the_listener_of_the_metrics_if_there_is_no_other(make_broker):
    from brokerproc import Port
    lease = Port()
    broker = make_broker(start=False, HTTP__BIND="off",
                         HTTP__METRICS_BIND=f"127.0.0.1:{lease.number}")
    broker.http_port = lease.number
    broker.start()
    assert broker.run("health").returncode == 0
    lease.lease.close()


def test_a_token_over_a_network_in_plain_text_is_warned_of(admin):
    api = admin(start=False)
    api.broker.settings |= {"HTTP__BIND": f"0.0.0.0:{api.broker.http_port}"}
    api.broker.start()
    assert "over plain HTTP, where its token can be read" in api.broker.logged()
    assert "over plain HTTP" not in admin().broker.logged()


def test_requests_are_counted_by_their_status(api):
    api.get("/sessions")
    api.problem(404, "GET", "/sessions/x")
    Api(api.broker, "wrong-token-0123456789").problem(401, "GET", "/sessions")
    assert api.broker.metric("ferrymq_http_requests_total", code="404") == 1
    assert api.broker.metric("ferrymq_http_requests_total", code="401") == 1
    assert api.broker.metric("ferrymq_http_requests_total", code="200") >= 2


def test_a_page_elsewhere_gets_no_word_out_of_it(api):
    """No CORS: a browser keeps the answers from pages of other origins."""
    asked = {"Origin": "http://example.org", "Access-Control-Request-Method": "DELETE"}
    status, _, headers = api.ask("OPTIONS", "/sessions/x", headers=asked)
    assert status == 405
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert api.problem(415, "POST", "/publish") == "not-json"


def test_a_file_of_another_user_is_no_token(admin, tmp_path):
    if os.getuid() == 0:
        pytest.skip("root reads everything")
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0)
    refused = admin("", start=False, HTTP__TOKEN_FILE=file).broker.run("serve")
    assert refused.returncode == 2
