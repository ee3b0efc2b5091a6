"""Labels on nodes: the only thing that Warmpod ever writes to the API server's objects.

Server-side apply, https://kubernetes.io/docs/reference/using-api/server-side-apply/: the labels that we name are ours,
those that we named before and no longer name are taken away, everybody else's stay. What another manager set to another
value is a conflict; it is never forced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from webhook.inventory.metadata import Metadata
from webhook.kube import names
from webhook.sources.kube_api.failure import UNDECODABLE, ApiFailure
from webhook.sources.kube_api.request import Request

if TYPE_CHECKING:
    from webhook.sources.kube_api.transport import Transport

RETRY_SECONDS = 1.0
"""When to try again after a failure that passes, where the server does not say."""

_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""A node's status is large, and of no use in the answer."""

_LABELS = ".metadata.labels."
_UNTYPED = "failed to create manager for existing fields"
"""What an older API server says, with HTTP 500 and every time, of a node with two addresses of one type (dual stack):
it cannot apply to it (kubernetes-sigs/cluster-api#8417). 1.36 can. It must not count as the server being busy."""
_MANAGER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')


class Unwritten(Exception):
    """The labels of a node were not written; the text says which node's and why."""


class NodeGone(Unwritten):
    """The node is not there, or another one has its name now. The watch will tell."""


class Throttled(Unwritten):
    """Not now: the API server is busy, or cannot be reached. Try again in `seconds`."""

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


class Refused(Unwritten):
    """The API server will not have it; without a change of something it will not have it the next time either."""


class Conflict(Unwritten):
    """Others set some of these labels to other values: `keys` maps those labels to the managers of their fields.

    Nothing was written. Without these keys the rest can be.
    """

    def __init__(self, text: str, keys: Mapping[str, str]) -> None:
        super().__init__(text)
        self.keys = MappingProxyType(dict(keys))


class _Written(msgspec.Struct, gc=False):
    metadata: Metadata


async def apply_labels(transport: Transport, node: str, uid: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Make `labels` all of ours on the node, and return what it bears under our prefix then, whoever set it.

    The node's uid goes with them, so that a new node of the same name never gets them, and a missing one is not made.
    Raises `Unwritten`; ValueError without a uid, and for labels that are not ours.
    """
    if not uid:
        raise ValueError(f"node {node}: without its uid a deleted node would be made anew")
    _check(labels)
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "uid": uid, "labels": dict(labels)}}
    return await _patch(transport, node, body, "application/apply-patch+yaml", {"force": "false"})


async def strip_labels(transport: Transport, node: str, keys: Iterable[str], uid: str) -> dict[str, str]:
    """Take labels of ours off a node, whoever set them; returns what is left under our prefix.

    With a `uid`, only off the node that has it. Raises `Unwritten`, and ValueError for labels that are not ours.
    """
    nulls = dict.fromkeys(keys)
    _check(nulls)
    body = {"metadata": {**({"uid": uid} if uid else {}), "labels": nulls}}
    return await _patch(transport, node, body, "application/merge-patch+json", {})


def _check(keys: Iterable[str]) -> None:
    for key in keys:
        if not key.startswith(names.NODE_LABEL_PREFIX):
            raise ValueError(f"{key} is no label of ours ({names.NODE_LABEL_PREFIX}...)")


async def _patch(
    transport: Transport, node: str, body: object, content_type: str, query: Mapping[str, str]
) -> dict[str, str]:
    request = Request(
        "patch",
        "nodes",
        {"fieldManager": names.FIELD_MANAGER, **query},
        name=node,
        body=body,
        content_type=content_type,
        accept=_METADATA_ONLY,
    )
    try:
        answer = await transport.call(request)
    except ApiFailure as failure:
        raise _unwritten(failure) from failure
    try:
        borne = msgspec.json.decode(answer, type=_Written).metadata.labels or {}
    except UNDECODABLE as error:
        raise Throttled(f"cannot {request.what}: the answer is no node ({error})", RETRY_SECONDS) from error
    return {key: value for key, value in borne.items() if key.startswith(names.NODE_LABEL_PREFIX)}


def _unwritten(failure: ApiFailure) -> Unwritten:
    text = str(failure)
    owners = {
        cause.field.removeprefix(_LABELS): _manager(cause.message)
        for cause in failure.causes
        if cause.reason == "FieldManagerConflict" and cause.field.startswith(_LABELS)
    }
    if failure.kind == "conflict" and owners:
        return Conflict(text, owners)
    if failure.kind == "missing" or _another_node(failure):
        return NodeGone(text)
    if failure.kind in {"forbidden", "refused"} or _UNTYPED in failure.text:
        return Refused(text)
    return Throttled(text, RETRY_SECONDS if failure.retry_after is None else failure.retry_after)


def _manager(message: str) -> str:
    found = _MANAGER.search(message)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else "another manager"


def _another_node(failure: ApiFailure) -> bool:
    """Whether the uid is what the API server objects to. There is no code for it, only texts."""
    if failure.kind == "conflict":
        # Either no object was found, or a precondition failed; both texts name the uid.
        return "uid" in failure.text.lower()
    if failure.status == 422:
        return any(cause.field == "metadata.uid" for cause in failure.causes)
    # To apply to a node that is not there is to create it. Whoever may not create is told just that.
    return failure.kind == "forbidden" and "cannot create" in failure.text
