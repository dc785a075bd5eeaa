"""A link between two brokers that the test cuts, and on which it loses what comes back."""

import socket
import threading


class Proxy:
    def __init__(self, to):
        self.to = to
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        # What the remote broker sends is read and thrown away, and counted.
        self.is_mute, self.thrown = False, 0
        self.pairs = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to.port))
            except OSError:
                near.close()
                continue
            self.pairs.append((near, far))
            for way in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._pump, args=way, daemon=True).start()

    def _pump(self, source, sink, comes_back):
        try:
            while data := source.recv(65536):
                if comes_back and self.is_mute:
                    self.thrown += len(data)
                else:
                    sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for pair in self.pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs = []

    def close(self):
        self.listener.close()
        self.cut()
