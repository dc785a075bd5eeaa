"""Ways to a broker: raw clients over TLS and other sockets, from other addresses; Debian's programs."""

import base64
import collections
import hashlib
import itertools
import os
import re
import socket
import subprocess
import sys
import time

import raw
from rawclient import TIMEOUT, Raw


class Over(Raw):
    """A raw client over a socket that is there already."""

    def __init__(self, sock, version=raw.V5):
        self.version, self.socket = version, sock
        self.pids, self.buffer, self.kept = itertools.count(1), b"", collections.deque()
        sock.settimeout(TIMEOUT)


def tcp(port, source=None):
    return socket.create_connection(("127.0.0.1", port), TIMEOUT, (source, 0) if source else None)


def tls(port, context, host="localhost", source=None, session=None):
    """A TLS socket; raises what the handshake raises."""
    plain = tcp(port, source)
    try:
        return context.wrap_socket(plain, server_hostname=host, session=session)
    except BaseException:
        plain.close()
        raise


def over_tls(port, context, version=raw.V5, **options):
    return Over(tls(port, context, **options), version)


def over_tcp(port, version=raw.V5, source=None):
    return Over(tcp(port, source), version)


def serial(port, context):
    """The serial number of the certificate that a new connection is shown."""
    with tls(port, context) as sock:
        return sock.getpeercert()["serialNumber"]


def poll(check, within=20, what=""):
    """Waits until this is true of another process, which tells nobody when it becomes so."""
    deadline = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < deadline, what or check
        time.sleep(0.02)
    return found


def log_has(broker, pattern, within=20):
    """Waits for a line of the log in which this is found."""
    def found():
        return re.search(pattern, broker.log.read_text(errors="replace"))

    return poll(found, within, f"no line has {pattern!r}")


def lines_of(broker, act, mark):
    """The lines that `act` leaves in the log. Then `mark` connects a client called mark, so that
    what comes late is seen as well."""
    before = len(broker.logged().splitlines())
    act()
    mark()
    log_has(broker, r'connected.*client_id="?mark')
    return [line for line in broker.logged().splitlines()[before:] if "mark" not in line]


def is_read(client):
    """Whether the broker has read all that this client has sent over TCP: nothing of it is in a
    queue of the kernel, at either end."""
    (here, own), (there, port) = client.socket.getsockname(), client.socket.getpeername()

    def name(host, port):
        return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"

    with open("/proc/net/tcp") as table:
        # Of each end "unsent:unread", in hexadecimal digits.
        queues = {(row[1], row[2]): row[4].split(":") for row in map(str.split, table)}
    ours, theirs = name(here, own), name(there, port)
    return int(queues[ours, theirs][0], 16) == int(queues[theirs, ours][1], 16) == 0


def reloads(broker):
    """How many there were, with and without success."""
    text = broker.log.read_text(errors="replace")
    return len(re.findall("configuration (?:not )?reloaded", text))


def await_reload(broker, before):
    poll(lambda: reloads(broker) > before, what="no reload")


def replace(path, content):
    """By a rename, as programs replace a file that others read."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(new, path)


def password_line(user, password):
    """Of a password file, in the form of Mosquitto that costs least."""
    salt = os.urandom(12)
    digest = hashlib.sha512(password.encode() + salt).digest()
    return f"{user}:$6${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def mosquitto(program, port, *arguments, host="localhost", input=None):
    return subprocess.run([f"mosquitto_{program}", "-h", host, "-p", str(port), *map(str, arguments)],
                          input=input, capture_output=True, text=True, timeout=30)
