"""Everything of this folder at once, for SOAK_SECONDS: small buffers, slow readers, both directions
full, every QoS and version, take-over storms, a broker that is stopped and one that is killed, with
accounts kept. Not in the ordinary run:

    SOAK_SECONDS=600 ../.venv/bin/python -m pytest -s liveness/test_soak.py

SOAK_SEED repeats what was drawn (not when it happened)."""

import os
import random
import signal
import time

import pytest

import raw
from accounts import Account, Ended, check, drive

SECONDS = float(os.environ.get("SOAK_SECONDS", 0))
VERSIONS = (raw.V31, raw.V311, raw.V5)
KEEP_ALIVE = 4  # 6 s of silence are allowed.
STOPPED = 8
# Of each publisher in a round; everybody takes what three of them publish.
BYTES = 4_000_000
IDLE = 30

pytestmark = [
    pytest.mark.skipif(not SECONDS, reason="SOAK_SECONDS is not set"),
    pytest.mark.timeout(SECONDS + 300),
]


class Soak:
    def __init__(self, broker, dice):
        self.broker, self.dice = broker, dice
        self.accounts, self.old, self.totals = [], [], dict.fromkeys(
            ("rounds", "sent", "received", "repeated", "take-overs", "stops", "kills"), 0)
        for qos in range(3):
            for version in VERSIONS:
                account = Account(broker.port, f"q{qos}v{version}", version, qos,
                                  f"soak/{qos}/{version}", [f"soak/{qos}/+"], keepalive=KEEP_ALIVE)
                self.accounts.append(account.subscribe())

    def draw(self, account):
        dice = self.dice
        account.size = dice.choice([40, 400, 4000, 90_000])
        account.window = dice.choice([1, 10, 300, 1000])
        account.buffers = dice.choice([(None, None), (8 << 10, None), (16 << 10, 16 << 10),
                                       (64 << 10, 8 << 10)])
        account.rate = dice.choice([None, None, 4_000_000, 1_500_000])

    def connect(self, account):
        if account.client:
            self.old.append(account.client)
        account.connect()
        while len(self.old) > 20:
            self.old.pop(self.dice.randrange(len(self.old))).drop()

    def run(self, seconds):
        """Everybody moves for a while, and pings once a second."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if not self.step():
                time.sleep(0.001)

    def step(self):
        moved = False
        for account in self.accounts:
            now = time.monotonic()
            if now - account.last_ping > 1:
                account.last_ping = now
                account.ping()
            try:
                moved |= account.step()
            except Ended as end:
                raise AssertionError(f"the newest connection was ended ({end}): {account}") from None
        return moved

    def round(self):
        dice = self.dice
        for account in self.accounts:
            self.draw(account)
            self.connect(account)
        # A session of QoS 0 has nothing that a new connection would bring again: all of it
        # is begun and finished by one.
        for account in self.accounts:
            account.goal += max(1, dice.randrange(BYTES) // (account.size + 1000))
        if dice.random() < 0.5:
            self.stuff()
        kept = [account for account in self.accounts if account.qos]
        for _ in range(dice.randrange(3)):
            what = dice.choice(["storm", "stop", "kill"])
            if what == "storm":
                for _ in range(dice.randrange(5, 40)):
                    self.connect(dice.choice(kept))
                    self.totals["take-overs"] += 1
                    self.run(dice.random() * 0.05)
            elif what == "stop":
                self.broker.process.send_signal(signal.SIGSTOP)
                try:
                    self.run(STOPPED)
                finally:
                    self.broker.process.send_signal(signal.SIGCONT)
                self.totals["stops"] += 1
            elif what == "kill":
                self.kill()
            self.run(dice.random() * 2)
        self.settle()

    def stuff(self):
        """They write until nothing more is taken, and then begin to read."""
        for account in self.accounts:
            account.reads = False
        moved = begun = time.monotonic()
        # No longer than it takes to be heard by a ping.
        while time.monotonic() - moved < 0.5 and time.monotonic() - begun < 10:
            if self.step():
                moved = time.monotonic()
            else:
                time.sleep(0.001)
        for account in self.accounts:
            account.reads = True

    def kill(self):
        self.broker.kill()
        # What was under way at QoS 0 is gone, and may be.
        for account in self.accounts:
            account.drop()
            if account.qos == 0:
                account.goal = account.sent
        self.broker.start()
        for account in self.accounts:
            account.connect()
        self.lossy = True
        self.totals["kills"] += 1

    def settle(self):
        accounts, lossy = self.accounts, self.lossy
        last = {account.name: account.goal - 1 for account in accounts}

        def is_done(account):
            group = [other for other in accounts if other.qos == account.qos]
            arrived = account.qos == 0 and lossy or all(
                account.received[other.name, last[other.name]] for other in group)
            return account.is_done() and arrived

        progress = time.monotonic()
        while not all(is_done(account) for account in accounts):
            if self.step():
                progress = time.monotonic()
            else:
                time.sleep(0.001)
            # Pings and their answers move too: what is asked for is an end.
            assert time.monotonic() - progress < IDLE, f"nothing has moved for {IDLE} s: {self}"
            self.overall(progress)
        for account in accounts:
            account.ping()
        drive(accounts, lambda: all(a.pongs == a.pings for a in accounts), IDLE)
        for account in accounts:
            check(account, [other for other in accounts if other.qos == account.qos])
        self.forget()

    def overall(self, _):
        assert time.monotonic() - self.begun < 180, f"a round takes more than 180 s: {self}"

    def forget(self):
        """Accounts of rounds that are over."""
        totals = self.totals
        totals["rounds"] += 1
        for account in self.accounts:
            totals["received"] += len(account.received)
            totals["repeated"] += account.repeated
            account.received.clear()
            account.promised.clear()
            account.repeated = 0
        totals["sent"] = sum(account.sent for account in self.accounts)
        self.lossy = False

    lossy, begun = False, 0.0

    def __repr__(self):
        return "\n".join([str(self.totals), *map(repr, self.accounts)])


def test_soak(broker):
    seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 32)))
    print(f"\nSOAK_SEED={seed}")
    soak = Soak(broker, random.Random(seed))
    started = time.monotonic()
    while time.monotonic() - started < SECONDS:
        soak.begun = time.monotonic()
        soak.round()
        print(f"{time.monotonic() - started:5.0f} s {soak.totals}", flush=True)
    for account in soak.accounts:
        account.drop()
    assert broker.terminate() == 0, broker.logged()
