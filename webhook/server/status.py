"""What the webhook says of itself: readiness, metrics, `GET /status`, and the answer to `warmpod doctor`'s probe.

Everything is put together when it is asked for, from what is in force at that moment. Whoever reaches the plain port
may read it. So nothing here names a pod, a node or a namespace, holds a value from one, or quotes a file: the log does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from webhook.daemon.health import Check, is_ready
from webhook.policy.model import Mode
from webhook.policy.problem import CODES, Problem
from webhook.report.reason import unquoted
from webhook.server.bearer_tokens import BearerTokens
from webhook.server.client_authorities import ClientAuthorities
from webhook.server.metrics import Gauges, Metrics
from webhook.server.reload import World

PROBE_PREFIX = "warmpod-probe "
"""Begins the warning that answers a probe; compact JSON follows."""

_DIGEST = 16
_LONGEST_VERSION = 48
_PROBLEMS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Identity:
    """What stays the same for the life of a process."""

    version: str
    cel_engine: str
    hydrator_image: str


class Status:
    """The standing of one webhook process."""

    def __init__(
        self, identity: Identity, world: World, metrics: Metrics, connections: Callable[[], int] = lambda: 0
    ) -> None:
        self._identity = identity
        self._world = world
        self._metrics = metrics
        self._connections = connections
        self.listening = True
        """False until the port of reviews is open."""

    def checks(self) -> list[Check]:
        """The lines of `/readyz?verbose`."""
        world = self._world
        served = world.certificate.served
        found = world.known.policies
        error = self._policies_error()
        policies = f"{len(found.policies)} in force, digest {found.digest[:_DIGEST] or 'none'}"
        if error:
            policies = f"{error}; {policies}" if world.policies_loaded else error
        if served is None:
            certificate, valid = world.certificate.problem or "it was not read yet", False
        else:
            valid = served.not_after.timestamp() > time.time()
            certificate = f"serial {served.serial}, expires {served.not_after.isoformat()}"
            if world.certificate.problem:
                certificate = f"{certificate}; the files as they are now are not served: {world.certificate.problem}"
        snapshot = unquoted(world.snapshot.problem or "") or f"id {world.known.inventory.id}"
        if world.snapshot.age is not None:
            snapshot = f"{snapshot} ({world.snapshot.age:.0f} s old)"
        return [
            Check("draining", not world.draining, "this replica is shutting down" if world.draining else "no"),
            Check("certificate", valid, certificate),
            Check("listening", self.listening, "yes" if self.listening else "the port of reviews is not open yet"),
            Check("policies", world.policies_loaded, policies),
            Check("policies-as-they-are", error is None, error or "in force", required=False),
            Check("snapshot", world.snapshot.usable, snapshot, required=False),
            *self._callers(),
            *(Check("policy-problem", False, _place(problem), False) for problem in world.problems[:_PROBLEMS_SHOWN]),
        ]

    def _policies_error(self) -> str | None:
        world = self._world
        errors = sum(problem.severity == "error" for problem in world.problems)
        if world.problem("policies") is None or not errors:
            return world.problem("policies")
        return (
            f"{errors} problem{'s' if errors > 1 else ''}, so the last good policies stay in force; the log says more"
        )

    def _callers(self) -> list[Check]:
        """Whether those who may ask can be told from those who may not; no lines where everybody may."""
        found = []
        authorities, tokens = self._world.authorities, self._world.tokens
        if authorities is not None:
            found.append(Check("client-ca", authorities.problem is None, authorities.problem or "in force", False))
        if tokens is not None:
            told = f"{tokens.count} accepted"
            passes = tokens.problem is None
            # With none left every review is refused, so that it is better to send none here.
            found.append(
                Check("bearer-tokens", passes, told if passes else f"{told}; {tokens.problem}", not tokens.count)
            )
        return found

    def gauges(self) -> Gauges:
        """What the metrics ask at every scrape."""
        world = self._world
        served = world.certificate.served
        return Gauges(
            version=self._identity.version,
            cel_engine=self._identity.cel_engine,
            policies=world.policy_count,
            policy_problems=len(world.problems),
            snapshot_usable=time.time() < world.known.usable_until,
            snapshot_age=world.snapshot.age,
            snapshot_changes=world.snapshot.changes,
            certificate_expiry=None if served is None else served.not_after.timestamp(),
            source_problems=self._source_problems(),
            ready=is_ready(self.checks()),
            connections=self._connections(),
        )

    def _source_problems(self) -> dict[str, bool]:
        world = self._world
        wrong = any(problem.severity == "error" for problem in world.problems)
        found = {
            "policies": wrong or world.problem("policies") is not None,
            "certificate": world.certificate.problem is not None,
        }
        if world.snapshot.configured:
            found["snapshot"] = world.snapshot.problem is not None
        if world.authorities is not None:
            found["client-ca"] = world.authorities.problem is not None
        if world.tokens is not None:
            found["bearer-tokens"] = world.tokens.problem is not None
        return found

    def document(self) -> dict[str, Any]:
        """What `GET /status` answers: plain JSON, null for what is not known. Ages are in seconds, times in UTC."""
        world = self._world
        served = world.certificate.served
        found = world.known.policies
        return {
            "version": self._identity.version,
            "ready": is_ready(self.checks()),
            "draining": world.draining,
            "certificate": {
                "serial": served and served.serial,
                "notBefore": served and _time(served.not_before),
                "notAfter": served and _time(served.not_after),
                "problem": world.certificate.problem,
            },
            "policies": {
                "count": len(found.policies),
                "digest": found.digest[:_DIGEST] or None,
                "problems": len(world.problems),
                "problem": self._policies_error(),
            },
            "snapshot": {
                "id": world.known.inventory.id or None,
                "age": world.snapshot.age,
                "usable": time.time() < world.known.usable_until,
                "problem": world.snapshot.problem and unquoted(world.snapshot.problem),
            },
            "callers": {
                "clientCertificate": _asked_for(world.authorities),
                "bearerTokens": _asked_for(world.tokens),
            },
            "hydratorImage": self._identity.hydrator_image or None,
            "reviews": self._metrics.reviews.total(),
        }

    def probe(self, cap: Mode) -> str:
        """The warning that says which replica answered on the path that caps modes at `cap`; at most 250 characters."""
        world = self._world
        served = world.certificate.served
        age = world.snapshot.age
        told = {
            "v": self._identity.version[:_LONGEST_VERSION],
            "m": str(cap),
            "p": world.known.policies.digest[:_DIGEST],
            "n": world.policy_count,
            "s": served.serial if served else None,
            "a": None if age is None else round(age, 1),
        }
        return PROBE_PREFIX + msgspec.json.encode(told).decode()


def _asked_for(source: ClientAuthorities | BearerTokens | None) -> dict[str, str | None] | None:
    """None where callers need not show it."""
    return None if source is None else {"problem": source.problem}


def _place(problem: Problem) -> str:
    """Where a policy file is wrong, and in what way: who may read policies may also read the log."""
    place = f"{problem.file}:{problem.line}:{problem.column}"
    return f"{place}: {problem.code} {CODES.get(problem.code, '')}; the log says more"


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
