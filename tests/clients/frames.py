"""WebSocket by hand (RFC 6455): a request, frames that the test cuts itself, and what comes back."""

import base64
import os
import struct

import raw
from rawclient import Closed
from reach import Over

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(kind, payload=b"", final=True, masked=True):
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if final else 0) | kind])
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65536:
        head += bytes([mask_bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


def request(path="/mqtt", protocol="mqtt", origin=None, **headers):
    fields = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}
    if protocol:
        fields["Sec-WebSocket-Protocol"] = protocol
    if origin:
        fields["Origin"] = origin
    fields |= {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    for name in [name for name, value in headers.items() if value is None]:
        fields.pop(name.replace("_", "-"))
    return (f"GET {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items()) + "\r\n").encode()


class WebSocket(Over):
    """A raw MQTT client over it. What `send` gets goes as one binary frame."""

    def __init__(self, sock, version=raw.V5):
        super().__init__(sock, version)
        self.bytes = b""

    def upgrade(self, **options):
        """Answers the status and the header fields."""
        self.socket.sendall(request(**options))
        while b"\r\n\r\n" not in self.bytes:
            self._more()
        head, _, self.bytes = self.bytes.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        return int(first.split()[1]), {
            name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}

    def upgraded(self, **options):
        status, fields = self.upgrade(**options)
        assert status == 101, (status, fields)
        return self

    def send(self, *packets):
        return self.send_frames(frame(BINARY, b"".join(packets)))

    def send_frames(self, *frames):
        self.socket.sendall(b"".join(frames))
        return self

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise Closed
        self.bytes += data

    def frame(self):
        """The next frame: its kind and payload. A server masks nothing."""
        while True:
            if len(self.bytes) >= 2:
                first, size = self.bytes[0], self.bytes[1]
                assert first & 0x70 == 0 and size < 128, self.bytes[:2]
                start = {126: 4, 127: 10}.get(size, 2)
                if len(self.bytes) >= start:
                    if start > 2:
                        size = int.from_bytes(self.bytes[2:start], "big")
                    if len(self.bytes) >= start + size:
                        payload, self.bytes = self.bytes[start:start + size], self.bytes[start + size:]
                        return first & 15, payload
            self._more()

    def close_status(self):
        """That of the close frame that comes next; after it the connection ends."""
        kind, payload = self.frame()
        assert kind == CLOSE, (kind, payload)
        status = int.from_bytes(payload[:2], "big")
        # The handshake's other half: an echo of it.
        self.send_frames(frame(CLOSE, payload[:2]))
        try:
            self._more()
        except Closed:
            return status
        raise AssertionError(f"more after the close: {self.bytes!r}")

    def _receive(self, timeout):
        self.socket.settimeout(timeout)
        while not (packet := self._parse()):
            kind, payload = self.frame()
            if kind == CLOSE:
                raise Closed
            assert kind in (BINARY, CONTINUATION), (kind, payload)
            self.buffer += payload
        return packet
