"""Whether what replicas serve is what the API server trusts, and for how long."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime, timedelta

from cryptography import x509

from certs import bundle
from webhook.doctor import hooks
from webhook.doctor.advice import logs
from webhook.doctor.evidence import Absent, Certificates, Evidence, Seen, within
from webhook.doctor.finding import Finding, failure, note, ok, unseen, warning
from webhook.doctor.hooks import Hook
from webhook.kube import names

SOON = timedelta(days=14)
"""Everything is renewed long before: a leaf at two thirds of its life, by cert-manager too."""

_SECRET = f"Secret {names.TLS_SECRET}"


class Distrusted(ValueError):
    """A caBundle does not verify a certificate; the text says why and reads well after "webhook X"."""


def trust(evidence: Evidence) -> Iterator[Finding]:
    """The Secret's certificate, and each webhook's caBundle against it."""
    found = evidence.certificates
    bundles = [(hook, _bundle(hook)) for hook in hooks.ours(evidence)]
    for hook, known in bundles:
        if isinstance(known, str):
            yield failure("trust", f"webhook {hook.get('name')} {known}", _mend(evidence), stops=True)
    match found:
        case Seen(certificates):
            yield from _secret(evidence, certificates, bundles)
        case Absent():
            yield failure(
                "certificate",
                f"{_SECRET} is missing, so there is no certificate to serve",
                f"{_mend(evidence)}; with cert-manager look at `kubectl -n {evidence.namespace} describe certificates`",
                stops=hooks.uses_service(evidence),
            )
        case look:
            yield unseen("certificate", _SECRET, look)


def verifies(evidence: Evidence) -> bool:
    """Whether all of that is known to be good."""
    return isinstance(evidence.certificates, Seen) and not any(
        one.stops for one in trust(evidence) if one.name in ("trust", "certificate")
    )


def _mend(evidence: Evidence) -> str:
    return (
        "the leading controller mends it within seconds; if it does not, its log says why: "
        f"{logs(evidence.namespace, 'controller')}"
    )


def _secret(
    evidence: Evidence, found: Certificates, bundles: list[tuple[Hook, tuple[x509.Certificate, ...] | str]]
) -> Iterator[Finding]:
    if not found.leaf and found.next_authority:
        yield warning(
            "certificate",
            f"{_SECRET} was lost and is being made anew: its authority is announced, a certificate follows in a minute",
            f"replicas go on serving what they have; `warmpod certs status` follows it; {_mend(evidence)}",
        )
    elif found.problem:
        yield failure("certificate", f"{_SECRET} cannot be served: {found.problem}", _mend(evidence), stops=True)
    leaf = bundle.parse(found.leaf).certificates
    if not leaf:
        return
    signers: list[x509.Certificate] = []
    trusted = True
    for hook, known in bundles:
        if isinstance(known, str):
            trusted = False
            continue
        try:
            signers.append(_verify(leaf[0], known, hooks.host(hook), found, evidence.now))
        except Distrusted as error:
            trusted = False
            yield failure("trust", f"webhook {hook.get('name')} {error}", _mend(evidence), stops=True)
    if trusted and bundles:
        yield ok("trust", "the caBundles verify the certificate of the Secret")
    if not found.problem:
        yield from _expiry(evidence, leaf[0], signers)
    yield from _rotation(found)


def _verify(
    leaf: x509.Certificate, trusted: tuple[x509.Certificate, ...], host: str, found: Certificates, now: datetime
) -> x509.Certificate:
    signed = bundle.signed_by(leaf, trusted)
    if not signed:
        raise Distrusted(
            f"has a caBundle that does not verify the certificate of the Secret: it was signed by another authority "
            f"({leaf.issuer.rfc4514_string()})"
        )
    valid = [one for one in signed if one.not_valid_before_utc <= now < one.not_valid_after_utc]
    if not valid:
        ended = max(one.not_valid_after_utc for one in signed)
        raise Distrusted(f"trusts an authority that expired at {ended.isoformat()}")
    if found.names and host not in found.names:
        raise Distrusted(f"is called as {host}, and the certificate is for {', '.join(found.names)}")
    return valid[0]


def _expiry(evidence: Evidence, leaf: x509.Certificate, signers: list[x509.Certificate]) -> Iterator[Finding]:
    now = evidence.now
    ends = {"the certificate": leaf.not_valid_after_utc}
    if signers:
        ends["its authority"] = min(one.not_valid_after_utc for one in signers)
    soon = [what for what, at in ends.items() if at - now < SOON]
    told = ", ".join(f"{what} expires in {(at - now).days} days" for what, at in ends.items())
    if soon:
        yield warning(
            "certificate",
            f"{told}, and should have been renewed",
            f"`warmpod certs rotate`; {_mend(evidence)}",
        )
    else:
        yield ok("certificate", told)


def _rotation(found: Certificates) -> Iterator[Finding]:
    if found.asked:
        yield note("rotation", f"somebody asked for a new {found.asked}, and it was not yet made")
    if found.next_authority:
        yield note("rotation", "a new authority is being published; it will sign once every API server trusts it")
    if found.old_authority:
        yield note("rotation", "the old authority is still trusted, until every replica serves the new certificate")


def _bundle(hook: Hook) -> tuple[x509.Certificate, ...] | str:
    value = within(hook, "clientConfig", "caBundle")
    if not isinstance(value, str) or not value:
        return "has no caBundle, so the API server trusts no replica"
    try:
        found = bundle.parse(base64.b64decode(value, validate=True)).certificates
    except binascii.Error:
        return "has a caBundle that is no base64"
    return found or "has a caBundle without a certificate that can be read"
