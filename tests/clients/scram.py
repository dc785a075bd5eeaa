"""The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), by the standard library only."""

import base64
import hashlib
import hmac
import os

METHOD = "SCRAM-SHA-256"


def _hmac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


class Scram:
    def __init__(self, user, password, nonce=None):
        self.user, self.password = user, password.encode()
        self.nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"

    def first(self):
        return f"n,,{self.bare}".encode()

    def final(self, server_first):
        """The client-final-message; from now on `verifies` knows what the server has to prove."""
        server_first = server_first.decode()
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        assert int(fields["i"]) >= 4096
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        without_proof = f"c=biws,r={fields['r']}"
        message = f"{self.bare},{server_first},{without_proof}".encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.server_signature = _hmac(_hmac(salted, b"Server Key"), message)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verifies(self, server_final):
        return server_final == b"v=" + base64.b64encode(self.server_signature)


def test_vector():
    """RFC 7677, section 3."""
    scram = Scram("user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    final = scram.final(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert final == (b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                     b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    assert scram.verifies(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
