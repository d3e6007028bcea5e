# SPDX-License-Identifier: MIT
"""Certificates for tests, made by the openssl command; each is its own authority."""

import ssl
import subprocess


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True,
                          timeout=120, **options)


class Certificate:
    """A certificate for NAMES with a key of its own, in DIRECTORY/NAME.crt and .key."""

    def __init__(self, directory, name, *names, rsa=False):
        self.path, self.key = directory / f"{name}.crt", directory / f"{name}.key"
        kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        openssl("req", "-x509", "-newkey", *kind, "-nodes", "-keyout", self.key, "-out", self.path, "-days", 2,
                "-subj", f"/CN={names[0]}", "-addext",
                "subjectAltName=" + ",".join(f"DNS:{each}" for each in names))

    def expire(self):
        """Signs it anew, for a day that is over; only `openssl ca` takes any date."""
        folder = self.path.with_suffix(".ca")
        folder.mkdir()
        for name in ("index", "index.attr"):
            (folder / name).touch()
        (folder / "config").write_text(
            f"[ca]\ndefault_ca=a\n[a]\ndatabase={folder}/index\nnew_certs_dir={folder}\n"
            "rand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        openssl("x509", "-x509toreq", "-in", self.path, "-signkey", self.key,
                "-out", folder / "request")
        openssl("ca", "-batch", "-selfsign", "-notext", "-config", folder / "config",
                "-keyfile", self.key, "-in", folder / "request", "-out", self.path,
                "-startdate", "20200101000000Z", "-enddate", "20200102000000Z")

    @property
    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.path.read_text())

    @property
    def options(self):
        return ["--tls-certificate", self.path, "--tls-key", self.key]

    def install(self, other):
        """Puts the other one in its place."""
        for source, target in ((other.path, self.path), (other.key, self.key)):
            target.write_bytes(source.read_bytes())
