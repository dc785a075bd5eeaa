// An authority and the certificate of a server on this machine, by the `openssl` command.
import { execFileSync } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
const AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
const SERVER = "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n";

export class Certificates {
  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "ferrymq-js-certificates-"));
    const file = (name) => join(this.directory, name);
    const openssl = (...args) => execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"], timeout: 30_000 });
    openssl("req", "-x509", ...KEY, "-subj", "/CN=Authority of the tests", "-days", "30",
      ...AUTHORITY.flatMap((extension) => ["-addext", extension]), "-keyout", file("ca.key"), "-out", file("ca.crt"));
    openssl("req", ...KEY, "-subj", "/CN=localhost", "-keyout", file("server.key"), "-out", file("server.csr"));
    writeFileSync(file("extensions"), SERVER);
    openssl("x509", "-req", "-in", file("server.csr"), "-CA", file("ca.crt"), "-CAkey", file("ca.key"), "-CAcreateserial",
      "-days", "30", "-extfile", file("extensions"), "-out", file("server.crt"));
    this.file = file("server.crt");
    this.key = file("server.key");
    /** What clients are to trust. */
    this.authority = readFileSync(file("ca.crt"), "utf8");
  }

  /** The server's public key as Chromium names it: the SHA-256 of its SPKI. */
  get spki() {
    const { publicKey } = new X509Certificate(readFileSync(this.file));
    return createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
  }

  remove() {
    rmSync(this.directory, { recursive: true });
  }
}
