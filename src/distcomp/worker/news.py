"""What the courier brings."""

from __future__ import annotations

from dataclasses import dataclass, field

from distcomp.errors import DistcompError
from distcomp.model import Claim
from distcomp.store.store import Proof


@dataclass(slots=True)
class News:
    """What the courier brought since the worker last asked."""

    claims: list[Claim] = field(default_factory=list)
    revoked: list[Proof] = field(default_factory=list)
    is_lease_lost: bool = False
    refusal: DistcompError | None = None

    def __bool__(self) -> bool:
        """Is there any?"""
        return bool(self.claims or self.revoked or self.is_lease_lost or self.refusal)


NO_NEWS = News()
"""Not to be changed."""
