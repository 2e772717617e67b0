"""The certificate that the embedded server shows to nodes: made here, vouched for by itself, and checked by workers.

No authority is asked: workers get the certificate over ssh, and trust this one and no other.
"""

from __future__ import annotations

import ipaddress
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from distcomp.errors import StoreRefused

# As long as any project is likely to live. It is made anew when the server listens elsewhere.
_DAYS = 3650
_PATIENCE_S = 30.0

# What Python 3.13 asks of a certificate that vouches for itself: what it may be used for, and whose it is.
_REQUEST = """
[req]
distinguished_name = name
x509_extensions = details
prompt = no
[name]
CN = distcomp store
[details]
subjectAltName = {host}
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
subjectKeyIdentifier = hash
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the server shows (`file`), and the key that proves that it is its own, for the owner alone."""

    file: Path
    key: Path


def certificate_of(store: Path, host: str) -> Certificate:
    """The certificate of the server in this folder for this address or name; made when there is none.

    Raises:
        StoreRefused: it cannot be made.
    """
    found = Certificate(store / f"tls-{host}.crt", store / f"tls-{host}.key")
    if not (found.file.exists() and found.key.exists()):
        _make(found, host)
    return found


def _make(wanted: Certificate, host: str) -> None:
    # On the same file system, so that both can be moved to their places in one step each.
    with tempfile.TemporaryDirectory(dir=wanted.file.parent, prefix="tls-") as folder:
        request, file, key = Path(folder, "request"), Path(folder, "crt"), Path(folder, "key")
        request.write_text(_REQUEST.format(host=_alternative_name(host)), encoding="ascii")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-sha256", "-days", str(_DAYS), "-config", request, "-keyout", key, "-out", file]  # type: ignore[list-item]
        try:
            subprocess.run(command, capture_output=True, text=True, umask=0o077, timeout=_PATIENCE_S, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
            raise StoreRefused(
                f"No certificate can be made for the store: {said}.",
                unchanged="The store was not opened to the network.",
                next_step="Install openssl, or let nodes come through ssh: without `listen`.",
            ) from error
        key.replace(wanted.key)
        file.replace(wanted.file)


def _alternative_name(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"
