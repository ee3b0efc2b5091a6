"""The certificates of an installation as they are in the cluster: what `warmpod certs status` and `rotate` look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from certs import bundle, contents, rotation
from certs.contents import Contents
from certs.issue import InvalidName
from certs.rotation import Terms
from certs.steps import Step
from webhook.controller.condition import phase
from webhook.controller.trust import Configuration, Stored, TrustStore, surroundings
from webhook.kube import Object, names
from webhook.sources import replicas
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import ObjectApi
from webhook.sources.replicas import Replica


@dataclass(frozen=True, slots=True)
class Place:
    """Where an installation keeps its certificates."""

    namespace: str
    secret: str
    configuration: str


@dataclass(frozen=True, slots=True)
class View:
    """One look. `replicas` are the live ones, None when they cannot be read."""

    place: Place
    now: datetime
    stored: Stored
    held: Contents
    configuration: Configuration
    replicas: Sequence[Replica] | None

    @property
    def serial(self) -> str:
        """Of the Secret's leaf; "" when there is none to serve."""
        return self.held.leaf.served.serial if self.held.leaf else ""

    @property
    def serving(self) -> int:
        """How many live replicas serve the Secret's leaf."""
        return sum(one.serial == self.serial != "" for one in self.replicas or ())

    @property
    def signer(self) -> str:
        """Fingerprint of the authority that signs; "" when there is none."""
        return bundle.fingerprint(self.held.authority.certificate) if self.held.authority else ""

    def trusting(self, certificate: Any) -> int:
        """How many hooks trust an authority."""
        wanted = bundle.fingerprint(certificate)
        bundles = (bundle.parse(one).certificates for one in self.configuration.bundles)
        return sum(wanted in bundle.fingerprints(each) for each in bundles)

    def next(self, settle: timedelta, overlap: timedelta) -> Step:
        """What the leading controller will do next, when it waits for so long."""
        served = self.held.leaf.served.names if self.held.leaf else ()
        try:
            terms = Terms(
                served or (f"{names.WEBHOOK_SERVICE}.{self.place.namespace}.svc",), settle=settle, overlap=overlap
            )
        except InvalidName:  # of a leaf that somebody else made
            terms = Terms((f"{names.WEBHOOK_SERVICE}.{self.place.namespace}.svc",), settle=settle, overlap=overlap)
        serials = None if self.replicas is None else [one.serial for one in self.replicas]
        seen = surroundings(self.stored, self.held, self.configuration, serials)
        return rotation.decide(self.stored.data, seen, terms, self.now, self.stored.asked)

    def problems(self) -> list[str]:
        """What a person should look at, as sentences."""
        found = []
        if self.stored.document is None:
            found.append(f"there is no Secret {self.place.namespace}/{self.place.secret}")
        elif self.held.leaf is None:
            found.append(f"there is no leaf to serve: {self.held.leaf_problem}")
        if self.held.authority is None and self.stored.document is not None:
            found.append(f"the authority cannot sign: {self.held.authority_problem}")
        hooks = len(self.configuration.hooks)
        if self.configuration.document is None:
            found.append(f"there is no MutatingWebhookConfiguration {self.place.configuration}: no pod is reviewed")
        elif not hooks:
            found.append(f"MutatingWebhookConfiguration {self.place.configuration} has no hooks: no pod is reviewed")
        for certificate in self.held.trusted:
            missing = hooks - self.trusting(certificate)
            if missing:
                found.append(
                    f"{missing} of {hooks} hooks do not trust authority {bundle.fingerprint(certificate)[:16]}"
                )
        if self.replicas is None:
            found.append("it is not known what the replicas serve")
        elif not self.replicas:
            found.append("no replica reports")
        for one in self.replicas or ():
            if one.serial is None:
                found.append(f"{one.name} does not say what it serves{f': {one.problem}' if one.problem else ''}")
            elif one.serial != self.serial:
                found.append(f"{one.name} serves {one.serial}, which is not the Secret's leaf")
        return [*found, *([self.stored.complaint] if self.stored.complaint else [])]

    def document(self, step: Step) -> Object:
        """All of it, for programs."""
        held = self.held
        served = held.leaf.served if held.leaf else None
        by_role = {
            "signing": held.authority.certificate if held.authority else None,
            "next": held.successor.certificate if held.successor else None,
            "old": held.retiring,
        }
        until = getattr(step, "until", self.now)
        return {
            "namespace": self.place.namespace,
            "secret": self.place.secret,
            "phase": phase(held, exists=self.stored.document is not None),
            "leaf": served
            and {
                "serial": served.serial,
                "notBefore": _time(served.not_before),
                "notAfter": _time(served.not_after),
                "names": list(served.names),
            },
            "authorities": [
                {
                    "role": role,
                    "sha256": bundle.fingerprint(one),
                    "notAfter": _time(one.not_valid_after_utc),
                    "hooks": self.trusting(one),
                }
                for role, one in by_role.items()
                if one is not None
            ],
            "hooks": len(self.configuration.hooks),
            "replicas": [
                {"name": one.name, "serial": one.serial, "current": one.serial == self.serial != ""}
                for one in self.replicas or ()
            ],
            "asked": self.stored.asked,
            "next": {"step": type(step).__name__, "reason": step.reason, "at": until and _time(until)},
            "problems": self.problems(),
        }


async def look(api: ObjectApi, place: Place, now: datetime) -> View:
    """Read everything; `now` by the API server's clock. Raises ApiFailure when the Secret cannot be read."""
    store = TrustStore(api, place.namespace, place.secret, place.configuration)
    stored = await store.read()
    try:
        found = [one for one in await replicas.read(api, place.namespace) if one.is_live(now)]
    except ApiFailure:
        found = None
    return View(place, now, stored, contents.read(stored.data or {}, now), await store.read_configuration(), found)


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
