"""One watch, over one connection: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from webhook.inventory.objects import Resource, Watched
from webhook.sources.kube_api.backoff import Pace
from webhook.sources.kube_api.decoding import Event, Garbage, Reader, compact, key
from webhook.sources.kube_api.failure import ApiFailure, from_error_event
from webhook.sources.kube_api.lines import Lines, OverlongLine
from webhook.sources.kube_api.listing import Listing
from webhook.sources.kube_api.request import Request

if TYPE_CHECKING:
    from webhook.sources.kube_api.transport import Stream, Transport


class NoInitialEvents(Exception):
    """This API server does not know streaming lists: it said so, or what it sends shows it."""


class Watch:
    """A watch from `version` on; with no version, a streaming list that turns into a watch.

    `open` it, then take `lines` until they end, and make each an `event`. What fails raises `ApiFailure`.
    """

    def __init__(self, resource: Resource, version: str, pace: Pace) -> None:
        self.initial = None if version else InitialEvents()
        self._pace = pace
        self._seconds = random.randint(*pace.watch)  # noqa: S311 - no secret
        self._reader = Reader(resource)
        self._lines = Lines()
        self._stream: Stream | None = None
        self._bookmarked = False
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(self._seconds)}
        if version:
            query["resourceVersion"] = version
        else:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        self._request = Request("watch", resource, query)

    async def open(self, transport: Transport) -> None:
        """Begin. Raises `ApiFailure`, and `NoInitialEvents` when the API server refuses to send them."""
        try:
            self._stream = await transport.stream(self._request)
        except ApiFailure as failure:
            if self.initial is not None and failure.kind == "refused":
                raise NoInitialEvents from failure
            raise

    def close(self) -> None:
        """Drop the connection."""
        if self._stream:
            self._stream.close()

    async def lines(self) -> list[bytes]:
        """The next lines, perhaps none yet. Raises `EOFError` at the orderly end, `NoInitialEvents` without patience.

        A stream that ends within a line has been cut off: that is an `ApiFailure`.
        """
        assert self._stream is not None, "open it first"
        try:
            chunk = await self._stream.read(self._patience())
        except ApiFailure as failure:
            if self.initial is not None and failure.kind == "timeout":
                raise NoInitialEvents from failure
            raise
        if chunk:
            try:
                return self._lines.feed(chunk)
            except OverlongLine as error:
                raise ApiFailure(self._request.what, "garbage", str(error)) from error
        if self.initial is not None:
            raise NoInitialEvents
        if self._lines.rest:
            raise ApiFailure(self._request.what, "unreachable", "the connection ended in the middle of a line")
        raise EOFError

    def event(self, line: bytes) -> Event:
        """What a line says; ERROR events and garbage are raised as `ApiFailure`."""
        try:
            event = self._reader.event(line)
        except Garbage as error:
            raise ApiFailure(self._request.what, "garbage", str(error)) from error
        if event.kind == "ERROR":
            raise from_error_event(self._request.what, event.status)
        self._bookmarked |= event.kind == "BOOKMARK" and not event.listed
        return event

    def _patience(self) -> float:
        if self.initial is not None:
            return self.initial.patience(self._pace)
        # The API server ends the watch by then. It sends bookmarks once a minute, but does not promise them.
        silence = self._seconds + self._pace.silence
        return min(silence, self._pace.bookmarked_silence) if self._bookmarked else silence


class InitialEvents:
    """The objects that a streaming list has brought so far."""

    def __init__(self) -> None:
        self._objects: dict[str, Watched] = {}
        self._unreadable: dict[str, str] = {}
        self._began = self._grew = time.monotonic()

    def take(self, event: Event) -> Listing | None:
        """Add an event; the whole list once the bookmark that ends it has come."""
        if event.kind == "BOOKMARK":
            if not event.listed:
                return None
            return Listing(list(self._objects.values()), event.version, self._unreadable)
        if event.object is None:
            return None
        name = key(event.object)
        if name not in self._objects:
            self._grew = time.monotonic()
        # Changes that happen while the list is sent come in between.
        self._objects.pop(name, None)
        self._unreadable.pop(name, None)
        if event.unreadable and event.kind != "DELETED":
            self._unreadable[name] = event.unreadable
        elif event.kind != "DELETED":
            self._objects[name] = compact(event.object)
        return None

    def patience(self, pace: Pace) -> float:
        """Seconds that the next bytes may take.

        An API server that never heard of streaming lists sends what it has, and then changes for ever; one that knows
        them sends objects without a pause, and then the bookmark.
        """
        now = time.monotonic()
        pause, whole = pace.initial
        return max(0.0, min(self._grew + pause, self._began + whole) - now)
