"""Certificates, made with openssl: of an authority, and of those that it vouches for."""

import subprocess


def openssl(*arguments, text=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=text, capture_output=True, text=True, check=True, timeout=30).stdout


def key():
    return openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def public(private):
    return openssl("pkey", "-pubout", text=private)


class Authority:
    def __init__(self, directory):
        directory.mkdir()
        self.directory = directory
        self.key, self.file = directory / "ca.key", directory / "ca.crt"
        self.key.write_text(key())
        openssl("req", "-x509", "-key", self.key, "-out", self.file, "-subj", "/CN=authority", "-days", "1")
        self.certificate = self.file.read_text()

    def issue(self, name, *alternatives):
        """(certificate, key), as PEM."""
        paths = [self.directory / file for file in ("key", "request", "extensions")]
        private, request, extensions = paths
        private.write_text(key())
        openssl("req", "-new", "-key", private, "-out", request, "-subj", f"/CN={name}")
        extensions.write_text("extendedKeyUsage=serverAuth,clientAuth\n" + (
            f"subjectAltName={','.join(alternatives)}\n" if alternatives else ""))
        certificate = openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial",
                              "-days", "1", "-extfile", extensions)
        return certificate, private.read_text()
