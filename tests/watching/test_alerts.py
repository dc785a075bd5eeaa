"""Alerts that fire: a real broker in trouble, a real Prometheus that watches it."""

import contextlib
import sqlite3
import threading

import raw
from brokerproc import Port
from certificates import Certificates
from rawclient import Raw

LIMIT = 16 * 1024 * 1024
SIZE = 20_000

# What else goes on on the volume is not up to the test.
OF_THE_MACHINE = {"FerryMQVolumeFilling", "FerryMQVolumeAlmostFull"}


@contextlib.contextmanager
def filling(broker):
    """Something is published for somebody who is away, again and again, as fast as 2 MB/s; what is
    given is set when the broker has refused a message."""
    with Raw(broker.port) as away:
        away.connect("away", clean=False)
        away.subscribe("t", qos=1)
        away.disconnect()
    done, refused = threading.Event(), threading.Event()

    def publish():
        with Raw(broker.port, raw.V5) as publisher:
            publisher.connect("publisher")
            while not done.wait(SIZE / 2e6):
                if publisher.publish("t", bytes(SIZE), qos=1).reason == 0x97:
                    refused.set()

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    try:
        yield refused
    finally:
        done.set()
        publisher.join(20)


def test_the_alert_for_a_filling_disk_fires_before_it_is_full(make_broker, watch):
    broker = make_broker(PERSISTENCE__MAX_SIZE="512MiB")
    prometheus = watch(broker)
    prometheus.await_evaluations(6)
    assert set(prometheus.firing()) - OF_THE_MACHINE <= {"FerryMQRestarted"}, "without work"
    with filling(broker) as refused:
        alert = prometheus.await_firing("FerryMQDatabaseFilling")
        assert not refused.is_set(), "too late"
        assert broker.metric("ferrymq_state", state="ready") == 1
        assert float(alert["value"]) > 512 * 1024 * 1024
        assert alert["labels"]["severity"] == "warning"
        assert "full within 24 hours" in alert["annotations"]["summary"]
        # The broker's own forecast, which needs some seconds more.
        prometheus.await_firing("FerryMQFullSoon")
        assert not refused.is_set(), "too late"


def test_alerts_fire_when_the_disk_is_full(make_broker, watch):
    broker = make_broker(PERSISTENCE__MAX_SIZE=LIMIT)
    prometheus = watch(broker)
    with filling(broker) as refused:
        assert refused.wait(60), f"nothing is refused\n{broker.logged()}"
        prometheus.await_firing("FerryMQDiskFull")
        prometheus.await_firing("FerryMQDatabaseAlmostFull")
        alert = prometheus.await_firing("FerryMQRefusing")
        assert alert["labels"]["reason"] == "disk_full"


def test_alerts_fire_when_the_broker_is_gone_and_when_it_is_back(make_broker, watch):
    broker = make_broker()
    prometheus = watch(broker)
    prometheus.await_firing("FerryMQRestarted")
    for _ in range(3):
        broker.kill()
        prometheus.await_firing("FerryMQDown")
        broker.start()
        # It has been scraped, and so this start was seen.
        prometheus.await_over("FerryMQDown")
    alert = prometheus.await_firing("FerryMQCrashLooping")
    assert "3 times" in alert["annotations"]["description"]


def test_the_alert_for_telemetry_that_cannot_be_pushed_fires(make_broker, watch):
    nobody = Port()
    broker = make_broker(TELEMETRY__OTLP_ENDPOINT=f"http://127.0.0.1:{nobody.number}",
                         TELEMETRY__OTLP_INTERVAL="1s")
    alert = watch(broker).await_firing("FerryMQExportsFail")
    assert alert["labels"]["signal"] in ("metrics", "logs", "traces")
    nobody.lease.close()


def test_the_alert_for_commits_that_do_not_end_fires(make_broker, watch):
    broker = make_broker()
    other = sqlite3.connect(broker.database, isolation_level=None)
    with Raw(broker.port) as away, Raw(broker.port, raw.V5) as publisher:
        away.connect("away", clean=False)
        away.subscribe("t", qos=1)
        publisher.connect("publisher")
        away.disconnect()
        assert publisher.publish("t", b"1", qos=1).reason == 0
        other.execute("BEGIN IMMEDIATE")
        publisher.send(raw.publish("t", b"2", 1, 77, version=raw.V5))
        broker.await_metric("ferrymq_persistence_pending_writes", lambda waiting: waiting > 0)
        prometheus = watch(broker)
        alert = prometheus.await_firing("FerryMQCommitHangs")
        assert alert["labels"]["severity"] == "critical"
        other.execute("ROLLBACK")
        assert publisher.answer(raw.PUBACK, 77).reason == 0
        prometheus.await_over("FerryMQCommitHangs")


def test_alerts_fire_for_certificates_that_end_until_they_are_renewed(make_broker, watch, tmp_path):
    files = Certificates(tmp_path / "certificates")
    broker = make_broker(**files.settings())
    prometheus = watch(broker)
    assert prometheus.await_query("ferrymq_certificate_expiry_timestamp_seconds > time()")
    prometheus.await_evaluations(3)
    access = {"FerryMQCertificateExpiresSoon", "FerryMQCertificateExpiring", "FerryMQCrlOverdue"}
    assert not access & set(prometheus.firing())
    files.issue(days=5)
    alert = prometheus.await_firing("FerryMQCertificateExpiresSoon")
    assert alert["labels"]["listener"] == "secure"
    assert "expires in 4d 23h" in alert["annotations"]["summary"]
    files.issue(days=1)
    prometheus.await_firing("FerryMQCertificateExpiring")
    prometheus.await_over("FerryMQCertificateExpiresSoon")
    files.issue(days=90)
    prometheus.await_over("FerryMQCertificateExpiring")


def test_the_alert_for_a_reload_that_failed_fires_until_one_succeeds(make_broker, watch, tmp_path):
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    passwords.chmod(0o600)
    broker = make_broker(AUTH__PASSWORD_FILE=passwords)
    prometheus = watch(broker)
    assert prometheus.await_query("ferrymq_last_reload_successful == 1")
    passwords.write_text("no hash\n")
    prometheus.await_firing("FerryMQReloadFailed")
    assert broker.metric("ferrymq_reloads_total", result="failed") >= 1
    passwords.write_text("")
    prometheus.await_over("FerryMQReloadFailed")
    assert broker.metric("ferrymq_reloads_total", result="ok") >= 1


def test_the_alert_for_a_flood_of_log_ins_fires_also_when_they_are_banned(make_broker, watch):
    broker = make_broker(BANS__MAX_FAILURES=1, AUTH__ALLOW_ANONYMOUS="false")
    prometheus = watch(broker)
    done = threading.Event()

    def flood():
        while not done.wait(0.01):
            with contextlib.suppress(OSError, AssertionError), Raw(broker.port) as stranger:
                stranger.send(raw.connect("stranger", username="u", password=b"wrong"))
                stranger.closed()

    flooding = threading.Thread(target=flood, daemon=True)
    flooding.start()
    try:
        prometheus.await_firing("FerryMQLoginFlood")
        assert broker.metric("ferrymq_bans_total", reason="failures") >= 1
    finally:
        done.set()
        flooding.join(20)
