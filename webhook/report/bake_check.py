"""What of a snapshot is still right: each image that was baked against what its tag names now, and who wants it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from webhook.kube import image
from webhook.report.bake_document import Baked


class State(StrEnum):
    """How one thing in the snapshot stands."""

    CURRENT = "current"
    STALE = "stale"
    MISSING = "missing"
    UNUSED = "unused"
    UNKNOWN = "unknown"


class Now(NamedTuple):
    """What a tag names now: a digest, and that of the platform where it was asked for. `gone`: no such tag any more.

    `source` says who told.
    """

    digest: str = ""
    platform_digest: str = ""
    gone: bool = False
    source: str = ""


class Standing(NamedTuple):
    """One thing that was baked, how it stands, and why."""

    baked: Baked
    state: State
    reason: str
    now: str = ""


def standings(
    baked: Iterable[Baked], now: Mapping[str, Now], used: Collection[str] | None, failures: Mapping[str, str]
) -> list[Standing]:
    """How each stands. `used` are the names that pods want, None where nobody looked; `failures` why a name is unknown.

    An image that a registry no longer has is missing even if nobody wants it: what was baked still runs, but where it
    was not baked nothing starts. Else what nobody wants is unused, whatever its tag says.
    """
    return [_standing(one, now.get(one.name), used, failures.get(one.name, "")) for one in baked]


def _standing(baked: Baked, now: Now | None, used: Collection[str] | None, failure: str) -> Standing:
    digest = now.digest if now is not None else ""
    if now is not None and now.gone:
        return Standing(baked, State.MISSING, f"{now.source} no longer has it")
    if used is not None and baked.name not in used:
        return Standing(baked, State.UNUSED, "no pod that was counted wants it", digest)
    if baked.kind == "model":
        return Standing(baked, State.UNKNOWN, "the hydrator compares a model with its source at every start")
    if is_pinned(baked.name):
        return Standing(baked, State.CURRENT, "named by its digest", digest)
    if now is None or not digest:
        return Standing(baked, State.UNKNOWN, failure or "nobody says what its tag names now")
    if not baked.digest and not baked.platform_digest:
        return Standing(baked, State.UNKNOWN, "the plan does not say which digest was baked", digest)
    # Nodes tell the digest of what they asked for: of the index mostly, of one platform where somebody pulled by that.
    if {baked.digest, baked.platform_digest} & {digest, now.platform_digest} - {""}:
        return Standing(baked, State.CURRENT, f"as {now.source} says", digest)
    return Standing(baked, State.STALE, f"{now.source} has another digest under this name", digest)


def is_pinned(name: str) -> bool:
    """Whether an image's name says its digest, so that it names the same bytes for ever."""
    found = image.parse(name)
    return isinstance(found, image.Reference) and found.digest is not None
