"""What to do next with an authority, its leaf, and those who trust them, so that no handshake ever fails.

Two rules are all of it. A leaf is served only after every API server trusts its authority: the authority is in every
bundle, that was read back, and `settle` passed since. An authority leaves the bundles only when every live replica
serves a leaf of another one, and `overlap` passed since that was issued. So a rotation of the authority is

1. `Announce`: the next authority goes into the Secret,
2. `Trust`: and into every bundle; `Confirm`: that was read back, and the Secret says since when,
3. `Promote`: after `settle` it signs the leaf, and the one before is only trusted,
4. `Retire`: once every replica serves that leaf and `overlap` passed, the one before leaves the Secret, and by
   another `Trust` the bundles.

Nothing is remembered from one look to the next: everything is decided again from what is stored. Pure but for the keys
that `carry_out` makes; time is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from certs import bundle, contents
from certs.case import Asked, Case
from certs.contents import AUTHORITY, LEAF, NEXT, OLD
from certs.issue import Pair, issue_authority, issue_leaf
from certs.steps import Announce, Discard, Issue, Promote, Retire, Rewrite, Step
from certs.terms import Seen, Terms

__all__ = ["Asked", "Seen", "Terms", "carry_out", "decide"]


def decide(
    secret: Mapping[str, bytes] | None, seen: Seen, terms: Terms, now: datetime, asked: Asked | None = None
) -> Step:
    """The next step. None for a Secret that is not there; `asked` is what a person wants rotated."""
    return Case(contents.read(secret or {}, now), secret is not None, seen, terms, now, asked).step()


def carry_out(step: Rewrite, secret: Mapping[str, bytes] | None, terms: Terms, now: datetime) -> dict[str, bytes]:
    """The new content of the Secret. Makes keys; changes nothing. Keys that are not a rotation's stay."""
    made = dict(secret or {})
    held = contents.read(made, now)
    if isinstance(step, Discard):
        for key in step.keys:
            made.pop(key, None)
    elif isinstance(step, Retire):
        made.pop(OLD, None)
    elif isinstance(step, Announce):
        made |= _pair(NEXT, issue_authority(now, lifetime=terms.authority_lifetime))
    elif isinstance(step, Issue):
        assert held.authority is not None, "decided with the same content"
        made |= _leaf(held.authority, terms, now)
    else:
        signer = held.successor if isinstance(step, Promote) else None
        before = [one for one in held.trusted if signer is None or one != signer.certificate]
        signer = signer or issue_authority(now, lifetime=terms.authority_lifetime)
        for key in (*NEXT, OLD):
            made.pop(key, None)
        made |= _pair(AUTHORITY, signer) | _leaf(signer, terms, now)
        if before:
            made[OLD] = bundle.render(before[:1])
    return made


def _pair(keys: tuple[str, str], pair: Pair) -> dict[str, bytes]:
    return {keys[0]: pair.certificate_pem, keys[1]: pair.key_pem}


def _leaf(signer: Pair, terms: Terms, now: datetime) -> dict[str, bytes]:
    return _pair(LEAF, issue_leaf(signer, terms.names, now, lifetime=terms.leaf_lifetime))
