"""A whole list, page by page: for API servers without streaming lists, and for those who want one list only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from webhook.inventory.objects import Resource, Watched
from webhook.sources.kube_api.backoff import Backoff, Pace
from webhook.sources.kube_api.decoding import Garbage, Page, Reader
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.request import Request

if TYPE_CHECKING:
    from webhook.sources.kube_api.transport import Transport

PAGE_SIZES = (500, 5_000, 0)
"""Objects a page; 0 is all at once. The next size is for lists whose pages expired before the last one was read."""

PAGE_ATTEMPTS = 4
"""How often a page is asked for before the list is given up: the API server holds the place for five minutes."""

_PASSING = {"throttled", "server", "timeout", "unreachable"}


class Listing(NamedTuple):
    """A complete list. `version` is where a watch goes on; `unreadable` maps names to reasons."""

    objects: list[Watched]
    version: str
    unreadable: dict[str, str]


async def read(transport: Transport, resource: Resource, pace: Pace) -> Listing:
    """List a resource of all namespaces, as it is now. Raises `ApiFailure`.

    No `resourceVersion` is named, so the answer is never older than one that somebody saw before.
    """
    for size in PAGE_SIZES:
        try:
            return await _read(transport, resource, pace, size)
        except _Expired:
            continue
    # A list without pages has no token that could expire.
    raise ApiFailure(f"list {resource}", "garbage", "a complete list claims to be continued")


class _Expired(Exception):
    """The token of the next page is too old: the list has to begin anew."""


async def _read(transport: Transport, resource: Resource, pace: Pace, size: int) -> Listing:
    reader = Reader(resource)
    page = await _page(transport, reader, resource, {"limit": str(size)} if size else {})
    objects, unreadable = page.objects, page.unreadable
    while page.token:
        if not size:
            raise _Expired
        page = await _later_page(transport, reader, resource, {"limit": str(size), "continue": page.token}, pace)
        objects += page.objects
        unreadable |= page.unreadable
    if not page.version:
        raise ApiFailure(f"list {resource}", "garbage", "the list has no resourceVersion")
    return Listing(objects, page.version, unreadable)


async def _later_page(
    transport: Transport, reader: Reader, resource: Resource, query: dict[str, str], pace: Pace
) -> Page:
    """One of the pages after the first. To begin anew would cost a busy API server more than to ask for it again."""
    backoff = Backoff(pace)
    for attempt in range(1, PAGE_ATTEMPTS + 1):
        try:
            return await _page(transport, reader, resource, query)
        except ApiFailure as failure:
            if failure.kind == "expired":
                raise _Expired from failure
            if failure.kind not in _PASSING or attempt == PAGE_ATTEMPTS:
                raise
            await asyncio.sleep(backoff.next(failure.retry_after))
    raise AssertionError("the last attempt returns or raises")


async def _page(transport: Transport, reader: Reader, resource: Resource, query: dict[str, str]) -> Page:
    request = Request("list", resource, query)
    body = await transport.call(request)
    try:
        return reader.page(body)
    except Garbage as error:
        raise ApiFailure(request.what, "garbage", str(error)) from error
