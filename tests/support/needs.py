"""What some tests need beyond a fresh clone. Without it they are left out and named; in CI they then fail."""

from __future__ import annotations

import os
import shutil

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
