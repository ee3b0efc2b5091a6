"""`--manage-webhook`: a registration that was deleted or emptied comes back, unless Warmpod itself is to go.

The leader keeps the last one that was in order in a ConfigMap. One that was missing, or had no webhooks, for ten
seconds is made from it again, with the namespace as its owner, so that it never outlives the installation. Not made
again: while the namespace or the Deployment is gone, going, or scaled to nothing; without the ConfigMap (who deletes
both means it); over a configuration that somebody else uses. Who deletes it again and again is answered later and
later, up to ten minutes: there is no fight.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from webhook.controller import backup
from webhook.controller.backup import Unfit
from webhook.controller.events import Events
from webhook.controller.verdict import Address, judge
from webhook.daemon.logs import LOGGER
from webhook.kube import Object, names
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    WEBHOOK_CONFIGURATIONS,
    Kind,
    ObjectApi,
)

AFTER_SECONDS = 10.0
MOST_SECONDS = 600.0
CALM_SECONDS = 3600.0

_CALL_SECONDS = 20.0
_KEEP_SECONDS = 30.0  # between two looks at a ConfigMap that was right
_RESTORED = "WebhookConfigurationRestored"


class _Left(Exception):
    """It is not made again now; the text says why. `quietly` when somebody wants it so."""

    def __init__(self, text: str, *, quietly: bool = False) -> None:
        super().__init__(text)
        self.quietly = quietly


class Restoration:
    """Asked by the leader after each look at the registration; writes only while `leading()`.

    `name` is the configuration's; the installation is in the namespace of `address`.

    What it makes has the caBundles that were seen last, or none: whoever keeps the certificates puts right what is
    wrong with them.
    """

    def __init__(
        self,
        api: ObjectApi,
        name: str,
        address: Address,
        events: Events,
        leading: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._namespace = address.namespace
        self._name = name
        self._address = address
        self._events = events
        self._leading = leading
        self._clock = clock
        self._good: Object | None = None
        self._bundles: dict[str, str] = {}
        self._kept = ("", float("-inf"))
        self._lost_at: float | None = None
        self._times: deque[float] = deque()
        self.restored = 0
        self.problem: str | None = None

    async def consider(self, document: Object | None, state: str) -> None:
        """Keep a configuration that is in order, make one that is gone. Never raises ApiFailure."""
        now = self._clock()
        if state not in ("missing", "empty"):
            self._lost_at = None
        elif self._lost_at is None:
            self._lost_at = now
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                if document is not None and state in ("ok", "distrusting"):
                    await self._keep(document, now)
                elif self._lost_at is not None and now >= self._lost_at + self._patience(now):
                    await self._restore("missing" if state == "missing" else "empty")
        except _Left as error:
            await self._tell(str(error), quietly=error.quietly)
        except (ApiFailure, TimeoutError) as error:
            await self._tell(str(error) or "the API server does not answer in time")
        else:
            if state in ("ok", "distrusting"):
                self.problem = None

    def remember(self, document: Object | None, state: str) -> None:
        """Take in what one who does not lead sees, and count anew how long it is gone once this one does."""
        self.forget()
        self.problem = None
        if document is not None and state == "ok":
            try:
                self._good, self._bundles = (
                    backup.content(document, self._name, self._address),
                    backup.bundles(document),
                )
            except Unfit:
                return

    def forget(self) -> None:
        """Count anew how long it is gone: this process did not see."""
        self._lost_at = None
        self._kept = ("", float("-inf"))

    def _patience(self, now: float) -> float:
        while self._times and now > self._times[0] + CALM_SECONDS:
            self._times.popleft()
        return min(AFTER_SECONDS * 2.0 ** min(len(self._times), 16), MOST_SECONDS)

    async def _keep(self, document: Object, now: float) -> None:
        try:
            made = backup.content(document, self._name, self._address)
        except Unfit as error:
            raise _Left(f"the webhook configuration is not kept for its restoration: {error}") from error
        self._good, self._bundles = made, backup.bundles(document)
        text, since = self._kept
        if backup.encoded(made) == text and now < since + _KEEP_SECONDS:
            return
        wanted = backup.config_map(made, self._namespace)
        stored = await self._api.find(CONFIG_MAPS, self._namespace, names.WEBHOOK_BACKUP)
        if stored is None:
            await self._write_backup(wanted, "create")
        elif stored.get("data") != wanted["data"]:
            metadata = {**wanted["metadata"], "resourceVersion": stored["metadata"].get("resourceVersion")}
            await self._write_backup({**wanted, "metadata": metadata}, "replace")
        self._kept = (backup.encoded(made), now)

    async def _write_backup(self, wanted: Object, how: Literal["create", "replace"]) -> None:
        if not self._leading():
            return
        try:
            if how == "create":
                await self._api.create(CONFIG_MAPS, self._namespace, wanted)
            else:
                await self._api.replace(CONFIG_MAPS, self._namespace, wanted)
        except ApiFailure as failure:
            if failure.kind != "conflict":  # another leader, or a person: the next look tells
                raise

    async def _restore(self, state: Literal["missing", "empty"]) -> None:
        owner = await self._owner()
        made = await self._backup()
        found = await self._api.find(WEBHOOK_CONFIGURATIONS, "", self._name)
        if judge(found, self._address).state != state:
            return  # somebody was faster
        webhooks = [backup.with_bundle(hook, self._bundles.get(hook["name"], "")) for hook in made["webhooks"]]
        if not self._leading():
            return
        try:
            if found is None:
                metadata = {**made["metadata"], "ownerReferences": [owner]}
                document = {**made, "metadata": metadata, "webhooks": webhooks}
                await self._api.create(WEBHOOK_CONFIGURATIONS, "", document)
            else:
                version = found["metadata"].get("resourceVersion")
                # Writing the version that was read makes another one a conflict.
                operations = [
                    {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
                    {"op": "add", "path": "/webhooks", "value": webhooks},
                ]
                await self._api.patch(WEBHOOK_CONFIGURATIONS, "", self._name, operations)
        except ApiFailure as failure:
            if failure.kind == "conflict":
                return  # another leader, or a person: the next look tells
            raise
        self._times.append(self._clock())
        self._lost_at = None
        self.restored += 1
        self.problem = None
        text = (
            f"the webhook configuration {self._name} was {'deleted' if found is None else 'emptied'}, and is restored"
        )
        LOGGER.warning("registration restored", extra={"fields": {"configuration": self._name, "was": state}})
        await self._events.tell(_RESTORED, f"{text}; remove the component manage-webhook to have it left alone")

    async def _owner(self) -> Object:
        """The namespace, as an owner reference. `_Left` when the installation is going, or gone."""
        namespace = await self._read_own(NAMESPACES, "", self._namespace, "namespace")
        phase = (namespace.get("status") or {}).get("phase")
        if phase == "Terminating":
            raise _Left("the namespace is being deleted", quietly=True)
        deployment = await self._read_own(DEPLOYMENTS, self._namespace, names.DEPLOYMENT, "Deployment")
        if (deployment.get("spec") or {}).get("replicas") == 0:
            raise _Left("the Deployment is scaled to nothing", quietly=True)
        metadata = namespace["metadata"]
        return {"apiVersion": "v1", "kind": "Namespace", "name": self._namespace, "uid": metadata.get("uid")}

    async def _read_own(self, kind: Kind, namespace: str, name: str, what: str) -> Object:
        found = await self._api.find(kind, namespace, name)
        if found is None:
            raise _Left(f"the {what} is gone", quietly=True)
        if found["metadata"].get("deletionTimestamp"):
            raise _Left(f"the {what} is being deleted", quietly=True)
        return found

    async def _backup(self) -> Object:
        stored = await self._api.find(CONFIG_MAPS, self._namespace, names.WEBHOOK_BACKUP)
        if stored is None:
            raise _Left(f"there is no ConfigMap {names.WEBHOOK_BACKUP} to restore it from; apply the manifests again")
        try:
            return backup.restored(stored, self._name, self._address)
        except Unfit as error:
            if self._good is not None:
                return self._good
            raise _Left(
                f"ConfigMap {names.WEBHOOK_BACKUP} cannot be restored from: {error}; apply the manifests again"
            ) from error

    async def _tell(self, text: str, *, quietly: bool = False) -> None:
        news = text != self.problem
        self.problem = text
        if news:
            LOGGER.warning("registration not restored", extra={"fields": {"error": text}, "throttled": True})
        if self._lost_at is not None and not quietly and self._leading():
            await self._events.tell(
                "WebhookConfigurationNotRestored", f"the webhook configuration is not restored: {text}"
            )
