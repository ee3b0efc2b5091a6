import json
from pathlib import Path
from typing import Any

import pytest

from webhook.sources.dump_files import UnreadableDump, read

NODE: dict[str, Any] = {
    "metadata": {"name": "gpu-1", "labels": {"zone": "a"}},
    "status": {"allocatable": {"nvidia.com/gpu": "8"}, "images": [{"names": ["vllm/vllm-openai:v1"], "sizeBytes": 9}]},
}
POD: dict[str, Any] = {"metadata": {"name": "p", "namespace": "serving"}, "spec": {"nodeName": "gpu-1"}}


def of(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, **body}


def test_one_file_of_kubectl_get(tmp_path: Path) -> None:
    file = tmp_path / "dump.json"
    items = [of("Node", NODE), of("Pod", POD), of("Namespace", {"metadata": {"name": "serving"}}), of("Service", {})]
    file.write_text(json.dumps(of("List", {"items": items})))

    found = read(file)

    assert {resource: [each.metadata.name for each in objects] for resource, objects in found.items() if objects} == {
        "nodes": ["gpu-1"],
        "pods": ["p"],
        "namespaces": ["serving"],
    }


def test_a_directory_of_cluster_info_dump(tmp_path: Path) -> None:
    (tmp_path / "serving").mkdir()
    (tmp_path / "nodes.json").write_text(json.dumps(of("NodeList", {"items": [NODE]})))
    (tmp_path / "serving" / "pods.json").write_text(json.dumps(of("PodList", {"items": [POD]})))
    (tmp_path / "serving" / "events.json").write_text(json.dumps(of("EventList", {"items": None})))
    (tmp_path / "serving" / "logs.txt").write_text("not JSON, and not looked at")

    found = read(tmp_path)

    assert [each.metadata.name for each in found["nodes"]] == ["gpu-1"]
    assert [each.metadata.namespace for each in found["pods"]] == ["serving"]


def test_a_single_object(tmp_path: Path) -> None:
    file = tmp_path / "node.json"
    file.write_text(json.dumps(of("Node", NODE)))
    assert [each.metadata.name for each in read(file)["nodes"]] == ["gpu-1"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"apiVersion: v1\nkind: List\n", "not JSON"),
        (b"[]", "not JSON of Kubernetes objects"),
        (b"{}", "an object has no kind"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"kind": "List", "items": [{"metadata": {}}]}', "an object has no kind"),
        (b'{"kind": "List", "items": [{"kind": "Node", "metadata": {"name": 5}}]}', "a Node in it cannot be read"),
        (b'{"kind": "PodList", "items": []}', "there is no Node in it"),
        (b'{"kind": "NodeList", "items": [{"metadata": {"name": "a"}', "not JSON"),
    ],
    ids=["empty", "yaml", "array", "object", "brackets", "not-utf-8", "no-kind", "wrong-type", "no-node", "cut-off"],
)
def test_what_is_no_dump(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "dump.json"
    file.write_bytes(content)
    with pytest.raises(UnreadableDump, match=reason) as refusal:
        read(file)
    assert str(file) in str(refusal.value)


def test_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDump, match=r"no \.json file"):
        read(tmp_path)
