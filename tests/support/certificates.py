"""Certificates for tests: an authority of one's own, and what it signs."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """One that vouches for others. `file` is what clients are told to trust."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self.file, self._key = folder, folder / f"{name}.crt", folder / f"{name}.key"
        # Python from 3.13 on trusts none that does not say what it is for.
        use = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl("req", "-x509", *_NEW_KEY, "-keyout", self._key, "-out", self.file, "-subj", f"/CN={name}", *use)

    def sign(self, name: str, hosts: str) -> tuple[Path, Path]:
        """A certificate for these hosts, such as "IP:127.0.0.1", and its key."""
        request, file, key = (self._folder / f"{name}.{kind}" for kind in ("csr", "crt", "key"))
        details = self._folder / f"{name}.ext"
        details.write_text(f"subjectAltName={hosts}\nauthorityKeyIdentifier=keyid\n")
        _openssl("req", *_NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signing = ("-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-extfile", details)
        _openssl("x509", "-req", "-in", request, *signing, "-out", file)
        return file, key


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], capture_output=True, check=True)
