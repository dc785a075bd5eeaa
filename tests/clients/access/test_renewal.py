"""Certificates and revocation lists that are replaced under open connections."""

import os
import signal
import threading

import pytest

import raw
from adminapi import TOKEN, Api
from rawclient import Closed
from reach import await_reload, log_has, over_tls, poll, reloads, replace, serial, tls

CONNECTIONS = 200
THREADS = 4


class Traffic:
    """Connections that each publish to themselves all the time."""

    def __init__(self, clients):
        self.clients, self.ends, self.problems = clients, threading.Event(), []
        self.rounds = [0] * THREADS
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(THREADS)]
        for client in clients:
            client.subscribe(f"own/{id(client)}", qos=1)
        for thread in self.threads:
            thread.start()

    def run(self, part):
        try:
            while not self.ends.is_set():
                for client in self.clients[part::THREADS]:
                    client.publish(f"own/{id(client)}", b"x" * 200, qos=1)
                    client.message(topic=f"own/{id(client)}")
                self.rounds[part] += 1
        except Exception as problem:  # Of any kind: the main thread tells.
            self.problems.append(problem)

    def two_more_rounds(self):
        """The second has begun after the call."""
        wanted = [rounds + 2 for rounds in self.rounds]
        poll(lambda: self.problems or all(map(int.__ge__, self.rounds, wanted)), 40, "traffic stands still")
        assert not self.problems, self.problems

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(20)
        assert not self.problems, self.problems


class Files:
    """tls.crt and tls.key in a directory; replaced one by one, or as kubelet does it."""

    def __init__(self, directory, how, certificate):
        self.directory, self.how, self.generation = directory, how, 0
        directory.mkdir()
        if how == "symlinks":
            for name in ("tls.crt", "tls.key"):
                (directory / name).symlink_to(f"..data/{name}")
        self.write(certificate)

    def write(self, certificate, key=None):
        content = {"tls.crt": certificate.file.read_bytes(), "tls.key": (key or certificate.key).read_bytes()}
        if self.how == "rename":
            for name, data in content.items():
                replace(self.directory / name, data)
            return
        self.generation += 1
        new = self.directory / f"..generation-{self.generation}"
        new.mkdir()
        for name, data in content.items():
            (new / name).write_bytes(data)
        (self.directory / "..data_tmp").symlink_to(new.name)
        os.replace(self.directory / "..data_tmp", self.directory / "..data")


@pytest.fixture
def renewing(make_broker, listener, pki, tmp_path):
    """A broker whose certificate is in `files`."""
    def renewing(how, **keys):
        files = Files(tmp_path / "tls", how, pki.server)
        settings, port = listener("secure", "mqtts", TLS__CERTIFICATE_FILE=files.directory / "tls.crt",
                                  TLS__KEY_FILE=files.directory / "tls.key", **keys)
        broker = make_broker(HTTP__TOKEN=TOKEN, **settings)
        broker.tls_port, broker.files = port, files
        return broker

    return renewing


@pytest.mark.parametrize("how", ["rename", "symlinks"])
def test_renewal_under_load_cuts_nobody(renewing, pki, opened, how):
    broker, context = renewing(how), pki.authority.context()
    clients = [opened(over_tls(broker.tls_port, context)) for _ in range(CONNECTIONS)]
    for n, client in enumerate(clients):
        client.connect(f"c{n}")
    traffic = Traffic(clients)
    assert serial(broker.tls_port, context) == pki.server.serial
    for certificate in (pki.renewed, pki.renewed_again):
        broker.files.write(certificate)
        poll(lambda: serial(broker.tls_port, context) == certificate.serial, 20, "the old certificate is shown")
        traffic.two_more_rounds()
    traffic.stop()
    for client in clients:
        client.ping()


@pytest.mark.parametrize("how", ["rename", "symlinks"])
def test_a_pair_that_does_not_match_leaves_the_old_one(renewing, pki, opened, how):
    broker, context = renewing(how), pki.authority.context()
    client = opened(over_tls(broker.tls_port, context))
    client.connect("c")
    before = reloads(broker)
    broker.files.write(pki.renewed, key=pki.alice.key)
    await_reload(broker, before)
    log_has(broker, "not reloaded.*is not the key of the first certificate")
    assert serial(broker.tls_port, context) == pki.server.serial
    client.ping()
    # And by the API, which says so.
    assert Api(broker).problem(409, "POST", "/reload") == "unfit-configuration"
    broker.files.write(pki.renewed)
    poll(lambda: serial(broker.tls_port, context) == pki.renewed.serial)
    client.ping()


def test_a_file_that_is_half_written(renewing, pki, opened):
    broker, context = renewing("rename"), pki.authority.context()
    whole = pki.renewed.file.read_bytes()
    before = reloads(broker)
    (broker.files.directory / "tls.crt").write_bytes(whole[:len(whole) // 2])
    await_reload(broker, before)
    log_has(broker, "breaks off within a PEM section")
    assert serial(broker.tls_port, context) == pki.server.serial
    broker.files.write(pki.renewed)
    poll(lambda: serial(broker.tls_port, context) == pki.renewed.serial)


@pytest.mark.parametrize("by", ["SIGHUP", "the API"])
def test_reload_on_demand(renewing, pki, by):
    broker, context = renewing("rename"), pki.authority.context()
    broker.files.write(pki.renewed)
    if by == "SIGHUP":
        broker.process.send_signal(signal.SIGHUP)
        poll(lambda: serial(broker.tls_port, context) == pki.renewed.serial)
    else:
        Api(broker).ok("POST", "/reload")
        assert serial(broker.tls_port, context) == pki.renewed.serial


@pytest.fixture
def two_clients(renewing, pki, opened, tmp_path):
    """Alice and the one who will be revoked, on a broker with a list that has nobody on it yet."""
    crl = tmp_path / "crl.pem"
    crl.write_bytes(pki.empty_crl.read_bytes())
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(pki.trusted.read_bytes() + pki.stranger.certificate.read_bytes())
    # A list for each authority, or the strangers' status is unknown.
    strangers = pki.stranger.revocations(tmp_path / "strangers.pem")
    crl.write_bytes(crl.read_bytes() + strangers.read_bytes())
    broker = renewing("rename", TLS__CLIENT_CA_FILE=authorities, TLS__CLIENT_AUTH="required", TLS__CRL_FILE=crl)
    broker.crl, broker.authorities, broker.strangers = crl, authorities, strangers

    def client(certificate, name, version=raw.V5):
        client = opened(over_tls(broker.tls_port, pki.authority.context(certificate), version))
        client.connect(name)
        return client

    broker.client = client
    return broker


def test_a_list_that_comes_later_disconnects_who_is_on_it(two_clients, pki):
    broker = two_clients
    alice, gone = broker.client(pki.alice, "alice"), broker.client(pki.revoked, "revoked")
    old = broker.client(pki.revoked, "old", raw.V311)
    replace(broker.crl, pki.crl.read_bytes() + broker.strangers.read_bytes())
    assert [packet.reason for packet in gone.closed(timeout=20)] == [0x87]
    assert old.closed(timeout=20) == []
    alice.ping()
    log_has(broker, "certificate was revoked.*disconnected=2")
    with pytest.raises((Closed, OSError)):
        broker.client(pki.revoked, "again")
    broker.client(pki.bob, "bob").ping()
    alice.ping()


def test_a_list_that_was_not_configured_before(with_api, listener, pki, opened):
    """`crl_file` itself is new, by a change of the configuration file."""
    settings, port = listener("secure", "mqtts", TLS__CERTIFICATE_FILE=pki.server.file, TLS__KEY_FILE=pki.server.key,
                              TLS__CLIENT_CA_FILE=pki.trusted, TLS__CLIENT_AUTH="required")
    broker = with_api("# Nothing yet.\n", **settings)
    alice = opened(over_tls(port, pki.authority.context(pki.alice)))
    gone = opened(over_tls(port, pki.authority.context(pki.revoked)))
    alice.connect("alice")
    gone.connect("gone")
    replace(broker.file, f'[listeners.secure.tls]\ncrl_file = "{pki.crl}"\n')
    assert [packet.reason for packet in gone.closed(timeout=20)] == [0x87]
    alice.ping()


def test_an_authority_that_is_removed(two_clients, pki):
    broker = two_clients
    alice = broker.client(pki.alice, "alice")
    guest = broker.client(pki.stranger.issue("guest-of-old"), "guest")
    replace(broker.authorities, pki.trusted.read_bytes())
    assert [packet.reason for packet in guest.closed(timeout=20)] == [0x87]
    alice.ping()


def test_a_changed_list_voids_sessions(two_clients, pki, opened):
    """A resumed session would skip the question whether the certificate is still good."""
    broker, context = two_clients, pki.authority.context(pki.alice)
    first = opened(over_tls(broker.tls_port, context))
    first.connect("first")
    session = first.socket.session
    again = opened(over_tls(broker.tls_port, context, session=session))
    again.connect("again")
    before = reloads(broker)
    replace(broker.crl, pki.crl.read_bytes() + broker.strangers.read_bytes())
    await_reload(broker, before)
    with tls(broker.tls_port, context, session=session) as sock:
        assert not sock.session_reused
