"""Certificates by the `openssl` command: an authority, what it issues, and what it revokes."""

import dataclasses
import os
import pathlib
import shutil
import ssl
import subprocess

CONFIGURATION = """
[ca]
default_ca = authority
[authority]
dir = $ENV::AUTHORITY
database = $dir/index.txt
serial = $dir/serial
crlnumber = $dir/crlnumber
new_certs_dir = $dir
certificate = $dir/ca.crt
private_key = $dir/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
[any]
countryName = optional
organizationName = optional
commonName = optional
[req]
distinguished_name = none
prompt = no
[none]
commonName = none
[v3_authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""
SERVER = "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1"
CLIENT = "extendedKeyUsage=clientAuth"
AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash"
# Long ago, for what has expired.
PAST = {"start": "20200101000000Z", "end": "20210101000000Z"}


def openssl(*arguments, **environment):
    done = subprocess.run(["openssl", *map(str, arguments)], env=os.environ | environment,
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def new_key(path, kind="ec"):
    """A private key in PKCS#8."""
    options = {"ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
               "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
               "ed25519": ("-algorithm", "ED25519")}[kind]
    openssl("genpkey", *options, "-out", path)


@dataclasses.dataclass(frozen=True)
class Certificate:
    file: pathlib.Path
    key: pathlib.Path

    @property
    def serial(self):
        return openssl("x509", "-in", self.file, "-noout", "-serial").strip().partition("=")[2]


class Authority:
    def __init__(self, directory, name="Authority", issuer=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.certificate = self.directory / "ca.crt"
        self.configuration = self.directory / "openssl.cnf"
        self.configuration.write_text(CONFIGURATION)
        for file, content in (("index.txt", ""), ("crlnumber", "01"), ("serial", os.urandom(15).hex())):
            (self.directory / file).write_text(content)
        key = self.directory / "ca.key"
        if issuer:
            made = issuer.issue(name, AUTHORITY)
            shutil.copy(made.file, self.certificate)
            shutil.copy(made.key, key)
        else:
            new_key(key)
            openssl("req", "-x509", "-new", "-config", self.configuration, "-extensions", "v3_authority",
                    "-key", key, "-subj", f"/CN={name}", "-days", "30", "-out", self.certificate,
                    AUTHORITY=str(self.directory))

    def _request(self, name, kind="ec"):
        key, request = self.directory / f"{name}.key", self.directory / f"{name}.csr"
        new_key(key, kind)
        openssl("req", "-new", "-config", self.configuration, "-key", key, "-subj", f"/O=Tests/CN={name}",
                "-out", request, AUTHORITY=str(self.directory))
        return key, request

    def issue(self, name, extensions=CLIENT, start=None, end=None, kind="ec"):
        """A certificate whose CN is `name`."""
        key, request = self._request(name, kind)
        file, extras = self.directory / f"{name}.crt", self.directory / f"{name}.ext"
        extras.write_text(extensions + "\n")
        dates = [*(("-startdate", start) if start else ()), *(("-enddate", end) if end else ())]
        openssl("ca", "-config", self.configuration, "-batch", "-notext", "-in", request, "-out", file,
                "-extfile", extras, *dates, AUTHORITY=str(self.directory))
        return Certificate(file, key)

    def version_1(self, name):
        """As the recipe of Mosquitto's documentation makes it, which gives no extensions."""
        key, request = self._request(name)
        file = self.directory / f"{name}.crt"
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.directory / "ca.key",
                "-set_serial", "7", "-days", "30", "-out", file)
        return Certificate(file, key)

    def self_signed(self, name, extensions=CLIENT):
        key, request = self._request(name)
        file, extras = self.directory / f"{name}.crt", self.directory / f"{name}.ext"
        extras.write_text(extensions + "\n")
        openssl("x509", "-req", "-in", request, "-signkey", key, "-days", "30", "-extfile", extras, "-out", file)
        return Certificate(file, key)

    def revocations(self, to, *revoked, overdue=False):
        """Writes the list of these and no others to `to`, by a rename."""
        work = self.directory / f"crl-{os.urandom(4).hex()}"
        work.mkdir()
        for file in ("index.txt", "crlnumber", "ca.crt", "ca.key"):
            shutil.copy(self.directory / file, work)
        for certificate in revoked:
            openssl("ca", "-config", self.configuration, "-revoke", certificate.file, AUTHORITY=str(work))
        dates = ("-crl_lastupdate", PAST["start"], "-crl_nextupdate", PAST["end"]) if overdue else ()
        openssl("ca", "-config", self.configuration, "-gencrl", *dates, "-out", work / "crl.pem",
                AUTHORITY=str(work))
        (work / "crl.pem").rename(to)
        return to

    def context(self, certificate=None, **options):
        """A client's TLS that trusts this authority."""
        return client_context(self.certificate, certificate, **options)


def client_context(trusted, certificate=None, version=None, alpn=None):
    """Of a client that trusts a file of authorities, or anybody (None)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusted is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context.load_verify_locations(trusted)
    if certificate:
        context.load_cert_chain(certificate.file, certificate.key)
    if version:
        if version < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class Pki:
    """What most tests need, made once."""

    def __init__(self, directory):
        directory = pathlib.Path(directory)
        self.directory = directory
        self.authority = Authority(directory / "authority")
        self.stranger = Authority(directory / "stranger", "Stranger")
        self.trusted = self.authority.certificate
        issue = self.authority.issue
        self.server = issue("server", SERVER)
        self.renewed = issue("server-renewed", SERVER)
        self.renewed_again = issue("server-renewed-again", SERVER)
        self.alice, self.bob, self.revoked = issue("alice"), issue("bob"), issue("revoked")
        self.crl = self.authority.revocations(directory / "crl.pem", self.revoked)
        self.overdue_crl = self.authority.revocations(directory / "overdue.pem", self.revoked, overdue=True)
        self.empty_crl = self.authority.revocations(directory / "empty.pem")
