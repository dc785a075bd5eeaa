"""Keys and tokens of an issuer."""

import json
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

# 64 bytes, as HS512 wants.
SECRET = "a secret of sixty-four bytes, " + "x" * 34


class Signer:
    """Of one algorithm, with a key of its own."""

    def __init__(self, algorithm, kid=None):
        self.algorithm, self.kid = algorithm, kid
        self.key = (rsa.generate_private_key(65537, 2048) if algorithm[0] in "RP"
                    else ec.generate_private_key(ec.SECP384R1() if algorithm == "ES384" else ec.SECP256R1())
                    if algorithm[0] == "E" and algorithm != "EdDSA"
                    else ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else SECRET)

    def pem(self):
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def jwk(self):
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        made = algorithm.to_jwk(self.key.public_key(), as_dict=True)
        return made | {"kid": self.kid, "use": "sig", "alg": self.algorithm}

    def token(self, sub="alice", seconds=600, headers=None, **claims):
        """One that lives for so long; a claim that is None is left out."""
        claims = {"sub": sub, "exp": int(time.time()) + seconds, **claims}
        headers = ({"kid": self.kid} if self.kid else {}) | (headers or {})
        return jwt.encode({name: value for name, value in claims.items() if value is not None}, self.key,
                          self.algorithm, headers=headers)


def key_set(*signers):
    return json.dumps({"keys": [signer.jwk() for signer in signers]})
