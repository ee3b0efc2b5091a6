from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from webhook.inventory.model import Artifact, Inventory, NodeRoom
from webhook.inventory.snapshot import UnreadableSnapshot, decode, encode
from webhook.kube import names

IMAGE = "docker.io/vllm/vllm-openai:v0.11.0"
DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "id": "7",
    "time": "2026-11-22T02:07:52Z",
    "nodes": [
        {"name": "gpu-a", "accelerators": {"nvidia.com/gpu": {"allocatable": 8, "free": 2}}},
        {"name": "gpu-b", "accelerators": {"nvidia.com/gpu": {"allocatable": 8, "free": 0}}},
    ],
    "artifacts": [
        {"kind": "image", "name": IMAGE, "bytes": 9_000_000_000, "nodes": [1, 0]},
        {
            "kind": "model",
            "name": "s3://b/p/",
            "tenant": "a",
            "bytes": 1,
            "label": "model-0123456789abcdef",
            "nodes": [1],
        },
    ],
    "namespaces": {"default": {"tier": "serving"}},
    "resourceClaims": {"default/one-gpu": ["gpu.nvidia.com"]},
}


def changed(**fields: Any) -> bytes:
    return json.dumps({**DOCUMENT, **fields}).encode()


def artifact(**fields: Any) -> bytes:
    return changed(artifacts=[{"kind": "image", "name": "x", "nodes": [0], **fields}])


def test_what_the_file_says() -> None:
    inventory = decode(changed())
    assert inventory.id == "7"
    assert inventory.time == 1795313272.0
    assert inventory.nodes[0] == NodeRoom("gpu-a", {"nvidia.com/gpu": (8, 2)})
    assert inventory.image(IMAGE) == Artifact("image", IMAGE, "", 9_000_000_000, names.image_label(IMAGE), (0, 1))
    model = inventory.model("s3://b/p/", "a")
    assert model is not None
    assert model.label == f"{names.NODE_LABEL_PREFIX}model-0123456789abcdef"
    assert inventory.namespaces == {"default": {"tier": "serving"}}
    assert inventory.claims == {"default/one-gpu": ("gpu.nvidia.com",)}


def test_a_newer_writer_may_add_fields() -> None:
    assert decode(changed(zones=["a"], nodes=[{"name": "n", "zone": "a"}], artifacts=[])).nodes == (NodeRoom("n"),)


def test_equal_inventories_give_equal_bytes() -> None:
    once = encode(decode(changed()))
    shuffled = dict(reversed(list(DOCUMENT.items()))) | {"artifacts": DOCUMENT["artifacts"][::-1]}
    assert encode(decode(json.dumps(shuffled).encode())) == once
    assert encode(decode(once)) == once


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "truncated", id="empty"),
        pytest.param(changed()[:-9], "truncated", id="truncated"),
        pytest.param(b"\xff\xfe", "malformed", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "array", id="nested without end"),
        pytest.param(b'{"schema":1,"nodes":' + b"[" * 100_000, "not a snapshot", id="nested inside"),
        pytest.param(b"[]", "array", id="a list"),
        pytest.param(changed(schema=2), "its schema is 2, this version reads 1", id="newer"),
        pytest.param(b'{"schema": 9, "artifacts": {}}', "its schema is 9", id="newer and of another shape"),
        pytest.param(changed(schema="1"), "$.schema", id="schema of a wrong type"),
        pytest.param(changed(id=""), "$.id", id="no id"),
        pytest.param(changed(time="yesterday"), "$.time", id="no time"),
        pytest.param(changed(time="2026-11-22T02:07:52"), "$.time", id="no time zone"),
        pytest.param(changed(time=1795313272), "$.time", id="time as a number"),
        pytest.param(
            changed(nodes=[{"name": "a"}, {"name": "a"}], artifacts=[]), "node 'a' is listed twice", id="twins"
        ),
        pytest.param(changed(nodes=[{"name": ""}]), "$.nodes[0].name", id="nameless node"),
        pytest.param(artifact(nodes=[2]), "artifacts[0] 'x': names node 2, there are 2 nodes", id="no such node"),
        pytest.param(artifact(nodes=[-1]), "$.artifacts[0].nodes[0]", id="negative index"),
        pytest.param(artifact(nodes=[0, 0]), "names a node twice", id="a node twice"),
        pytest.param(artifact(nodes=[0.5]), "$.artifacts[0].nodes[0]", id="half a node"),
        pytest.param(artifact(bytes=-1), "$.artifacts[0].bytes", id="negative size"),
        pytest.param(artifact(bytes=2**70), "$.artifacts[0].bytes", id="absurd size"),
        pytest.param(artifact(kind="cache"), "$.artifacts[0].kind", id="unknown kind"),
        pytest.param(artifact(kind="model"), "its label is ''", id="a model without label"),
        pytest.param(artifact(label="kubernetes.io/hostname"), "its label is", id="a label that is not ours"),
        pytest.param(artifact(label="model-0123456789abcdef"), "its label is", id="a label of the other kind"),
        pytest.param(changed(artifacts=DOCUMENT["artifacts"][:1] * 2), "listed twice", id="an artifact twice"),
        pytest.param(changed(namespaces={"a": {"b": 1}}), "$.namespaces", id="a label that is no text"),
        pytest.param(
            b'{"schema": 1, "id": "a", "time": "2026-11-22T02:07:52Z", "nodes": NaN}',
            "not a snapshot",
            id="not a number",
        ),
    ],
)
def test_what_cannot_be_trusted_whole_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableSnapshot) as refused:
        decode(data)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@given(strategies.json_values() | st.just(DOCUMENT), st.sampled_from(sorted(DOCUMENT)), strategies.json_values())
def test_any_json_is_read_or_refused(whole: Any, field: str, value: Any) -> None:
    for document in (whole, {**DOCUMENT, field: value}):
        with contextlib.suppress(UnreadableSnapshot):
            assert isinstance(decode(json.dumps(document).encode()), Inventory)


@given(st.binary(max_size=64), st.integers(0, 2000))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int) -> None:
    data = changed()
    for candidate in (noise, data[:at] + noise + data[at:], data[:at]):
        try:
            decode(candidate)
        except UnreadableSnapshot as refused:
            assert str(refused)  # noqa: PT017  either outcome is right, a refusal must have a reason
