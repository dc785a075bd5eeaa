"""Reload, by the API and by SIGHUP, and the log level."""

import os
import signal
import time

import raw
from adminapi import Api
from rawclient import Raw

FIRST, SECOND = "first-token-012345", "second-token-01234"


def reloadable(make_broker, tmp_path):
    """A broker whose configuration, token and passwords stand in files."""
    (tmp_path / "token").write_text(FIRST + "\n")
    broker = make_broker(start=False)
    assert broker.run("passwd", "passwords", "alice", "--password-stdin", input="wonderland\n").returncode == 0
    passwords = broker.directory / "passwords"
    config = tmp_path / "ferrymq.toml"
    config.write_text(f'''
[http]
token_file = "{tmp_path / "token"}"
[auth]
password_file = "{passwords}"
[telemetry]
level = "info"
''')
    broker.settings["CONFIG"] = config
    return Api(broker.start(), FIRST), config


def may_connect(broker, user, password):
    with Raw(broker.port, raw.V5) as client:
        client.send(raw.connect("x", raw.V5, username=user, password=password))
        return client.expect(raw.CONNACK).reason == 0


def test_a_reload_takes_passwords_token_and_level_and_names_the_rest(make_broker, tmp_path):
    api, config = reloadable(make_broker, tmp_path)
    assert api.ok("POST", "/reload") == {"changed": [], "needs_restart": []}
    assert may_connect(api.broker, "alice", "wonderland")
    assert not may_connect(api.broker, "bob", "builder")
    assert api.broker.run("passwd", "passwords", "bob", "--password-stdin", input="builder\n").returncode == 0
    (tmp_path / "token").write_text(SECOND)
    text = config.read_text().replace('"info"', '"debug"') + "[mqtt]\nreceive_maximum = 7\n"
    config.write_text(text)
    with Raw(api.broker.port, raw.V5) as there:
        there.connect("there", username="alice", password="wonderland")
        answer = api.ok("POST", "/reload")
        assert answer == {"changed": ["http.token_file", "auth", "telemetry.level"],
                          "needs_restart": ["mqtt.receive_maximum"]}
        there.ping()
    assert may_connect(api.broker, "bob", "builder")
    assert api.problem(401, "GET", "/sessions") == "unauthorized"
    api.token = SECOND
    assert api.get("/log-level") == {"level": "debug"}
    # What needs a restart goes on to need one.
    again = api.ok("POST", "/reload")
    assert again == {"changed": [], "needs_restart": ["mqtt.receive_maximum"]}


def test_a_reload_that_is_not_fit_changes_nothing(make_broker, tmp_path):
    api, config = reloadable(make_broker, tmp_path)
    before = config.read_text()
    (tmp_path / "token").write_text(SECOND)
    for wrong in (before + "[mqtt]\nwrong = 1\n", before.replace("passwords", "nowhere"), "="):
        config.write_text(wrong)
        assert api.problem(409, "POST", "/reload") == "unfit-configuration"
    config.write_text(before.replace('"info"', '"debug"'))
    (tmp_path / "token").write_text("short")
    assert api.problem(409, "POST", "/reload") == "unfit-configuration"
    assert api.get("/log-level") == {"level": "info"}
    assert may_connect(api.broker, "alice", "wonderland")
    assert "configuration not reloaded" in api.broker.logged()
    last = api.get("/overview")["last_reload"]
    assert "http.token_file" in last["error"] and last["at"].endswith("Z")
    assert api.broker.metric("ferrymq_last_reload_successful") == 0
    (tmp_path / "token").write_text(FIRST)
    api.ok("POST", "/reload")
    assert api.get("/overview")["last_reload"]["error"] is None
    assert api.broker.metric("ferrymq_last_reload_successful") == 1


def test_a_pipe_in_the_place_of_a_file_holds_up_no_reload(make_broker, tmp_path):
    api, config = reloadable(make_broker, tmp_path)
    for file in (tmp_path / "token", api.broker.directory / "passwords", config):
        content = file.read_bytes()
        file.unlink()
        os.mkfifo(file)
        assert api.problem(409, "POST", "/reload") == "unfit-configuration"
        file.unlink()
        file.write_bytes(content)
    api.ok("POST", "/reload")


def test_sighup_reloads(make_broker, tmp_path):
    api, _ = reloadable(make_broker, tmp_path)
    (tmp_path / "token").write_text(SECOND)
    api.broker.process.send_signal(signal.SIGHUP)
    second = Api(api.broker, SECOND)
    deadline = time.monotonic() + 20
    while second.ask("GET", "/sessions")[0] != 200:
        assert time.monotonic() < deadline and api.broker.running(), api.broker.logged()
    assert "configuration reloaded" in api.broker.logged()


def test_the_log_level_can_be_changed(api):
    assert api.get("/log-level") == {"level": "info"}
    answer = api.ok("PUT", "/log-level", {"level": "warn,ferrymq::broker=debug"})
    assert answer == api.get("/log-level") == {"level": "warn,ferrymq::broker=debug"}
    api.ok("PUT", "/log-level", {"level": "error"})
    before = api.broker.logged()
    assert "log level set by an operator" in before
    api.publish("a")
    assert api.broker.logged() == before
    for wrong in ("inof", "", "ferrymq=loud"):
        assert api.problem(422, "PUT", "/log-level", {"level": wrong}) == "unfit-body"
    assert api.get("/log-level") == {"level": "error"}
