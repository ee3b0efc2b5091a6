"""`--policy-reports`: every few minutes the leader says in report documents what the policies do to each workload.

A turn walks all workloads, judges each as the webhook would judge its pods, and writes the reports that changed. What
stands in its way is a line of `/readyz?verbose`; reports stay as they are until a turn can see everything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from webhook.admission.decision import Facts
from webhook.controller.options import Reporting
from webhook.controller.pace import Pace
from webhook.controller.report_store import Found, ReportStore, digest, stores
from webhook.daemon.health import Check
from webhook.daemon.logs import LOGGER
from webhook.kube import Object, names
from webhook.kube.pod import mapping, objects
from webhook.policy.model import FailurePolicy, Mode
from webhook.report.policy_report import Results, is_ours, same
from webhook.report.workload import judgements
from webhook.sources.kube_api import KubeApi
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import NAMESPACES, WEBHOOK_CONFIGURATIONS, ObjectApi
from webhook.sources.kube_api.resources import workloads
from webhook.sources.policy_files import PolicyFiles
from webhook.sources.snapshot_file import SnapshotFile

AGAIN_SECONDS: Final = 5.0
"""After a turn that did not come to its end; then twice as long each time, up to the ordinary rest."""
WRITES_PER_SECOND: Final = 10.0

_LOOK_SECONDS: Final = 1.0
_BREATH_SECONDS: Final = 0.005  # how long labels and certificates may wait for a judgement
_TURN_SECONDS: Final = 1800.0
_FAILURES_IN_A_ROW: Final = 5  # then the rest of a turn is left for the next one
_AUDIT_PATH: Final = "/mutate/audit"
_MAIN_HOOK: Final = f"pods.{names.DOMAIN}"


class _Obstacle(Exception):
    """A turn cannot be made; the text names no objects."""


class _Over(Exception):
    """This one does not lead any more."""


class PolicyReports:
    """`run` for ever; only a process for which `leading()` is true lists and writes.

    `namespace` is that of the installation, `configuration` the MutatingWebhookConfiguration whose path caps modes.
    """

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        configuration: str,
        wanted: Reporting,
        leading: Callable[[], bool],
    ) -> None:
        self._api = api
        self._objects = ObjectApi(api.transport)
        self._namespace = namespace
        self._configuration = configuration
        self._wanted = wanted
        self._leading = leading
        self._policies = PolicyFiles(wanted.policies)
        self._pace = Pace(WRITES_PER_SECOND, time.monotonic)
        self._stores: dict[str, ReportStore] = {}
        self._failure = ""
        self._foreign: frozenset[str] = frozenset()
        self.problem: str | None = None
        """Why the last turn did not do all there was to do, without names; None before the first one, too."""
        self.counts: Mapping[str, int] = {}
        """Reports of the last turn, by state: `current`, `foreign` and `failed`. Empty for who does not lead."""
        self._last = ""
        self._again = AGAIN_SECONDS
        self._due = float("-inf")

    async def run(self) -> None:
        """Take a turn, rest, and again, while this one leads."""
        while True:
            if not self._leading():
                self.problem, self.counts, self._last = None, {}, ""
                self._stores, self._again, self._due = {}, AGAIN_SECONDS, float("-inf")
            elif time.monotonic() >= self._due:
                self._due = time.monotonic() + self._wanted.seconds  # also where a defect of ours ends the turn
                if await self.turn():
                    self._due, self._again = time.monotonic() + self._wanted.seconds, AGAIN_SECONDS
                else:
                    self._due = time.monotonic() + min(self._again, self._wanted.seconds)
                    self._again *= 2
            await asyncio.sleep(_LOOK_SECONDS)

    def check(self) -> Check:
        """A line of `/readyz?verbose`."""
        idle = "not taken a turn yet" if self._leading() else "written by the leader"
        return Check("policy-reports", self.problem is None, self.problem or self._last or idle, required=False)

    async def turn(self) -> bool:
        """Look at every workload once, and put right what reports say; whether it came to its end.

        Every fault of the API is an ordinary event.
        """
        began = time.monotonic()
        self._failure = ""
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                results = await self._turn()
        except _Over:
            return False
        except _Obstacle as obstacle:
            self._account(str(obstacle), str(obstacle))
        except ApiFailure as failure:
            self._account(_brief(failure), str(failure))
        except TimeoutError:
            self._account("a turn takes too long", f"no end after {_TURN_SECONDS:.0f} s")
        except Exception:
            self.problem = "a defect in Warmpod: log line `reporting policies failed`"
            raise
        else:
            self._account(self._brief_of_writes(), self._failure)
            self._last = (
                f"{self.counts['current']} in place, {results} results, the last turn took "
                f"{time.monotonic() - began:.1f} s"
            )
            return True
        return False

    def _account(self, problem: str, text: str) -> None:
        if problem and problem != self.problem:
            LOGGER.warning("policy reports not written", extra={"fields": {"error": text}, "throttled": True})
        elif not problem and self.problem:
            LOGGER.info("policy reports written again")
        self.problem = problem or None

    def _brief_of_writes(self) -> str:
        problems = []
        if failed := self.counts["failed"]:
            problems.append(f"{failed} could not be written: log line `policy reports not written`")
        if foreign := self.counts["foreign"]:
            problems.append(
                f"{foreign} of our name are somebody else's: log line `policy report left to another owner`"
            )
        return "; ".join(problems)

    async def _turn(self) -> int:
        """How many results there are."""
        served = await stores(self._api)
        if not served:
            raise _Obstacle("the API server serves neither wgpolicyk8s.io (v1alpha2 or later) nor openreports.io")
        self._stores = {one.served.full + one.served.api_version: self._known(one) for one in served}
        facts = await asyncio.to_thread(self._facts, time.time())
        results = await self._results(facts, await self._cap())
        owner = await self._owner()
        states = {"current": 0, "foreign": 0, "failed": 0}
        strangers: set[str] = set()
        for store in self._stores.values():
            await self._settle(store, results, owner, states, strangers)
        self._tell_of(frozenset(strangers))
        self.counts = states
        return len(results)

    def _known(self, one: ReportStore) -> ReportStore:
        return self._stores.get(one.served.full + one.served.api_version, one)

    def _facts(self, now: float) -> Facts:
        reload = self._policies.refresh(now)
        if reload.error and not self._policies.current.policies:
            raise _Obstacle("the policies cannot be read: see the line `policies` of the webhook's /readyz?verbose")
        snapshot = SnapshotFile(self._wanted.snapshot)  # not kept: it is of the size of the cluster
        snapshot.refresh(now)
        if not snapshot.usable:
            raise _Obstacle("the inventory is not usable: see the line `snapshot`")
        return Facts(
            policies=self._policies.current,
            settings=self._wanted.settings,
            inventory=snapshot.inventory,
            placement_usable=True,
        )

    async def _cap(self) -> Mode:
        """The mode that no policy exceeds in this installation: the registration's path says it."""
        if not self._configuration:
            return Mode.ENFORCE
        found = await self._objects.find(WEBHOOK_CONFIGURATIONS, "", self._configuration)
        for hook in objects((found or {}).get("webhooks")):
            client = mapping(hook.get("clientConfig"))
            path = mapping(client.get("service")).get("path") or client.get("url")
            if hook.get("name") == _MAIN_HOOK and str(path).endswith(_AUDIT_PATH):
                return Mode.AUDIT
        return Mode.ENFORCE

    async def _results(self, facts: Facts, cap: Mode) -> Results:
        strict = [one.name for one in facts.policies.policies if one.failure_policy is FailurePolicy.FAIL]
        results = Results(strict)
        breath = time.perf_counter()
        async for one in workloads(self._api):
            for judgement in judgements(one, facts, cap):
                results.add(judgement, one)
            if time.perf_counter() > breath + _BREATH_SECONDS:
                if not self._leading():
                    raise _Over
                await asyncio.sleep(0)
                breath = time.perf_counter()
        return results

    async def _owner(self) -> Object | None:
        """The namespace of the installation: a report goes with it."""
        found = await self._objects.find(NAMESPACES, "", self._namespace)
        uid = mapping((found or {}).get("metadata")).get("uid")
        return {"apiVersion": "v1", "kind": "Namespace", "name": self._namespace, "uid": uid} if uid else None

    async def _settle(
        self, store: ReportStore, results: Results, owner: Object | None, states: dict[str, int], strangers: set[str]
    ) -> None:
        """Write, and delete, the reports of one kind."""
        there = await store.found()
        wanted = results.namespaces()
        gone = sorted(namespace for namespace, found in there.items() if found.ours and namespace not in set(wanted))
        in_a_row = 0
        for namespace in (*gone, *wanted):
            found = there.get(namespace)
            if found is not None and not found.ours:
                states["foreign"] += 1
                strangers.add(f"{store.served.full}/{namespace}")
                continue
            if in_a_row >= _FAILURES_IN_A_ROW:
                states["failed"] += 1
                continue
            try:
                if namespace not in gone:
                    states["current"] += await self._put(store, namespace, found, results, owner)
                elif found is not None:
                    await self._turn_to_write()
                    await store.delete(namespace, found)
                in_a_row = 0
            except ApiFailure as failure:
                if _is_no_more(failure):
                    continue
                in_a_row += 1
                states["failed"] += 1
                self._failure = self._failure or str(failure)
                if failure.kind == "throttled":
                    self._pace.pause(failure.retry_after or 1.0)

    async def _put(
        self, store: ReportStore, namespace: str, found: Found | None, results: Results, owner: Object | None
    ) -> bool:
        """Whether there is a report that says it, afterwards."""
        said = digest(await asyncio.to_thread(results.sections, namespace, 0), owner)
        if store.is_as_left(namespace, found, said):
            return True
        before = await store.read(namespace, found)
        if before is not None and not is_ours(before):
            return False
        sections = await asyncio.to_thread(results.sections, namespace, int(time.time()), before)
        if before is not None and same(sections, owner, before):
            store.leave(namespace, before, said)
            return True
        await self._turn_to_write()
        await store.write(namespace, before, sections, owner)
        return True

    async def _turn_to_write(self) -> None:
        await self._pace.turn()
        if not self._leading():
            raise _Over

    def _tell_of(self, strangers: frozenset[str]) -> None:
        if news := sorted(strangers - self._foreign):
            fields = {"reports": len(strangers), "some": news[:5]}
            LOGGER.warning("policy report left to another owner", extra={"fields": fields})
        self._foreign = strangers


def _brief(failure: ApiFailure) -> str:
    return f"the API server does not do what is asked: {failure.kind}; log line `policy reports not written`"


def _is_no_more(failure: ApiFailure) -> bool:
    """Whether the namespace, or the kind, is on its way out: the next turn sees."""
    return failure.kind == "missing" or any(cause.reason == "NamespaceTerminating" for cause in failure.causes)
