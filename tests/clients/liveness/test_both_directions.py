"""Both directions full at once: clients that write as much as they are let, and begin to read only
when no more of it is taken."""

import time

import pytest

import raw
from accounts import Account, check, drive

VERSIONS = pytest.mark.parametrize("version", [raw.V31, raw.V311, raw.V5])
QOS = pytest.mark.parametrize("qos", [0, 1, 2])
COUNT, SIZE = 300, 30_000


def stuff(accounts):
    """They only write, until nothing has been taken for half a second."""
    for account in accounts:
        account.reads = False
    moved = time.monotonic()
    while time.monotonic() - moved < 0.5:
        if any([account.step() for account in accounts]):
            moved = time.monotonic()
        else:
            time.sleep(0.001)
    for account in accounts:
        account.reads = True


def finish(accounts, count):
    """Every message of each of them has come to the one that takes it, and all are still heard."""
    drive(accounts, lambda: all(a.is_done() and len(a.received) >= count for a in accounts), 15)
    for account in accounts:
        account.ping()
    drive(accounts, lambda: all(a.pongs == a.pings for a in accounts), 15)


@VERSIONS
@QOS
def test_two_clients_fill_each_other(broker, version, qos):
    options = dict(size=SIZE, window=COUNT, receive_buffer=16 << 10, send_buffer=16 << 10)
    left = Account(broker.port, "left", version, qos, "to/right", ["to/left"], **options)
    right = Account(broker.port, "right", version, qos, "to/left", ["to/right"], **options)
    both = [account.subscribe().connect() for account in (left, right)]
    for account in both:
        account.goal = COUNT
    stuff(both)
    finish(both, COUNT)
    for account, other in ((left, right), (right, left)):
        assert account.connections == 2, "one to subscribe, and one for everything else"
        check(account, [other])
        account.drop()


@VERSIONS
@QOS
def test_a_client_fills_itself(broker, version, qos):
    itself = Account(broker.port, "itself", version, qos, "t", ["t"], size=SIZE, window=COUNT,
                     receive_buffer=16 << 10, send_buffer=16 << 10).subscribe().connect()
    itself.goal = COUNT
    stuff([itself])
    finish([itself], COUNT)
    check(itself, [itself])
    itself.drop()


@QOS
def test_small_messages_fill_both_directions(broker, qos):
    """As many packets as bytes: acknowledgements have to find their way, too."""
    accounts = [Account(broker.port, f"small-{n}", version, qos, f"to/{(n + 1) % 3}", [f"to/{n}"],
                        size=30, window=400, receive_buffer=8 << 10, send_buffer=8 << 10)
                for n, version in enumerate((raw.V31, raw.V311, raw.V5))]
    for account in accounts:
        account.subscribe().connect().goal = 10_000
    for _ in range(5):
        stuff(accounts)
        drive(accounts, lambda: True, 15)
    finish(accounts, 10_000)
    for n, account in enumerate(accounts):
        check(account, [accounts[(n - 1) % 3]])
        account.drop()
