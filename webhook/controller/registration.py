"""The registration as it is: every controller looks at it every few seconds, and the leader tells of what is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509

from certs import bundle
from certs.contents import LEAF
from certs.issue import MAX_PEM_BYTES
from webhook.controller.events import Events
from webhook.controller.restoration import Restoration
from webhook.controller.verdict import Address, State, Verdict, judge
from webhook.daemon.logs import LOGGER
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import WEBHOOK_CONFIGURATIONS, ObjectApi

LOOK_SECONDS = 3.0
SETTLED_SECONDS = 10.0
"""What is wrong for so long is told of by an Event. Installing, upgrading and rotating pass by sooner."""

_CALL_SECONDS = 10.0
_REASONS: dict[State, str] = {
    "missing": "WebhookConfigurationMissing",
    "leaving": "WebhookConfigurationMissing",
    "empty": "WebhookConfigurationEmpty",
    "foreign": "WebhookConfigurationEmpty",
    "astray": "WebhookConfigurationAstray",
    "distrusting": "WebhookConfigurationDistrusted",
}


class Registration:
    """Looks at one MutatingWebhookConfiguration. `tls` is the directory of the pair that the webhook serves, if any.

    Only a process for which `leading()` is true writes Events, and restores.
    """

    def __init__(
        self,
        api: ObjectApi,
        name: str,
        address: Address,
        events: Events,
        leading: Callable[[], bool],
        *,
        tls: Path | None = None,
        restoration: Restoration | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._name = name
        self._address = address
        self._events = events
        self._leading = leading
        self._tls = tls
        self.restoration = restoration
        self._clock = clock
        self._since = float("-inf")
        self._alarmed = False
        self.verdict: Verdict | None = None
        """Of the last look that was answered; None before."""
        self.failure: str | None = None
        """Why the last look was not answered, without names; the log has the rest."""

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once, and do what the leader does about it. Every fault of the API is an ordinary event."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                document = await self._api.find(WEBHOOK_CONFIGURATIONS, "", self._name)
        except (ApiFailure, TimeoutError) as error:
            kind = error.kind if isinstance(error, ApiFailure) else "timeout"
            brief = f"the API server does not do what is asked: {kind}"
            if brief != self.failure:
                LOGGER.warning("registration not read", extra={"fields": {"error": str(error) or brief}})
            self.failure = brief
            if self.restoration:
                self.restoration.forget()  # it may have been there meanwhile
            return
        self.failure = None
        verdict = judge(document, self._address, await asyncio.to_thread(served, self._tls))
        if self.verdict is None or verdict.state != self.verdict.state:
            self._since = self._clock()
        if verdict != self.verdict:
            self._log(verdict)
        self.verdict = verdict
        if not self._leading():
            if self.restoration:
                self.restoration.remember(document, verdict.state)
            return
        await self._tell(verdict)
        if self.restoration:
            await self.restoration.consider(document, verdict.state)

    def _log(self, verdict: Verdict) -> None:
        if verdict.state != "ok":
            fields = {"configuration": self._name, "problem": verdict.text}
            LOGGER.warning("registration not in order", extra={"fields": fields})
        elif self.verdict is not None:
            LOGGER.info("registration in order again", extra={"fields": {"configuration": self._name}})

    async def _tell(self, verdict: Verdict) -> None:
        if verdict.state == "ok":
            if self._alarmed:
                self._alarmed = False
                await self._events.tell(
                    "WebhookConfigurationInOrder", "the webhook configuration leads to us again", "Normal"
                )
        elif self._clock() >= self._since + SETTLED_SECONDS:
            self._alarmed = True
            await self._events.tell(_REASONS[verdict.state], verdict.text)


def served(directory: Path | None) -> Sequence[x509.Certificate]:
    """The certificates of the pair that lies there; none where nothing can be read."""
    if directory is None:
        return ()
    try:
        with (directory / LEAF[0]).open("rb") as file:
            return bundle.parse(file.read(MAX_PEM_BYTES + 1)).certificates
    except OSError:
        return ()
