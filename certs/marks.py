"""What a leader notes beside a rotation's content: moments, which survive it. As text, for annotations.

A note that somebody edited counts as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from certs import bundle, contents

_MAX_TEXT = 1000


def trusted(secret: Mapping[str, bytes], now: datetime) -> str:
    """The note that all authorities of this content are trusted since `now`."""
    return f"{moment(now)} {','.join(sorted(bundle.fingerprints(contents.read(secret, now).trusted)))}"


def trusted_since(text: str, secret: Mapping[str, bytes], now: datetime) -> datetime | None:
    """Since when every authority of this content is trusted, by such a note; None where it names not all of them.

    So a note holds on when an authority leaves, and is void when one comes.
    """
    when, _, noted = text[:_MAX_TEXT].partition(" ")
    if not bundle.fingerprints(contents.read(secret, now).trusted) <= set(noted.split(",")):
        return None
    return parse_moment(when)


def moment(when: datetime) -> str:
    """RFC 3339 with microseconds, in UTC."""
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_moment(text: str) -> datetime | None:
    """The moment that `moment` wrote; None for any other text."""
    try:
        found = datetime.fromisoformat(text)
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
