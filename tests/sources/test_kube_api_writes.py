"""What is sent to label a node, and what each answer of the API server is taken for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scripted_http import Answer
from tests.sources.kube_api_server import ApiServer, status
from webhook.kube import names
from webhook.sources.kube_api import Conflict, KubeApi, NodeGone, Refused, Throttled, Unwritten

ONE, TWO = names.image_label("one:1"), names.image_label("two:2")
UID = "0b5f9c0e"


def run(directory: Path, answer: Answer, test: Callable[[KubeApi, ApiServer], Awaitable[None]]) -> None:
    async def served() -> None:
        server = ApiServer()
        server.faults["patch"].append(answer)
        async with server.serve(directory) as api:
            await test(api, server)

    asyncio.run(served())


def node(labels: dict[str, str] | None) -> Answer:
    return Answer(
        200, json.dumps({"kind": "PartialObjectMetadata", "metadata": {"name": "a", "labels": labels}}).encode()
    )


def test_apply_names_the_node_by_uid_and_never_forces(tmp_path: Path) -> None:
    async def test(api: KubeApi, server: ApiServer) -> None:
        borne = await api.apply_labels("gpu-1", UID, {ONE: "warm"})
        assert borne == {ONE: "warm", TWO: "theirs"}, "ours by name, whoever set them; nobody else's"
        seen = server.seen[0]
        assert seen.path == "/api/v1/nodes/gpu-1"
        assert seen.query == {"fieldManager": names.FIELD_MANAGER, "force": "false"}
        assert seen.headers["content-type"] == "application/apply-patch+yaml"
        assert seen.headers["accept"].startswith("application/json;as=PartialObjectMetadata")
        assert json.loads(seen.body) == {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "gpu-1", "uid": UID, "labels": {ONE: "warm"}},
        }

    run(tmp_path, node({ONE: "warm", TWO: "theirs", "colour": "green"}), test)


@pytest.mark.parametrize("uid", ["", UID])
def test_strip_sends_nulls(tmp_path: Path, uid: str) -> None:
    async def test(api: KubeApi, server: ApiServer) -> None:
        assert await api.strip_labels("gpu-1", [ONE, TWO], uid=uid) == {}
        seen = server.seen[0]
        assert seen.headers["content-type"] == "application/merge-patch+json"
        assert json.loads(seen.body)["metadata"] == {"labels": {ONE: None, TWO: None}, **({"uid": uid} if uid else {})}

    run(tmp_path, node(None), test)


@pytest.mark.parametrize(
    ("uid", "labels"),
    [("", {ONE: "warm"}), (UID, {"kubernetes.io/os": "linux"}), (UID, {ONE: "warm", "warmpod.dev/x": "y"})],
    ids=["no uid", "another's label", "a label of the wrong prefix"],
)
def test_what_must_never_be_sent_is_not(tmp_path: Path, uid: str, labels: dict[str, str]) -> None:
    async def test(api: KubeApi, server: ApiServer) -> None:
        with pytest.raises(ValueError, match=r"uid|no label of ours"):
            await api.apply_labels("gpu-1", uid, labels)
        if uid:
            with pytest.raises(ValueError, match="no label of ours"):
                await api.strip_labels("gpu-1", labels)
        assert server.seen == []

    run(tmp_path, node(None), test)


# As the API server of Kubernetes 1.37 words them.
CONFLICT = status(
    409,
    "Conflict",
    "Apply failed with 2 conflicts",
    causes=[
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-label" using v1',
            "field": f".metadata.labels.{ONE}",
        },
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl \\"edit\\"" with subresource "status" using v1 at 2026-11-22T02:07:52Z',
            "field": f".metadata.labels.{TWO}",
        },
    ],
)
UID_MISMATCH = 'Operation cannot be fulfilled on nodes "a": uid mismatch: ... and no existing object was found'
PRECONDITION = (
    'Operation cannot be fulfilled on nodes "a": Precondition failed: UID in precondition: 1, UID in object meta: 2'
)
MODIFIED = 'Operation cannot be fulfilled on nodes "a": the object has been modified; please apply your changes'
IMMUTABLE = status(422, "Invalid", "Node is invalid", causes=[{"reason": "FieldValueInvalid", "field": "metadata.uid"}])


DUAL_STACK = (
    "failed to apply Node a: failed to create manager for existing fields: failed to convert new object "
    'to smd typed: .status.addresses: duplicate entries for key [type="InternalIP"]'
)


@pytest.mark.parametrize(
    ("answer", "expected", "fields"),
    [
        (Answer(409, CONFLICT), Conflict, {"keys": {ONE: "kubectl-label", TWO: 'kubectl "edit"'}}),
        (Answer(409, status(409, "Conflict", UID_MISMATCH)), NodeGone, {}),
        (Answer(409, status(409, "Conflict", PRECONDITION)), NodeGone, {}),
        (Answer(422, IMMUTABLE), NodeGone, {}),
        (Answer(404, status(404, "NotFound", 'nodes "a" not found')), NodeGone, {}),
        (Answer(403, status(403, "Forbidden", 'cannot create resource "nodes"')), NodeGone, {}),
        (Answer(403, status(403, "Forbidden", 'cannot patch resource "nodes"')), Refused, {}),
        (Answer(422, status(422, "Invalid", "ValidatingAdmissionPolicy denied request")), Refused, {}),
        (Answer(400, b"?"), Refused, {}),
        (Answer(409, status(409, "Conflict", MODIFIED)), Throttled, {"seconds": 1.0}),
        (Answer(429, status(429, "TooManyRequests"), {"Retry-After": "7"}), Throttled, {"seconds": 7.0}),
        (Answer(500, b"etcdserver: request timed out"), Throttled, {"seconds": 1.0}),
        (Answer(500, status(500, "InternalError", DUAL_STACK)), Refused, {}),
        (Answer(503, b"", {"Retry-After": "3"}), Throttled, {"seconds": 3.0}),
        (Answer(200, b"[]"), Throttled, {"seconds": 1.0}),
        (Answer(200, b"<html>", content_type="text/html"), Throttled, {"seconds": 1.0}),
    ],
    ids=lambda value: f"{value.status} {value.body[-60:-20]!r}" if isinstance(value, Answer) else "",
)
def test_each_answer_is_taken_for_what_it_is(
    tmp_path: Path, answer: Answer, expected: type[Unwritten], fields: dict[str, Any]
) -> None:
    async def test(api: KubeApi, _server: ApiServer) -> None:
        with pytest.raises(Unwritten) as caught:
            await api.apply_labels("a", UID, {ONE: "warm", TWO: "warm"})
        assert type(caught.value) is expected
        assert {name: getattr(caught.value, name) for name in fields} == fields
        assert "patch nodes/a" in str(caught.value)

    run(tmp_path, answer, test)


def test_an_api_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async def test(api: KubeApi, server: ApiServer) -> None:
        await server.stop()
        with pytest.raises(Throttled, match="Connection refused") as caught:
            await api.strip_labels("a", [ONE])
        assert caught.value.seconds == 1.0
        await server.start()

    run(tmp_path, node(None), test)
