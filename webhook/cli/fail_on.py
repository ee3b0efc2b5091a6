"""`--fail-on`: which findings make the exit code 1."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.cli.errors import CouldNotRun


def kinds_of(text: str, known: Sequence[str]) -> frozenset[str]:
    """The kinds of finding that `a,b` names, out of those known; none for `none`. Raises CouldNotRun."""
    chosen = frozenset(filter(None, (part.strip() for part in text.split(","))))
    if chosen == {"none"}:
        return frozenset()
    unknown = sorted(chosen - set(known))
    if unknown or not chosen:
        raise CouldNotRun(
            f"--fail-on: {', '.join(map(repr, unknown)) or 'nothing'} is no kind of finding",
            hint=f"write some of {','.join(known)}, or none",
        )
    return chosen
