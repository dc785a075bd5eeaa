"""The files of a listener with TLS, made by openssl."""

import pathlib
import subprocess

# What `openssl ca` wants to know before it makes a revocation list.
CA = """[ca]
default_ca = ours
[ours]
database = index.txt
crlnumber = number
default_md = sha256
[names]
subjectAltName = IP:127.0.0.1
extendedKeyUsage = serverAuth
"""


class Certificates:
    """An authority of clients with an empty revocation list, and a certificate of the listener."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        for name, text in ("ca.conf", CA), ("index.txt", ""), ("number", "01"):
            (self.directory / name).write_text(text)
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
        self.issue(days=90)
        self.revoke(hours=24 * 30)

    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], cwd=self.directory,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def issue(self, days):
        """Writes a certificate of the listener that expires after `days`, and its key."""
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", "new.key", "-out", "new.csr", "-subj", "/CN=listener")
        self.openssl("x509", "-req", "-in", "new.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                     "-days", days, "-extfile", "ca.conf", "-extensions", "names", "-out", "new.pem")
        # In one file, so that no reload finds one of them without the other.
        both = (self.directory / "new.pem").read_text() + (self.directory / "new.key").read_text()
        (self.directory / "both.new").write_text(both)
        (self.directory / "both.new").chmod(0o600)
        (self.directory / "both.new").rename(self.directory / "both.pem")

    def revoke(self, hours):
        """Writes an empty revocation list whose next update is due after `hours`."""
        self.openssl("ca", "-config", "ca.conf", "-gencrl", "-crlhours", hours,
                     "-keyfile", "ca.key", "-cert", "ca.pem", "-out", "crl.new")
        (self.directory / "crl.new").rename(self.directory / "crl.pem")

    def settings(self):
        """Of a listener `secure` on any port."""
        prefix = "LISTENERS__SECURE__"
        both = self.directory / "both.pem"
        return {
            prefix + "BIND": "127.0.0.1:0",
            prefix + "PROTOCOL": "mqtts",
            prefix + "TLS__CERTIFICATE_FILE": both,
            prefix + "TLS__KEY_FILE": both,
            prefix + "TLS__CLIENT_AUTH": "optional",
            prefix + "TLS__CLIENT_CA_FILE": self.directory / "ca.pem",
            prefix + "TLS__CRL_FILE": self.directory / "crl.pem",
        }
