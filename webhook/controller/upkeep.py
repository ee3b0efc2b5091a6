"""What a controller does for the installation that it belongs to, beside labels and the snapshot.

Certificates (`keeper`), the registration (`registration`), the Lease by which this replica reports (`reporter`), and
what policies do to workloads (`reports`).
Each part goes on by itself: whatever happens to one is a line of `/readyz?verbose`, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from certs.issue import InvalidName
from certs.rotation import Terms
from webhook.controller.alarm import Alarm
from webhook.controller.clock import FAR_SECONDS
from webhook.controller.condition import ROTATIONS
from webhook.controller.election import Election
from webhook.controller.events import Events
from webhook.controller.keeper import Keeper, KeeperOptions
from webhook.controller.options import Installation
from webhook.controller.registration import Registration
from webhook.controller.replica import Reporter, Roster, Self
from webhook.controller.restoration import Restoration
from webhook.controller.verdict import Address
from webhook.daemon.health import Check
from webhook.daemon.process import CannotStart
from webhook.sources.kube_api import KubeApi
from webhook.sources.kube_api.objects import ObjectApi

if TYPE_CHECKING:
    from webhook.controller.policy_reports import PolicyReports


@dataclass(frozen=True, slots=True)
class UpkeepState:
    """What `/metrics` is made of; None for what this process does not know, or does not look after."""

    expiries: Mapping[str, float] = field(default_factory=dict)
    """Unix times, by "serving" and "authority"."""
    rotations: Mapping[str, int] = field(default_factory=dict)
    certificate_problem: bool | None = None
    configuration_ok: bool | None = None
    restored: int | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)
    skew: float | None = None
    reports: Mapping[str, int] = field(default_factory=dict)
    report_problem: bool | None = None


@dataclass(slots=True)
class Upkeep:
    """The parts that are wanted; None for the others."""

    skew: Callable[[], float | None]
    leading: Callable[[], bool]
    keeper: Keeper | None = None
    registration: Registration | None = None
    reporter: Reporter | None = None
    roster: Roster | None = None
    events: Events | None = None
    reports: PolicyReports | None = None

    def work(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """What is to run for ever, side by side: what it is, for the log, and how it begins."""
        found: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        if self.keeper:
            found["keeping certificates"] = self.keeper.run
            if self.events:
                found["telling of certificates"] = Alarm(self.keeper.condition, self.events, self.leading).run
        if self.registration:
            found["watching the registration"] = self.registration.run
        if self.reporter:
            found["reporting"] = self.reporter.run
        if roster := self.roster:
            found["watching replicas"] = lambda: roster.run(self.leading)
        if self.reports:
            found["reporting policies"] = self.reports.run
        return found

    def checks(self) -> list[Check]:
        """Lines of `/readyz?verbose`. None takes the pod out of its Service: the webhook answers all the same."""
        return [*self._certificates(), *self._registration(), *self._replica(), *self._reports(), *self._clock()]

    def state(self) -> UpkeepState:
        """Numbers for `/metrics`."""
        condition = self.keeper.condition if self.keeper else None
        ends = {"serving": condition.leaf_expiry, "authority": condition.authority_expiry} if condition else {}
        registration = self.registration
        verdict = registration.verdict if registration and registration.failure is None else None
        restoration = registration.restoration if registration else None
        return UpkeepState(
            expiries={name: end.timestamp() for name, end in ends.items() if end is not None},
            rotations={kind: condition.rotations[kind] for kind in ROTATIONS} if condition else {},
            certificate_problem=condition.problem is not None if condition else None,
            configuration_ok=verdict.state == "ok" if verdict else None,
            restored=restoration.restored if restoration else None,
            replicas=self.roster.counts() if self.roster and self.roster.known else {},
            skew=self.skew(),
            reports=self.reports.counts if self.reports else {},
            report_problem=self.reports.problem is not None if self.reports else None,
        )

    def _certificates(self) -> list[Check]:
        if self.keeper is None:
            return [Check("certificates", True, "kept by somebody else (no --tls-secret)", required=False)]
        condition = self.keeper.condition
        ends = f"the pair ends {_date(condition.leaf_expiry)}, the authority {_date(condition.authority_expiry)}"
        waiting = f"; {condition.waiting}" if condition.waiting else ""
        detail = condition.problem or f"{condition.phase}; {ends}{waiting}"
        return [Check("certificates", condition.problem is None, detail, required=False)]

    def _registration(self) -> list[Check]:
        registration = self.registration
        if registration is None:
            return [Check("registration", True, "not looked at (no --webhook-configuration)", required=False)]
        if registration.failure is not None:
            text = f"{registration.failure}: log line `registration not read`"
            return [Check("registration", False, text, required=False)]
        if registration.verdict is None:
            return [Check("registration", False, "not looked at yet", required=False)]
        verdict, restoration = registration.verdict, registration.restoration
        checks = [Check("registration", verdict.state == "ok", verdict.text or "leads to us", required=False)]
        if restoration and restoration.problem:
            text = "not kept or not restored: log line `registration not restored`"
            checks.append(Check("registration-backup", False, text, required=False))
        return checks

    def _replica(self) -> list[Check]:
        if self.reporter is None:
            return []
        problem = "its Lease is not kept: log line `replica not reported`" if self.reporter.problem else None
        return [
            Check("replica", problem is None, problem or "reported", required=False),
            Check("webhook", self.reporter.webhook_problem is None, self.reporter.webhook_problem or "answers", False),
        ]

    def _reports(self) -> list[Check]:
        return [self.reports.check()] if self.reports else []

    def _clock(self) -> list[Check]:
        skew = self.skew()
        if skew is None or abs(skew) <= FAR_SECONDS:
            return []
        text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API server's"
        return [Check("clock", False, text, required=False)]


def make(
    api: KubeApi,
    namespace: str,
    wanted: Installation,
    election: Election | None,
    own: Callable[[], Mapping[str, object]],
) -> Upkeep:
    """The parts that `wanted` asks for. Raises CannotStart for what can never work."""
    objects = ObjectApi(api.transport)
    identity = election.identity if election else ""

    def skew() -> float | None:
        return api.transport.clock_skew

    def leading() -> bool:
        return election is not None and election.leading

    made = Upkeep(skew, leading)
    hosts = wanted.served_names(namespace)
    if wanted.pod_name or wanted.secret:
        made.roster = Roster(objects, namespace)
    if wanted.pod_name:
        who = Self(namespace, wanted.replica_name, identity or wanted.replica_name, wanted.pod_uid)
        made.reporter = Reporter(objects, who, wanted.webhook_status, own)
    if wanted.configuration:
        events = made.events = Events(objects, namespace, identity)
        address = Address(namespace, wanted.service, hosts)
        restoration = (
            Restoration(objects, wanted.configuration, address, events, leading) if wanted.manage_webhook else None
        )
        made.registration = Registration(
            objects, wanted.configuration, address, events, leading, tls=wanted.directory, restoration=restoration
        )
    if wanted.secret and made.roster:
        options = KeeperOptions(
            namespace=namespace,
            secret=wanted.secret,
            configuration=wanted.configuration,
            directory=wanted.directory,
            terms=_terms(wanted, hosts),
            interval=wanted.certificate_seconds,
        )
        made.keeper = Keeper(objects, options, made.roster.live, leading, skew)
    if wanted.reporting:
        # 20 MB of policies and their engine, which no other controller needs.
        from webhook.controller.policy_reports import PolicyReports  # noqa: PLC0415  as said above

        made.reports = PolicyReports(api, namespace, wanted.configuration, wanted.reporting, leading)
    return made


def _terms(wanted: Installation, hosts: tuple[str, ...]) -> Terms:
    try:
        return Terms(
            names=hosts,
            settle=timedelta(seconds=wanted.settle_seconds),
            overlap=timedelta(seconds=wanted.overlap_seconds),
        )
    except InvalidName as error:
        raise CannotStart(f"--tls-name: {error}") from error
    except ValueError as error:
        raise CannotStart(f"--tls-settle-seconds, --tls-overlap-seconds: {error}") from error


def _date(end: datetime | None) -> str:
    return "is not known" if end is None else f"{end:%Y-%m-%d %H:%M} UTC"
