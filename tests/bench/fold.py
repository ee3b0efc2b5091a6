"""What the controller's fold costs as a cluster grows: first lists, heartbeats, one more inventory, memory.

No API server and no HTTP: nodes of 50 images and 30 labels go in as bytes, as they would come from the wire. Seconds
are CPU seconds, since neighbours' load does not count. msgspec's decode stands beside: whoever watches pays that too.
"""

from __future__ import annotations

import gc
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.bench import report
from webhook.inventory import snapshot
from webhook.inventory.cluster import Cluster
from webhook.inventory.objects import Namespace, Node, Pod, Resource
from webhook.kube import names

SIZES = ((1_000, 4_000), (5_000, 20_000), (15_000, 60_000))
IMAGES, LARGE, KINDS = 50, 10, 40
GIB = 2**30
BEATS_PER_SECOND = 100

INDEX_TARGET = 5.0
MEMORY_TARGET = 500.0
BEAT_TARGET = 5.0
REUSE_TARGET = 0.5

_nodes, _pods = msgspec.json.Decoder(Node), msgspec.json.Decoder(Pod)


def digest(of: str) -> str:
    return "sha256:" + hashlib.sha256(of.encode()).hexdigest()


def image(number: int, size: int) -> dict[str, Any]:
    name = f"registry.example.com/team-{number % 17}/service-{number}"
    return {"names": [f"{name}@{digest(name)}", f"{name}:v{number % 7}"], "sizeBytes": size}


def node(number: int, *, beat: int = 0, pulled: bool = False) -> bytes:
    """A node of one of some kinds. `beat` changes what every heartbeat changes and nothing else."""
    kind = number % KINDS
    large = [image(kind * 7 + place, (20 - place) * GIB) for place in range(LARGE)]
    if pulled:
        large[0] = image(99_999, 30 * GIB)
    small = [image(10_000 + (kind * 31 + place) % 900, (IMAGES - place) * 2**20) for place in range(IMAGES - LARGE)]
    labels = {f"example.com/label-{place}": f"value-{kind % (place + 2)}" for place in range(26)}
    labels |= {"kubernetes.io/hostname": f"node-{number}", "topology.kubernetes.io/zone": f"zone-{number % 3}"}
    labels |= {"node.kubernetes.io/instance-type": "p5.48xlarge", "example.com/machine": f"i-{number:017x}"}
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": f"2026-01-01T00:00:{beat % 60:02}Z"}
    return json.dumps(
        {
            "metadata": {
                "name": f"node-{number}",
                "uid": str(number),
                "resourceVersion": str(beat),
                "labels": labels,
            },
            "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
            "status": {
                "allocatable": {"cpu": "192", "memory": "2000Gi", "nvidia.com/gpu": "8"},
                "conditions": [condition],
                "images": [*large, *small],
                "nodeInfo": {"bootID": digest(f"boot {number}")},
            },
        }
    ).encode()


def pod(number: int, nodes: int) -> bytes:
    """A pod of one container; every fourth takes a GPU, every eighth has hydrated a model."""
    ran = image((number % nodes % KINDS) * 7, GIB)["names"]
    words = {
        "schema": 1,
        "result": "hit",
        "omitted": 0,
        "models": [
            {
                "source": f"s3://models/{number % 64 // 8}/",
                "tenant": "team",
                "version": "v",
                "bytes": 15 * GIB,
                "checked": True,
            }
        ],
    }
    hydrator = {
        "name": names.INIT_CONTAINER,
        "image": "warmpod:1",
        "state": {"terminated": {"message": json.dumps(words), "finishedAt": "2026-01-01T00:00:00Z"}},
    }
    app = {
        "name": "app",
        "image": ran[1],
        "imageID": ran[0],
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
    limits = {"nvidia.com/gpu": "1"} if number % 4 == 0 else {}
    return json.dumps(
        {
            "metadata": {"name": f"pod-{number}", "namespace": "team", "uid": str(number)},
            "spec": {
                "nodeName": f"node-{number % nodes}",
                "containers": [{"name": "app", "image": ran[1], "resources": {"limits": limits}}],
            },
            "status": {
                "phase": "Running",
                "containerStatuses": [app],
                "initContainerStatuses": [hydrator] if number % 8 == 0 else [],
            },
        }
    ).encode()


def resident() -> float:
    """MB (10^6) of this process that are in memory now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def measure(nodes: int, pods: int) -> report.Row:
    """One size: everything from empty."""
    before = resident()
    cluster = Cluster()
    # Made beforehand in blocks, so that neither making them nor keeping them all is in the figures.
    decode_seconds = 0.0
    listing: dict[Resource, float] = {"nodes": 0.0, "pods": 0.0}
    makers: tuple[tuple[Resource, Callable[[int], bytes], int, msgspec.json.Decoder[Any]], ...] = (
        ("nodes", node, nodes, _nodes),
        ("pods", lambda number: pod(number, nodes), pods, _pods),
    )
    for resource, make, count, decoder in makers:
        for start in range(0, count, 1000):
            lines = [make(number) for number in range(start, min(start + 1000, count))]
            for each in lines:
                started = time.process_time()
                found: Any = decoder.decode(each)
                decode_seconds += time.process_time() - started
                started = time.process_time()
                cluster.put(resource, found, 1.0)
                listing[resource] += time.process_time() - started
    cluster.replace("namespaces", [msgspec.convert({"metadata": {"name": "team"}}, Namespace)], 1.0)
    first_seconds = seconds(lambda: cluster.inventory(2.0))
    first = cluster.inventory(2.0)
    content = snapshot.encode(first)
    megabytes = resident() - before
    # Heartbeats: the same node with another resourceVersion and time.
    beats = [_nodes.decode(node(number % nodes, beat=7)) for number in range(2000)]
    version = cluster.version

    def beat_all() -> None:
        for each in beats:
            cluster.put("nodes", each, 3.0)

    beat = seconds(beat_all) / len(beats)
    assert cluster.version == version, "a heartbeat changed something"
    # A hundred pods come and take a GPU each: only rooms change.
    for number in range(100):
        cluster.put("pods", _pods.decode(pod(pods + number * 8 + 4, nodes)), 4.0)
    rooms_seconds = seconds(lambda: cluster.inventory(4.0))
    second = cluster.inventory(4.0)
    kept = sum(one is other for one, other in zip(first.artifacts, second.artifacts, strict=True))
    assert kept == len(first.artifacts), "artifacts were made anew though no image changed"
    # An image appears on a tenth of the nodes.
    for number in range(0, nodes, 10):
        cluster.put("nodes", _nodes.decode(node(number, pulled=True)), 5.0)
    pulled_seconds = seconds(lambda: cluster.inventory(5.0))
    cluster.put("nodes", _nodes.decode(node(nodes)), 6.0)
    added_seconds = seconds(lambda: cluster.inventory(6.0))
    behind_seconds = seconds(cluster.behind)
    return {
        "nodes": nodes,
        "pods": pods,
        "decode s": decode_seconds,
        "nodes s": listing["nodes"],
        "pods s": listing["pods"],
        "first s": first_seconds,
        "MB": megabytes,
        "snapshot MB": len(content) / 1e6,
        "beat us": beat * 1e6,
        "rooms ms": rooms_seconds * 1e3,
        "pulled ms": pulled_seconds * 1e3,
        "node added ms": added_seconds * 1e3,
        "behind ms": behind_seconds * 1e3,
    }


def main() -> None:
    """Measure and report."""
    asked = report.arguments(__doc__).parse_args()
    rows = []
    for nodes, pods in SIZES:
        report.progress(f"{nodes} nodes, {pods} pods")
        rows.append(measure(nodes, pods))
    last = rows[-1]
    verdicts = [
        report.Verdict("15,000 nodes x 50 images indexed", last["nodes s"] + last["first s"], INDEX_TARGET, "s"),
        report.Verdict("memory of it", last["MB"], MEMORY_TARGET, "MB"),
        report.Verdict(
            f"{BEATS_PER_SECOND} heartbeats a second at 5,000 nodes",
            rows[1]["beat us"] * BEATS_PER_SECOND / 1e4,
            BEAT_TARGET,
            "% of a core",
        ),
        report.Verdict(
            "an inventory of other rooms, against the first",
            last["rooms ms"] / 1e3 / last["first s"],
            REUSE_TARGET,
            "x",
        ),
    ]
    report.show(report.Report("fold", [report.Table("as the cluster grows", rows)], verdicts), asked.output)


if __name__ == "__main__":
    main()
