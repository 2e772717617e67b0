"""What attempts printed on nodes: brought here in part, or passed on as it is printed."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from distcomp.model import OutputPlace
from distcomp.nodes.call import call
from distcomp.nodes.conversation import conversation
from distcomp.nodes.hosts import Host
from distcomp.nodes.plan import Plan
from distcomp.nodes.ssh import Ssh

FETCH_S = 120.0
CHUNK_BYTES = 1 << 16
# A frame's header and its task's id, generously.
_HEAD_BYTES = 1024


def fetch_output(ssh: Ssh, host: Host, plan: Plan, place: OutputPlace, folder: Path) -> None:
    """Bring an output here, to the same file and offset below `folder`, where nothing else is.

    Raises:
        HostTrouble: it cannot be had.
    """
    offset_bytes, length_bytes = place.offset_bytes, _HEAD_BYTES + place.stdout_bytes + place.stderr_bytes
    if place.is_compressed:
        # The whole file is this output; compression may also make things longer.
        offset_bytes, length_bytes = 0, 2 * length_bytes
    ask = plan.ask(host.name, file=place.file, offset_bytes=offset_bytes, length_bytes=length_bytes)
    answer = call(ssh, host, ("places", "output"), ask, python=plan.python, timeout_s=FETCH_S)
    path = folder / place.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.seek(offset_bytes)
        file.write(zlib.decompress(base64.b64decode(answer["content"])))


def printed(ssh: Ssh, host: Host, plan: Plan, arguments: Sequence[str]) -> Iterator[bytes]:
    """What `distcomp logs` prints on the node with these arguments, as it comes.

    Raises:
        HostTrouble: it fails there.
    """
    ask = plan.ask(host.name, arguments=list(arguments))
    with conversation(ssh, host, ("places", "output"), ask, python=plan.python) as talk:
        while piece := talk.stream.read1(CHUNK_BYTES):  # type: ignore[attr-defined]
            yield piece
