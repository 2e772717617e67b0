"""The picture in docs/packing.md is what its script makes of the recorded run."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "packing"


def test_the_picture_is_the_recorded_run() -> None:
    script = runpy.run_path(str(FOLDER / "picture.py"))
    recorded = json.loads((FOLDER / "run.json").read_text())
    attempts = [script["Attempt"](*row) for row in recorded["attempts"]]
    drawn = "\n".join(script["svg"](attempts, recorded["node_mib"])) + "\n"
    assert drawn == (FOLDER / "run.svg").read_text(), "python docs/packing/picture.py draws it anew"
    assert recorded["kernel_kills"] == 0
    assert sum(attempt.is_returned for attempt in attempts) > 0
