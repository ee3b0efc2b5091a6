"""However many pods of a node ask for a model at once, it is brought once."""

from __future__ import annotations

import os
from pathlib import Path

from tests.fault_store import FaultStore
from tests.hydrator.hydrate_process import Ended, Node
from webhook.hydrator.request import directory_of

MIB = 1 << 20
PODS = 8
FILES = {"model.safetensors": os.urandom(40 * MIB), "config.json": b"{}", "tokenizer/vocab.txt": b"a b c"}
SOURCE = f"s3://{FaultStore.bucket}/llama/"


def pods(path: Path) -> list[Node]:
    """Pods of one node: one cache, a termination log each."""
    found = []
    for number in range(PODS):
        node = Node(path)
        node.log = path / f"log-{number}"
        found.append(node)
    return found


def bytes_asked_for(store: FaultStore) -> int:
    """Without the one byte by which each pod shows that it may read."""
    sizes = {f"llama/{name}": len(body) for name, body in FILES.items()}
    asked = store.asked("GET")
    asked_for = [sizes[one.key] if one.stop < 0 else one.stop - one.first for one in asked]
    assert asked_for.count(1) == PODS
    return sum(asked_for) - PODS


def run_all(nodes: list[Node], environment: dict[str, str]) -> list[Ended]:
    started = [
        (node, node.start(node.model(SOURCE), env={**environment, "HOSTNAME": f"pod-{number}"}))
        for number, node in enumerate(nodes)
    ]
    return [node.ended(process) for node, process in started]


def test_eight_pods_at_once_bring_a_model_once(tmp_path: Path, fault_store: FaultStore) -> None:
    for name, body in FILES.items():
        fault_store.put(f"llama/{name}", body)
    ended = run_all(pods(tmp_path), fault_store.environment())
    assert [one.code for one in ended] == [0] * PODS, [one.stderr for one in ended]
    assert sorted(one.report.result for one in ended) == ["downloaded"] + ["hit"] * (PODS - 1)
    assert bytes_asked_for(fault_store) == sum(map(len, FILES.values()))
    assert len(fault_store.asked("LIST")) == PODS, "each pod shows its own right to the source"
    assert Node(tmp_path).tree(directory_of(SOURCE)) == FILES
    assert len(list((tmp_path / "cache" / directory_of(SOURCE) / "leases").iterdir())) == PODS
