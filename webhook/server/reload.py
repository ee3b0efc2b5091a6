"""What the webhook knows, and how it follows the files it knows it from.

Everything is read in a thread and swapped in on the event loop by one assignment. The last good version of each source
stays in force; a failure is a metric, a line in the log (once until it changes) and a line of `/readyz?verbose`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from webhook.admission.decision import Facts, Settings
from webhook.daemon.logs import LOGGER
from webhook.inventory.model import EMPTY, Inventory
from webhook.policy.model import Mode, PolicySet
from webhook.policy.problem import Problem
from webhook.server.bearer_tokens import BearerTokens
from webhook.server.metrics import Metrics
from webhook.server.tls import CertificateFiles
from webhook.sources.policy_files import PolicyFiles, Reload
from webhook.sources.snapshot_file import SnapshotFile

_PROBLEMS_SHOWN = 50
# How long a look at the files, in its thread, may keep the interpreter from a review that has come meanwhile. Python's
# own 5 ms would be paid at every turn of the event loop while a large snapshot is decoded (tests/bench/swap.py).
_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Known:
    """What decisions are made from, all of one look at the files."""

    policies: PolicySet
    inventory: Inventory
    usable_until: float  # unix seconds: a look that hangs must not keep a snapshot alive
    namespaces: Mapping[str, Mapping[str, str]]


class _Look(NamedTuple):
    """What one look at the files came to: of each source but the policies, whether something new is in force."""

    policies: Reload
    snapshot: bool
    certificate: bool
    authorities: bool
    tokens: bool


class World:
    """The policies, the snapshot and the certificate in force; `facts` of them for a review.

    `webhook.server.status` says how they stand.
    """

    def __init__(
        self,
        policies: PolicyFiles,
        snapshot: SnapshotFile,
        certificate: CertificateFiles,
        settings: Settings,
        metrics: Metrics,
        *,
        tokens: BearerTokens | None = None,
    ) -> None:
        self._policies = policies
        self.snapshot = snapshot
        self.certificate = certificate
        self.authorities = certificate.authorities
        self.tokens = tokens
        self._settings = settings
        self._metrics = metrics
        self.known = Known(PolicySet(), EMPTY, usable_until=0.0, namespaces={})
        self.policies_loaded = False
        self.problems: tuple[Problem, ...] = ()  # of the files as they are, in force or not
        self._told: dict[str, str | None] = {}
        self.draining = False

    def facts(self, namespace: str, cap: Mode) -> Facts:
        """What may be known for a review in `namespace`: one reference is read, so it is all of one moment."""
        known = self.known
        usable = time.time() < known.usable_until
        return Facts(
            policies=known.policies,
            settings=self._settings,
            inventory=known.inventory if usable else EMPTY,
            namespace_labels=known.namespaces.get(namespace),
            mode_cap=cap,
            placement_usable=usable,
        )

    async def follow(self, seconds: float) -> None:
        """Refresh every `seconds`, for ever."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001  whatever one look raises, there is a next one
                LOGGER.exception("reload failed", extra={"throttled": True})

    async def refresh(self) -> None:
        """Look at every source once, and put what is new and good in force."""
        now = time.time()
        look = await asyncio.to_thread(self._look, now)
        reload = look.policies
        self.known = Known(
            self._policies.current, self.snapshot.inventory, self.snapshot.usable_until, self.snapshot.namespaces
        )
        self.problems = reload.problems
        first = reload.error is None and not self.policies_loaded  # an empty directory is a policy set too
        self.policies_loaded = self.policies_loaded or first
        self._account("policies", reload.changed or first, reload.error, now)
        snapshot_problem = self.snapshot.problem if self.snapshot.configured else None
        self._account("snapshot", look.snapshot, snapshot_problem, now)
        self._account("certificate", look.certificate, self.certificate.problem, now)
        if self.authorities is not None:
            self._account("client-ca", look.authorities, self.authorities.problem, now)
        if self.tokens is not None:
            self._account("bearer-tokens", look.tokens, self.tokens.problem, now)

    def _look(self, now: float) -> _Look:
        moment = datetime.fromtimestamp(now, UTC)
        # The authorities first: the certificate's contexts are made with them.
        authorities = self.authorities is not None and self.authorities.refresh(moment)
        return _Look(
            policies=self._policies.refresh(now),
            snapshot=self.snapshot.refresh(now),
            certificate=self.certificate.refresh(moment),
            authorities=authorities,
            tokens=self.tokens is not None and self.tokens.refresh(),
        )

    def _account(self, source: str, changed: bool, error: str | None, now: float) -> None:
        is_news = error != self._told.get(source)
        self._told[source] = error
        if error is not None:
            self._metrics.reloaded(source, now=now, failed=True)
            if is_news:
                LOGGER.warning(f"{source} not usable", extra={"fields": {"error": error}})
        elif changed:
            self._metrics.reloaded(source, now=now, failed=False)
            # In a large cluster every second brings another snapshot, and its age is a metric.
            level = logging.DEBUG if source == "snapshot" and self.snapshot.changes > 1 else logging.INFO
            LOGGER.log(level, f"{source} loaded", extra={"fields": self._news(source)})
        elif is_news:
            LOGGER.info(f"{source} usable again")

    def _news(self, source: str) -> dict[str, object]:
        if source == "policies":
            found = self.known.policies
            return {
                "policies": len(found.policies),
                "digest": found.digest[:16],
                "problems": [str(problem) for problem in self.problems[:_PROBLEMS_SHOWN]],
            }
        if source == "snapshot":
            return {"id": self.known.inventory.id, "nodes": len(self.known.inventory.nodes)}
        if source == "bearer-tokens":
            return {"tokens": self.tokens.count if self.tokens else 0}
        if source == "client-ca":
            return {"authorities": self.authorities.pem.count("BEGIN") if self.authorities else 0}
        served = self.certificate.served
        return {} if served is None else {"serial": served.serial, "notAfter": served.not_after.isoformat()}

    @property
    def policy_count(self) -> int:
        """How many policies are in force."""
        return len(self.known.policies.policies)

    @property
    def obstacle(self) -> str | None:
        """Why no review can be taken yet, or None: no certificate, or nobody who could be let in."""
        if self.certificate.served is None:
            return f"--tls-cert, --tls-key: {self.certificate.problem}"
        if self.authorities is not None and not self.authorities.pem:
            return f"--client-ca: {self.authorities.problem}"
        if self.tokens is not None and not self.tokens.count:
            return f"--bearer-token-file: {self.tokens.problem}"
        return None

    def problem(self, source: str) -> str | None:
        """Why the files of this source as they are now are not in force; None when they are."""
        return self._told.get(source, "they were not read yet")
