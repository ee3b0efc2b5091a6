"""What a leader notes beside a rotation's content: moments, which survive it. As text, for annotations.

A note that somebody edited counts as none.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509

from certs import bundle

_MAX_TEXT = 1000


def trusted(authorities: Iterable[x509.Certificate], now: datetime) -> str:
    """The note that these authorities are trusted since `now`."""
    return f"{moment(now)} {','.join(sorted(bundle.fingerprints(authorities)))}"


def trusted_since(text: str, authorities: Iterable[x509.Certificate]) -> datetime | None:
    """Since when these authorities are trusted, by such a note; None where it does not name all of them.

    So a note holds on when an authority leaves, and is void when one comes.
    """
    when, _, noted = text[:_MAX_TEXT].partition(" ")
    return parse_moment(when) if bundle.fingerprints(authorities) <= set(noted.split(",")) else None


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
