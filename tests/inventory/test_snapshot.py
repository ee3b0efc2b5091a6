from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from webhook.inventory import snapshot_writing
from webhook.inventory.model import Artifact, Inventory, NodeRoom, Taint
from webhook.inventory.snapshot import Decoder, Encoder, UnreadableSnapshot, decode, encode
from webhook.kube import names

IMAGE = "docker.io/vllm/vllm-openai:v0.11.0"
MODEL_LABEL = f"{names.NODE_LABEL_PREFIX}model-0123456789abcdef"
DOCUMENT: dict[str, Any] = {
    "schema": 2,
    "id": "7",
    "time": "2026-11-22T02:07:52Z",
    "nodes": [
        {"name": "gpu-a", "accelerators": {"nvidia.com/gpu": {"allocatable": 8, "free": 2}}},
        {"name": "gpu-b", "accelerators": {"nvidia.com/gpu": {"allocatable": 8, "free": 0}}},
    ],
    "artifacts": [
        {"kind": "image", "name": IMAGE, "bytes": 9_000_000_000, "nodes": [1, 0], "unlabelled": [1]},
        {"kind": "model", "name": "s3://b/p/", "tenant": "a", "bytes": 1, "nodes": "2"},
        {"kind": "model", "label": "model-0123456789abcdef", "nodes": [1]},
    ],
    "labels": {"zone": {"a": [0], "b": "2"}, "arch": {"arm64": [0, 1]}},
    "taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule", "nodes": "3"}],
    "namespaces": {"default": {"tier": "serving"}},
    "resourceClaims": {"default/one-gpu": ["gpu.nvidia.com"]},
    "systems": {"al2023": [0], "bottlerocket": "2"},
    "kubelets": {"1.36": "3"},
    "server": "1.36",
    "volumes": {
        "default/data": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}],
        "ml/x": [],
    },
}


def changed(**fields: Any) -> bytes:
    return json.dumps({**DOCUMENT, **fields}).encode()


def artifact(**fields: Any) -> bytes:
    return changed(artifacts=[{"kind": "image", "name": "x", "nodes": [0], **fields}])


def lines(*parts: Any, count: int | None = None, **header: Any) -> bytes:
    head = {"schema": 2, "id": "7", "time": "2026-11-22T02:07:52Z", "parts": len(parts) if count is None else count}
    return b"".join(json.dumps(line).encode() + b"\n" for line in ({**head, **header}, *parts))


def in_parts() -> bytes:
    """The document as a controller might cut it: every list and map over several parts."""
    parts: list[Any] = [{"nodes": [node]} for node in DOCUMENT["nodes"]]
    parts += [{"artifacts": [each]} for each in DOCUMENT["artifacts"]]
    parts += [{"labels": {"zone": {zone: DOCUMENT["labels"]["zone"][zone]}}} for zone in "ba"]
    parts += [{"labels": {"arch": DOCUMENT["labels"]["arch"]}, "taints": DOCUMENT["taints"]}]
    parts += [{"namespaces": DOCUMENT["namespaces"]}, {"resourceClaims": DOCUMENT["resourceClaims"]}, {}]
    parts += [{"systems": {"al2023": [0]}}, {"systems": {"bottlerocket": [1]}, "kubelets": {"1.36": [0]}}]
    parts += [{"kubelets": {"1.36": [1]}, "server": "1.36"}]
    parts += [{"volumes": {claim: terms}} for claim, terms in DOCUMENT["volumes"].items()]
    return lines(*parts)


@pytest.mark.parametrize(
    "data",
    [changed(), json.dumps(DOCUMENT, indent=2).encode(), in_parts(), in_parts()[:-1], encode(decode(changed()))],
    ids=["one line", "pretty", "parts", "no line end at the end", "as we write it"],
)
def test_what_the_file_says(data: bytes) -> None:
    inventory = decode(data)
    assert (inventory.id, inventory.time) == ("7", 1795313272.0)
    assert inventory.nodes[0] == NodeRoom("gpu-a", {"nvidia.com/gpu": (8, 2)})
    assert inventory.image(IMAGE) == Artifact("image", IMAGE, "", 9_000_000_000, names.image_label(IMAGE), 0b11, 0b10)
    label = names.model_label("s3://b/p", "a")
    assert inventory.model("s3://b/p/", "a") == Artifact("model", "s3://b/p/", "a", 1, label, 0b10)
    assert Artifact("model", "", "", 0, MODEL_LABEL, 0b10) in inventory.artifacts
    assert inventory.labels is not None
    assert {key: dict(column) for key, column in inventory.labels.items()} == {
        "zone": {"a": 0b1, "b": 0b10},
        "arch": {"arm64": 0b11},
    }
    assert inventory.taints == (Taint("nvidia.com/gpu", "", "NoSchedule", 0b11),)
    assert inventory.namespaces == {"default": {"tier": "serving"}}
    assert inventory.claims == {"default/one-gpu": ("gpu.nvidia.com",)}
    assert (inventory.systems, inventory.kubelets) == ({"al2023": 0b1, "bottlerocket": 0b10}, {"1.36": 0b11})
    assert inventory.server == "1.36"
    assert inventory.volumes == {
        "default/data": ({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},),
        "ml/x": (),
    }


def test_a_file_of_an_earlier_writer_knows_neither_systems_nor_volumes() -> None:
    earlier = {key: DOCUMENT[key] for key in DOCUMENT.keys() - {"systems", "kubelets", "server", "volumes"}}
    inventory = decode(json.dumps(earlier).encode())
    assert (inventory.systems, inventory.kubelets, inventory.server, inventory.volumes) == ({}, {}, "", {})
    assert b"volumes" not in encode(inventory)


def test_labels_that_are_not_known_are_not_labels_that_are_not_there() -> None:
    unknown = decode(json.dumps({key: value for key, value in DOCUMENT.items() if key != "labels"}).encode())
    none = decode(changed(labels={}))
    assert (unknown.labels, none.labels) == (None, {})
    assert (decode(encode(unknown)).labels, decode(encode(none)).labels) == (None, {})


def test_a_newer_writer_may_add_fields() -> None:
    less: Any = {"artifacts": [], "labels": {}, "taints": [], "systems": {}, "kubelets": {}}
    assert decode(changed(zones=["a"], nodes=[{"name": "n", "zone": "a"}], **less)).nodes
    assert decode(lines({"zones": ["a"], "nodes": [{"name": "n", "zone": "a"}]}, zones=1)).nodes == (NodeRoom("n"),)


def test_an_artifact_may_repeat_the_label_that_follows_from_its_name() -> None:
    label = names.image_label("x").removeprefix(names.NODE_LABEL_PREFIX)
    assert decode(artifact(label=label)).artifacts == decode(artifact()).artifacts


def test_equal_inventories_give_equal_bytes() -> None:
    once = encode(decode(changed()))
    shuffled = dict(reversed(list(DOCUMENT.items()))) | {
        "artifacts": DOCUMENT["artifacts"][::-1],
        "labels": dict(reversed(DOCUMENT["labels"].items())),
    }
    assert encode(decode(json.dumps(shuffled).encode())) == once
    assert encode(decode(in_parts())) == once
    assert encode(decode(once)) == once


def big(nodes: int = 3000) -> Inventory:
    return Inventory(
        id="big",
        time=1795313272.0,
        nodes=[NodeRoom(f"n{index:05}.{'x' * 100}", {"nvidia.com/gpu": (8, index % 9)}) for index in range(nodes)],
        artifacts=[
            Artifact("image", f"i{i}", "", 1, names.image_label(f"i{i}"), (1 << nodes) // (i + 3)) for i in range(300)
        ],
        labels={
            "host": {f"n{index:05}.{'x' * 100}": 1 << index for index in range(nodes)},
            "odd": {"yes": (1 << nodes) // 3},
        },
    )


def test_a_large_one_is_cut_into_parts_of_bounded_size() -> None:
    data = encode(big())
    header, *parts = data.splitlines()
    assert json.loads(header)["parts"] == len(parts) > 10
    assert max(map(len, parts)) <= 64 * 1024
    assert encode(decode(data)) == data


def test_nobody_waits_for_all_of_a_large_one() -> None:
    pauses = []
    decode(encode(big()), lambda: pauses.append(1))
    assert len(pauses) > len(encode(big()).splitlines())


def test_what_stays_the_same_is_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, one = Encoder(), big()
    first = encoder.encode(one)
    made: list[Any] = []
    real = snapshot_writing._json

    def watched(part: Any) -> bytes:
        made.append(part)
        return real(part)

    monkeypatch.setattr(snapshot_writing, "_json", watched)
    nodes = [*one.nodes[:-1], NodeRoom("other", {})]
    two = Inventory(id="two", time=1.0, nodes=nodes, artifacts=one.artifacts, labels=one.labels)
    second = encoder.encode(two)
    assert len(made) <= 4, "the header, the last nodes, namespaces and claims"
    assert second == encode(two) != first
    assert encoder.encode(one) == first


def test_a_reader_that_remembers_reads_what_one_that_does_not_reads() -> None:
    """A cluster that changes a little, a lot, by a node, in nothing but its time, and back."""
    decoder, one = Decoder(), big(700)
    fewer = [*one.nodes[:5], NodeRoom("other", {}), *one.nodes[6:]]
    states = [
        one,
        Inventory(id="two", time=1.0, nodes=fewer, artifacts=one.artifacts, labels=one.labels),
        Inventory(id="two", time=2.0, nodes=fewer, artifacts=one.artifacts, labels=one.labels),
        big(701),
        decode(changed()),
        one,
    ]
    for state in states:
        data = encode(state)
        assert encode(decoder.decode(data)) == encode(decode(data)) == data
        with pytest.raises(UnreadableSnapshot):
            decoder.decode(data[:-9])


def test_a_set_of_nodes_that_was_right_is_looked_at_again_when_there_are_fewer_nodes() -> None:
    decoder = Decoder()
    nodes = [{"nodes": [{"name": name}]} for name in "abc"]
    decoder.decode(lines(*nodes, {"labels": {"zone": {"a": [2]}}}))
    with pytest.raises(UnreadableSnapshot, match="part 3 of 3: label 'zone' of value 'a': names node 2, there are 2"):
        decoder.decode(lines(*nodes[:2], {"labels": {"zone": {"a": [2]}}}))


def test_what_stays_the_same_is_not_decoded_again() -> None:
    decoder, one = Decoder(), big()
    first = decoder.decode(encode(one))
    same = decoder.decode(encode(one.again("later", 7.0)))
    assert (same.id, same.time, same.columns) == ("later", 7.0, first.columns)
    nodes = [*one.nodes[:-1], NodeRoom("other", {})]
    pauses: list[int] = []
    data = encode(Inventory(id="two", time=1.0, nodes=nodes, artifacts=one.artifacts, labels=one.labels))
    changed_one = decoder.decode(data, lambda: pauses.append(1))
    assert len(pauses) < 10, "one part, and the steps that put all together"
    assert changed_one.artifacts[0] is first.artifacts[0]
    assert changed_one.nodes[0] is first.nodes[0]


def test_an_identity_is_of_the_content_alone() -> None:
    one, other = big(), big()
    assert Encoder().identity(one) == Encoder().identity(other.again("x", 5.0))
    assert Encoder().identity(one) != Encoder().identity(big(2999))
    assert len(Encoder().identity(one)) == 16


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "truncated", id="empty"),
        pytest.param(changed()[:-9], "truncated", id="truncated"),
        pytest.param(b"\xff\xfe", "malformed", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "array", id="nested without end"),
        pytest.param(b'{"schema":2,"nodes":' + b"[" * 100_000, "not a snapshot", id="nested inside"),
        pytest.param(b"[]", "array", id="a list"),
        pytest.param(changed(schema=3), "its schema is 3, this version reads 2", id="newer"),
        pytest.param(changed(schema=1), "its schema is 1, this version reads 2", id="older"),
        pytest.param(b'{"schema": 9, "artifacts": {}}', "its schema is 9", id="newer and of another shape"),
        pytest.param(b'{\n"schema": 9, "artifacts": {}}', "its schema is 9", id="newer, over several lines"),
        pytest.param(lines({}, schema=3, parts="many"), "its schema is 3", id="newer, in parts"),
        pytest.param(changed(schema="2"), "$.schema", id="schema of a wrong type"),
        pytest.param(changed(id=""), "$.id", id="no id"),
        pytest.param(changed(time="yesterday"), "$.time", id="no time"),
        pytest.param(changed(time="2026-11-22T02:07:52"), "$.time", id="no time zone"),
        pytest.param(changed(time=1795313272), "$.time", id="time as a number"),
        pytest.param(
            changed(nodes=[{"name": "a"}, {"name": "a"}], artifacts=[]), "node 'a' is listed twice", id="twins"
        ),
        pytest.param(changed(nodes=[{"name": ""}]), "$.nodes[0].name", id="nameless node"),
        pytest.param(artifact(nodes=[2]), "artifacts[0] 'x': names node 2, there are 2 nodes", id="no such node"),
        pytest.param(artifact(nodes="4"), "artifacts[0] 'x': names node 2, there are 2 nodes", id="no such bit"),
        pytest.param(artifact(nodes="0x2"), "'0x2' is not hexadecimal", id="no digits"),
        pytest.param(artifact(nodes=[-1]), "$.artifacts[0].nodes[0]", id="negative index"),
        pytest.param(artifact(nodes=[0, 0]), "names a node twice", id="a node twice"),
        pytest.param(artifact(nodes=[0.5]), "$.artifacts[0].nodes[0]", id="half a node"),
        pytest.param(artifact(unlabelled=[1]), "a node lacks its label that is not warm for it", id="cold unlabelled"),
        pytest.param(artifact(bytes=-1), "$.artifacts[0].bytes", id="negative size"),
        pytest.param(artifact(bytes=2**70), "$.artifacts[0].bytes", id="absurd size"),
        pytest.param(artifact(kind="cache"), "$.artifacts[0].kind", id="unknown kind"),
        pytest.param(artifact(name=""), "it has no name, and its label is ''", id="an image without a name"),
        pytest.param(
            artifact(kind="model", name=""), "it has no name, and its label is ''", id="nothing to know it by"
        ),
        pytest.param(
            artifact(kind="model", name="", label="model-0123456789ABCDEF"), "16 hexadecimal", id="a label of capitals"
        ),
        pytest.param(artifact(label="kubernetes.io/hostname"), "by its name it is 'image-", id="a label not ours"),
        pytest.param(artifact(label="model-0123456789abcdef"), "by its name it is 'image-", id="of the other kind"),
        pytest.param(
            changed(artifacts=DOCUMENT["artifacts"][:1] * 2), f"artifact '{IMAGE}' is listed twice", id="twice"
        ),
        pytest.param(
            changed(artifacts=DOCUMENT["artifacts"][2:] * 2), "0123456789abcdef' is listed twice", id="two labels"
        ),
        pytest.param(
            changed(artifacts=[{"kind": "model", "name": "s3://b/p"}, {"kind": "model", "name": "s3://b/p/"}]),
            "artifact 's3://b/p' is listed twice",
            id="a source with and without its slash",
        ),
        pytest.param(
            changed(labels={"zone": {"a": [2]}}), "label 'zone' of value 'a': names node 2", id="label beyond"
        ),
        pytest.param(changed(labels={"zone": ["a"]}), "$.labels", id="a label without nodes"),
        pytest.param(changed(taints=[{"key": "k", "effect": "e", "nodes": "8"}]), "taint 'k'", id="taint beyond"),
        pytest.param(changed(systems={"al2023": [2]}), "system 'al2023': names node 2", id="a system beyond"),
        pytest.param(changed(kubelets={"1.36": "8"}), "kubelet '1.36': names node 3", id="a kubelet beyond"),
        pytest.param(changed(server=1.36), "$.server", id="a version that is a number"),
        pytest.param(changed(volumes={"data": []}), "'data' is not NAMESPACE/CLAIM", id="a claim of no namespace"),
        pytest.param(changed(volumes={"a/b/c": []}), "'a/b/c' is not NAMESPACE/CLAIM", id="a claim of too much"),
        pytest.param(changed(volumes={"a/b": {}}), "$.volumes", id="terms that are no list"),
        pytest.param(changed(namespaces={"a": {"b": 1}}), "$.namespaces", id="a label that is no text"),
        pytest.param(
            b'{"schema": 2, "id": "a", "time": "2026-11-22T02:07:52Z", "nodes": NaN}',
            "not a snapshot",
            id="not a number",
        ),
        pytest.param(lines({}, {}, count=3), "truncated: its first line says that 3 parts follow, 2 do", id="fewer"),
        pytest.param(lines({}, {}, count=1), "says that 1 parts follow, 2 do", id="more"),
        pytest.param(lines(count=2), "says that 2 parts follow, 0 do", id="the header alone"),
        pytest.param(in_parts()[:-2], "not a snapshot in part 16 of 16", id="a part cut short"),
        pytest.param(lines({"nodes": [{}]}, id="x"), "in part 1 of 1: Object missing", id="a bad part"),
        pytest.param(lines({}, count=-1), "in its first line", id="fewer than none"),
        pytest.param(lines({}, id=7), "in its first line", id="a bad header"),
        pytest.param(
            lines({"labels": {"a": {"b": []}}}, {"labels": {"a": {"b": []}}}), "two parts", id="a value twice"
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
        with contextlib.suppress(UnreadableSnapshot):
            assert isinstance(decode(lines(document)), Inventory)


@given(st.binary(max_size=64), st.integers(0, 2000))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int) -> None:
    for data in (changed(), in_parts()):
        for candidate in (noise, data[:at] + noise + data[at:], data[:at]):
            try:
                decode(candidate)
            except UnreadableSnapshot as refused:
                assert str(refused)  # noqa: PT017  either outcome is right, a refusal must have a reason


_SETS = st.sets(st.integers(0, 9)).map(lambda held: sum(1 << index for index in held))


@given(
    st.lists(st.tuples(_SETS, _SETS), max_size=4),
    st.none()
    | st.dictionaries(st.text(max_size=3), st.dictionaries(st.text(max_size=3), _SETS, max_size=3), max_size=3),
    st.lists(st.tuples(st.text(min_size=1, max_size=3), st.text(max_size=3), _SETS), max_size=3),
)
def test_what_is_written_is_read(
    held: list[tuple[int, int]],
    labels: dict[str, dict[str, int]] | None,
    tainted: list[tuple[str, str, int]],
) -> None:
    inventory = Inventory(
        id="x",
        time=1795313272.5,
        nodes=[NodeRoom(f"n{index}", {"nvidia.com/gpu": (8, index)}) for index in range(10)],
        artifacts=[
            Artifact("image", f"i{i}", "", i, names.image_label(f"i{i}"), mask, mask & lacking)
            for i, (mask, lacking) in enumerate(held)
        ],
        labels=labels,
        taints=sorted((Taint(key, value, "NoExecute", mask) for key, value, mask in tainted), key=repr),
    )
    back = decode(encode(inventory))
    assert (back.id, back.time, back.nodes, back.artifacts) == (
        "x",
        inventory.time,
        inventory.nodes,
        inventory.artifacts,
    )
    assert sorted(back.taints, key=repr) == list(inventory.taints)
    filled = labels and {key: column for key, column in labels.items() if column}
    assert (back.labels and {key: dict(column) for key, column in back.labels.items()}) == filled
    assert encode(back) == encode(inventory)
