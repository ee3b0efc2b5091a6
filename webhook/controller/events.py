"""Events of the installation, regarding its Deployment: `kubectl describe deployment warmpod` shows them.

The same news is told again after ten minutes at the earliest, for Events are kept for an hour. Whatever happens, no
more than a few are written in an hour: a defect of ours, or of somebody who undoes what we do, must not fill etcd.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from webhook.daemon.logs import LOGGER
from webhook.kube import Object, names
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import DEPLOYMENTS, EVENTS, ObjectApi

REPEAT_SECONDS = 600.0
MOST_PER_HOUR = 60

_CALL_SECONDS = 10.0
_MESSAGE_CHARACTERS = 1000  # the API allows 1024 bytes
_HOUR = 3600.0


class Events:
    """Writes Events into `namespace`. Whoever calls `tell` asks first whether it is for this process to write."""

    def __init__(
        self, api: ObjectApi, namespace: str, identity: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}
        self._written: deque[float] = deque()
        self._problem = ""

    async def tell(self, reason: str, message: str, kind: Literal["Normal", "Warning"] = "Warning") -> bool:
        """Whether an Event was written: not when it was told of lately, and not when the API server refuses it."""
        now = self._clock()
        self._told = {news: at for news, at in self._told.items() if now < at + REPEAT_SECONDS}
        while self._written and now > self._written[0] + _HOUR:
            self._written.popleft()
        if (reason, message) in self._told or len(self._written) >= MOST_PER_HOUR:
            return False
        self._told[reason, message] = now  # also when it fails: the next attempt is for later
        self._written.append(now)
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._api.create(EVENTS, self._namespace, await self._event(reason, message, kind))
        except (ApiFailure, TimeoutError) as error:
            text = str(error) or "no answer in time"
            if text != self._problem:
                LOGGER.warning("event not written", extra={"fields": {"reason": reason, "error": text}})
            self._problem = text
            return False
        self._problem = ""
        return True

    async def _event(self, reason: str, message: str, kind: str) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{names.DEPLOYMENT}.{secrets.token_hex(8)}", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "namespace": self._namespace,
                "name": names.DEPLOYMENT,
                **await self._uid(),
            },
            "reason": reason,
            "message": shortened(message),
            "type": kind,
            "source": {"component": names.FIELD_MANAGER},
            "reportingComponent": names.FIELD_MANAGER,
            "reportingInstance": self._identity[:128],
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

    async def _uid(self) -> dict[str, str]:
        """`kubectl describe` looks for Events by it; without it `kubectl get events` still shows them."""
        try:
            found = await self._api.read(DEPLOYMENTS, self._namespace, names.DEPLOYMENT)
        except ApiFailure:
            return {}
        uid = found["metadata"].get("uid")
        return {"uid": uid} if isinstance(uid, str) else {}


def shortened(message: str) -> str:
    """A message of no more bytes than the API takes."""
    data = message.encode("utf-8", "replace")
    return (
        message
        if len(data) <= _MESSAGE_CHARACTERS
        else data[: _MESSAGE_CHARACTERS - 3].decode("utf-8", "ignore") + "..."
    )
