"""Many connections of one client id one after another, with publishes under way in both
directions: the last one works, nothing acknowledged is lost, and no QoS 2 message comes twice."""

import random
import time

import pytest

import raw
from accounts import Account, Ended, check, drive, pause

VERSIONS = pytest.mark.parametrize("version", [raw.V31, raw.V311, raw.V5])
QOS = pytest.mark.parametrize("qos", [1, 2])
STORM = 60


def storm(dice, account, others, connections):
    """Takes its own session over again and again; those it replaces are closed late."""
    old = []
    for _ in range(connections):
        if account.client:
            old.append(account.client)
        account.connect()
        account.goal += dice.randrange(1, 100)
        try:
            for _ in range(dice.randrange(30)):
                pause(dice, account, 3)
                for other in others:
                    pause(dice, other, 3)
        except Ended:
            raise AssertionError(f"the newest connection was ended: {account}") from None
        while len(old) > 5:
            old.pop(dice.randrange(len(old))).drop()
    for client in old:
        client.drop()


@VERSIONS
@QOS
def test_a_publisher_takes_its_own_session_over(broker, version, qos):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    receiver = Account(broker.port, "receiver", version, qos, "-", ["t"]).subscribe().connect()
    away = Account(broker.port, "away", raw.V311, qos, "-", ["t"]).subscribe()
    publisher = Account(broker.port, "publisher", version, qos, "t", size=300)
    storm(dice, publisher, [receiver], STORM)
    settle([publisher, receiver], [receiver], [publisher])
    # What had to be kept for a client that was never there.
    settle([away.connect(), publisher], [away], [publisher])
    for account in (publisher, receiver, away):
        account.drop()


@VERSIONS
@QOS
def test_a_receiver_takes_its_own_session_over(broker, version, qos):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    publisher = Account(broker.port, "publisher", version, qos, "t", size=300).connect()
    publisher.goal = 3000
    receiver = Account(broker.port, "receiver", version, qos, "-", ["t"]).subscribe()
    old = []
    for _ in range(STORM):
        if receiver.client:
            old.append(receiver.client)
        receiver.connect()
        for _ in range(dice.randrange(60)):
            pause(dice, publisher, 3)
            pause(dice, receiver, 3)
    settle([publisher, receiver], [receiver], [publisher])
    for client in [*old, publisher, receiver]:
        client.drop()


@QOS
def test_everybody_takes_everything_over(broker, qos):
    """Publishers and receivers at once, of every version, over a kill -9 in the end."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    versions = (raw.V31, raw.V311, raw.V5)
    everybody = [Account(broker.port, f"both-{v}", v, qos, f"t/{v}", ["t/#"], size=500).subscribe()
                 for v in versions]
    for account in everybody:
        account.connect()
    for _ in range(STORM):
        account = dice.choice(everybody)
        storm(dice, account, [other for other in everybody if other is not account], 1)
    broker.kill()
    for account in everybody:
        account.drop()
    broker.start()
    for account in everybody:
        account.connect()
    settle(everybody, everybody, everybody)
    for account in everybody:
        account.drop()


def settle(driven, receivers, publishers):
    """The last connections work: all that was begun is finished, and everyone is answered."""
    for publisher in publishers:
        publisher.goal = max(publisher.goal, publisher.sent) + 1
    expected = {publisher: publisher.goal for publisher in publishers}

    def done():
        return all(p.is_done() for p in publishers) and all(
            r.received[p.name, count - 1] for r in receivers for p, count in expected.items())

    drive(driven, done, 20)
    for account in driven:
        account.ping()
    drive(driven, lambda: all(a.pongs == a.pings for a in driven), 20)
    # What would come a second time comes now.
    ends = time.monotonic() + 0.3
    drive(driven, lambda: time.monotonic() > ends, 20)
    for receiver in receivers:
        check(receiver, publishers)
