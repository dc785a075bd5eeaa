"""By which names HTTP may be asked: a page whose name leads to this machine must read nothing."""

import http.client

import pytest

PATHS = ["/metrics", "/", "/readyz", "/api/v1/openapi.json"]


def ask(broker, host, path):
    """The status of a GET with this Host header, or without any."""
    connection = http.client.HTTPConnection("127.0.0.1", broker.http_port, timeout=5)
    connection.putrequest("GET", path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.parametrize("path", PATHS)
def test_on_loopback_only_addresses_and_localhost_are_answered(broker, path):
    for host in (f"127.0.0.1:{broker.http_port}", "localhost:8080", "LOCALHOST", "[::1]:8080", "192.0.2.1", None):
        assert ask(broker, host, path)[0] == 200, host
    for host in ("evil.example", f"evil.example:{broker.http_port}", "localhost.evil.example"):
        status, text = ask(broker, host, path)
        assert status == 421 and "http.allowed_hosts" in text and text.count("\n") == 1, host
    assert 'remote=127.0.0.1' in broker.logged() and 'host="evil.example"' in broker.logged()


def test_listed_names_are_answered_and_no_others(make_broker):
    broker = make_broker(HTTP__ALLOWED_HOSTS="broker, Metrics.example.org")
    for host in ("broker:8080", "metrics.example.org", "127.0.0.1"):
        assert ask(broker, host, "/metrics")[0] == 200, host
    assert ask(broker, "example.org", "/metrics")[0] == 421


@pytest.mark.parametrize("settings", [{"HTTP__ALLOWED_HOSTS": "*"}, {}])
def test_all_names_are_answered_where_others_can_connect_or_it_says_so(make_broker, settings):
    broker = make_broker(start=False, **settings)
    if not settings:
        broker.settings["HTTP__BIND"] = f"0.0.0.0:{broker.http_port}"
    broker.start()
    assert ask(broker, "ferrymq.messaging.svc:8080", "/metrics")[0] == 200


def test_the_listener_of_metrics_has_the_same_rule(make_broker):
    broker = make_broker(start=False)
    broker.settings |= {"HTTP__BIND": "off", "HTTP__METRICS_BIND": f"127.0.0.1:{broker.http_port}"}
    broker.start()
    assert ask(broker, "localhost", "/metrics")[0] == 200
    assert ask(broker, "evil.example", "/metrics")[0] == 421


def test_what_is_no_name_is_refused_at_the_start(make_broker):
    broker = make_broker(start=False, HTTP__ALLOWED_HOSTS="http://broker:8080").start(wait=False)
    assert broker.wait_exit() == 2
    assert 'http.allowed_hosts (environment variable FERRYMQ_HTTP__ALLOWED_HOSTS)' in broker.logged()
