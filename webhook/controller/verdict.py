"""Whether a MutatingWebhookConfiguration leads to us. Pure: what was read goes in, a verdict comes out.

What people may want to have otherwise is theirs, and not judged: selectors, conditions, timeouts, failure policies,
which of our paths a hook has (by it, it audits or enforces), further hooks of other products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from cryptography import x509

from certs import bundle
from webhook.kube import Object, names
from webhook.kube.pod import mapping, objects
from webhook.sources.kube_api.objects import decoded

PATHS = frozenset({"/mutate", "/mutate/audit"})
"""Where the webhook answers reviews; a test compares."""

State = Literal["ok", "missing", "leaving", "empty", "foreign", "astray", "distrusting"]

_SHOWN = 3
_NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Address:
    """How the API server reaches us: a Service, or a URL of one of the hosts that our certificate is for."""

    namespace: str
    service: str
    hosts: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """`text` is a sentence for people, without names of users' objects; empty when all is well."""

    state: State
    text: str = ""


def judge(document: Object | None, address: Address, chain: Sequence[x509.Certificate] = ()) -> Verdict:
    """What is wrong with the configuration; None for one that is not there.

    `chain` is the leaf that is served, and what came with it; empty when it is not known, and then trust is not judged.
    """
    if document is None:
        return Verdict("missing", "the webhook configuration is missing: pods are created without us")
    if mapping(document.get("metadata")).get("deletionTimestamp"):
        return Verdict("leaving", "the webhook configuration is being deleted")
    present = hooks(document)
    if not present:
        return Verdict("empty", "the webhook configuration has no webhooks: pods are created without us")
    ours = [hook for hook in present if is_ours(hook, address)]
    if not ours:
        return Verdict(
            "foreign", "the webhook configuration has only webhooks of somebody else: pods are created without us"
        )
    astray = [hook for hook in ours if not reaches(hook, address)]
    if astray:
        where = f"Service {address.service}, path {' or '.join(sorted(PATHS))}"
        return Verdict("astray", f"{_named(astray)} of the webhook configuration does not lead to {where}")
    idle = [hook for hook in ours if not is_asked(hook)]
    if idle:
        return Verdict("astray", f"{_named(idle)} of the webhook configuration is not asked about created pods")
    distrusting = [hook for hook in ours if chain and not trusts(hook, chain)]
    if distrusting:
        text = f"the caBundle of {_named(distrusting)} does not trust the certificate that is served: every call fails"
        return Verdict("distrusting", text)
    return Verdict("ok")


def hooks(document: Object) -> list[Object]:
    """The webhooks of a configuration."""
    return objects(document.get("webhooks"))


def is_ours(hook: Object, address: Address) -> bool:
    """Whether it is about us: by its name, or by whom it calls."""
    name = hook.get("name")
    named = isinstance(name, str) and f".{name}".endswith(f".{names.DOMAIN}")
    return named or _calls_service(hook, address)


def reaches(hook: Object, address: Address) -> bool:
    """Whether its calls come to a path of ours."""
    client = mapping(hook.get("clientConfig"))
    if _calls_service(hook, address):
        return mapping(client.get("service")).get("path") in PATHS
    url = client.get("url")
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
    except ValueError:
        return False
    return parts.scheme == "https" and parts.hostname in address.hosts and parts.path in PATHS


def is_asked(hook: Object) -> bool:
    """Whether one of its rules is about the creation of pods."""
    rules = hook.get("rules")
    return any(
        _covers(rule, "apiGroups", "") and _covers(rule, "resources", "pods") and _covers(rule, "operations", "CREATE")
        for rule in (rules if isinstance(rules, list) else [])
    )


def trusts(hook: Object, chain: Sequence[x509.Certificate]) -> bool:
    """Whether its caBundle vouches for the first certificate of `chain`, by way of the others if need be."""
    trusted = bundle.parse(decoded(mapping(hook.get("clientConfig")).get("caBundle"))).certificates
    if not trusted or not chain:
        return False
    vouched = chain[0]
    for _ in chain:
        if vouched in trusted or bundle.signed_by(vouched, trusted):
            return True
        issuers = bundle.signed_by(vouched, chain[1:])
        if not issuers:
            return False
        vouched = issuers[0]
    return False


def _calls_service(hook: Object, address: Address) -> bool:
    service = mapping(mapping(hook.get("clientConfig")).get("service"))
    return service.get("name") == address.service and service.get("namespace") == address.namespace


def _covers(rule: object, field: str, value: str) -> bool:
    found = mapping(rule).get(field)
    return isinstance(found, list) and (value in found or "*" in found or f"{value}/*" in found or "*/*" in found)


def _named(found: Sequence[Object]) -> str:
    shown = ", ".join(str(hook.get("name"))[:_NAME_CHARACTERS] for hook in found[:_SHOWN])
    return f"{shown} and {len(found) - _SHOWN} more" if len(found) > _SHOWN else shown
