"""The CloudLab profile asks for what it should, as the portal would read it."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[2]
NS = "{http://www.geni.net/resources/rspec/3}"


def rendered(*arguments: str, stream: str = "stdout") -> str:
    # In a process of its own, without our warnings: the library for profiles is old.
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.cloudlab", str(ROOT / "profile.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return str(getattr(done, stream))


def test_it_asks_for_nodes_on_one_lan_that_set_themselves_up() -> None:
    request = ET.fromstring(rendered("--n", "6"))
    assert (request.tag, request.get("type")) == (f"{NS}rspec", "request")
    nodes = request.findall(f"{NS}node")
    assert [node.get("client_id") for node in nodes] == [f"node{number}" for number in range(6)]
    addresses = [address.get("address") for address in request.iter(f"{NS}ip")]
    assert addresses == [f"10.10.1.{number}" for number in range(1, 7)]
    [lan] = request.findall(f"{NS}link")
    assert len(lan.findall(f"{NS}interface_ref")) == 6
    commands = [service.get("command") or "" for service in request.iter(f"{NS}execute")]
    assert all(f"cloudlab/setup.sh {number} 6 " in command for number, command in enumerate(commands))
    assert len(commands) == 6


def test_it_says_what_is_wrong_with_its_parameters() -> None:
    assert "Number of nodes: 1 to 200" in rendered("--n", "0", stream="stderr")


def test_it_tells_the_user_how_to_begin() -> None:
    tour = ET.fromstring(rendered()).find("{http://www.protogeni.net/resources/rspec/ext/apt-tour/1}rspec_tour")
    assert tour is not None
    instructions = "".join(tour[1].itertext())
    assert "distcomp run - --plain --hosts /local/hosts.txt" in instructions
