"""One decision of a rotation: what is known, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509

from certs import bundle
from certs.bundle import Bundle
from certs.contents import Contents
from certs.steps import Announce, Begin, Confirm, Discard, Doubt, Issue, Promote, Retire, Step, Trust, Wait
from certs.terms import Seen, Terms

Asked = Literal["leaf", "authority"]

_FOREIGN = 16  # certificates at most that are kept for others: with ours, a bundle stays one that is read
_FUTURE = timedelta(minutes=5)
"""A time of the past that lies further ahead than this was written by a wrong clock, and counts as unknown."""


@dataclass(frozen=True, slots=True)
class Case:
    """One decision."""

    held: Contents
    exists: bool
    seen: Seen
    terms: Terms
    now: datetime
    asked: Asked | None
    bundles: tuple[Bundle, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bundles", tuple(map(bundle.parse, self.seen.bundles)))

    def step(self) -> Step:
        """The next step."""
        problem = self.held.serves(self.terms.names, (*self.held.trusted, *self.foreign()))
        if problem:
            return self.restore(problem)
        if self.held.unusable:
            return Discard(f"{', '.join(self.held.unusable)} cannot be used", self.held.unusable)
        return self.mend() or self.renew() or self.rotate() or self.wait()

    # --- what is known

    def foreign(self) -> tuple[x509.Certificate, ...]:
        """Authorities in the bundles that are not in the Secret, while they may still be needed."""
        ours = bundle.fingerprints(self.held.trusted)
        found = {bundle.fingerprint(one): one for each in self.bundles for one in each.certificates}
        return bundle.unexpired((one for key, one in found.items() if key not in ours), self.now)[:_FOREIGN]

    def wanted(self) -> tuple[x509.Certificate, ...]:
        """What every bundle is to trust: the Secret's authorities, and for as long as it may be needed what is there.

        Whoever put it there. Afterwards it goes: who holds the key of an authority in a bundle can answer in our place.
        """
        foreign = self.foreign()
        if self.may_forget():
            foreign = bundle.signed_by(self.held.leaf.certificate, foreign) if self.held.leaf else foreign
        return (*self.held.trusted, *foreign)

    def holding(self) -> bool:
        """Whether a live replica serves another leaf than the Secret's: one that was good when it was loaded.

        Where nobody knows, it counts as if one did: that costs `settle` at the most.
        """
        stored = {self.held.leaf.served.serial if self.held.leaf else self.held.expired}
        return not self.seen.replicas_known or bool(self.seen.serials - stored - {""})

    def switched(self) -> bool:
        """Whether every live replica serves the Secret's leaf."""
        serials, leaf = self.seen.serials, self.held.leaf
        return self.seen.replicas_known and leaf is not None and serials == {leaf.served.serial}

    def settled_at(self) -> datetime | None:
        """From when on every API server trusts all the Secret's authorities."""
        since = self.past(self.seen.trusted_since)
        return since + self.terms.settle if since else None

    def settled(self) -> bool:
        """Whether every API server does now."""
        at = self.settled_at()
        return at is not None and at <= self.now

    def forgettable_at(self) -> datetime:
        """When `overlap` has passed since the signer changed; where nobody noted that, since the leaf was issued."""
        issued = self.held.leaf.issued_at if self.held.leaf else self.now
        return (self.past(self.seen.switched_at) or issued) + self.terms.overlap

    def may_forget(self) -> bool:
        """Whether authorities that signed before may go."""
        return self.switched() and self.forgettable_at() <= self.now

    def past(self, moment: datetime | None) -> datetime | None:
        """A moment that can be believed."""
        return moment if moment is not None and moment <= self.now + _FUTURE else None

    def leaf_due(self) -> datetime | None:
        """When a third of the leaf's life is left; None where a new one would not live longer."""
        if self.held.leaf is None or self.held.authority is None:
            return None
        issued, end = self.held.leaf.issued_at, self.held.leaf.served.not_after
        longest = self.held.authority.certificate.not_valid_after_utc
        return issued + (end - issued) * 2 / 3 if longest > end else None

    def authority_due(self) -> datetime:
        """When the authority has too little left for its leaves."""
        if self.held.authority is None:
            return self.now
        return self.held.authority.certificate.not_valid_after_utc - self.terms.margin

    # --- what to do, in this order

    def restore(self, problem: str) -> Step:
        """There is no leaf to serve."""
        held, holding = self.held, self.holding()
        if held.authority is None and held.successor is None:
            why = f"there is no leaf to serve ({problem}) and no authority to sign one ({held.authority_problem})"
            if not self.exists:
                why = "there is no Secret"
            if holding and any(bundle.unexpired(each.certificates, self.now) for each in self.bundles):
                return Announce(f"{why}; replicas go on with the leaf they have until the new authority is trusted")
            lost = self.exists or holding or any(each.certificates for each in self.bundles)
            return Begin(f"{why}: everything is new from here on", loud=lost)
        if holding and self.bundles and not self.settled():
            # They serve something that works. A new leaf would not, before every API server trusts its authority.
            return self.mend() or Wait(
                f"there is no leaf to serve ({problem}); API servers come to trust the authority that will sign one",
                self.settled_at(),
            )
        if held.authority is None:
            return Promote(f"there is no leaf to serve ({problem}) and only the next authority can sign one")
        return Issue(f"there is no leaf to serve: {problem}")

    def mend(self) -> Step | None:
        """The bundles, and what is noted of them."""
        if not self.bundles:
            return None
        wanted = self.wanted()
        must, should = bundle.fingerprints(self.held.trusted), bundle.fingerprints(wanted)
        present = [bundle.fingerprints(each.certificates) for each in self.bundles]
        lacking = sum(not must <= each for each in present)
        if lacking and self.seen.trusted_since is not None:
            return Doubt(f"{lacking} of {len(present)} bundles do not trust what is served, or will be")
        if any(each != should or not found.clean for each, found in zip(present, self.bundles, strict=True)):
            why = f"{lacking} of {len(present)} bundles lack an authority" if lacking else "bundles hold too much"
            return Trust(why, bundle.render(wanted))
        if self.past(self.seen.trusted_since) is None:
            return Confirm("every bundle was read back and trusts every authority")
        return None

    def renew(self) -> Step | None:
        """The leaf alone."""
        due = self.leaf_due()
        asked = self.asked == "leaf"
        if self.held.authority is None or not (asked or (due is not None and due <= self.now)):
            return None
        if self.bundles and not self.settled():
            return None
        return Issue("somebody asked for a new leaf" if asked else "two thirds of the leaf's life have passed")

    def rotate(self) -> Step | None:
        """The authority."""
        if self.held.retiring is not None:
            if self.may_forget():
                return Retire("every live replica serves a leaf of the authority that signs now")
            return None
        if self.held.successor is not None:
            return Promote("every API server trusts the next authority") if self.settled() and self.bundles else None
        if not self.bundles:
            return None
        if self.held.authority is None:
            return Announce(f"the authority cannot sign: {self.held.authority_problem}")
        if self.asked == "authority":
            return Announce("somebody asked for a new authority")
        if self.authority_due() <= self.now:
            return Announce("the authority would not outlive its next leaves")
        return None

    def wait(self) -> Wait:
        """Nothing now."""
        reason, until = self.obstacle()
        times = [one for one in (until, self.leaf_due(), self.authority_due()) if one is not None and one > self.now]
        return Wait(reason, min(times, default=None))

    def obstacle(self) -> tuple[str, datetime | None]:
        """What is waited for, and the moment at which it comes if it comes by itself."""
        if self.held.retiring is not None:
            if self.forgettable_at() > self.now:
                return "the authority before stays trusted for a while", self.forgettable_at()
            if not self.seen.replicas_known:
                return "the authority before stays trusted: it is not known what the replicas serve", None
            return "the authority before stays trusted until every live replica serves the new leaf", None
        if not self.bundles:
            wanted = self.held.successor or self.asked == "authority" or self.authority_due() <= self.now
            if wanted:
                return "the authority is not replaced while there is no configuration to put the next one into", None
            return "there is no configuration that could trust the authority", None
        if self.held.successor is not None or self.asked is not None:
            return "API servers come to trust every authority", self.settled_at()
        return "nothing is due", None
