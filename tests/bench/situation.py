"""What Warmpod knows while it is measured: policies and a snapshot, made here and written to files.

The policy that does everything has five CEL conditions and all four mutations (node affinity for image and model, init
container, volumes, S3 client settings). The others of a larger set are what a team collects over time: two more
match every accelerator pod of the corpus and the rest do not, in equal parts by labels, by namespace and by condition.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import yaml

from tests.bench import reviews
from webhook.inventory import nodeset
from webhook.inventory.model import Artifact, Inventory, NodeRoom, Taint
from webhook.inventory.snapshot import encode
from webhook.kube import image, names

Object = dict[str, Any]

NODES = 200
HYDRATOR = "registry.example/warmpod:bench"
IMAGE_BYTES = 9_000_000_000
MODEL_BYTES = 60_000_000_000

CONDITIONS: tuple[tuple[str, str], ...] = (
    ("is-created", "request.operation == 'CREATE'"),
    (
        "asks-for-a-gpu",
        "object.spec.containers.exists(c, has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits)",
    ),
    ("not-a-debug-image", "object.spec.containers.all(c, !c.image.endsWith('-debug'))"),
    ("not-a-notebook", "!(has(object.metadata.name) && object.metadata.name.startsWith('jupyter-'))"),
    ("not-opted-out", "!has(object.metadata.labels) || !('acme.example/cold' in object.metadata.labels)"),
)

NAMESPACES: dict[str, dict[str, str]] = {
    "serving": {"tier": "serving", "pod-security.kubernetes.io/enforce": "privileged"},
    "training": {"tier": "training", "pod-security.kubernetes.io/enforce": "privileged"},
    "studio": {"tier": "studio", "pod-security.kubernetes.io/enforce": "baseline"},
    "web": {"tier": "web", "pod-security.kubernetes.io/enforce": "restricted"},
    "batch": {"tier": "batch"},
    "data": {"tier": "data"},
}


def write_policies(directory: Path, *, count: int = 1) -> Path:
    """Write `count` policies into a directory of their own and give its path: one does everything, at most 3 match."""
    matching = [_everything(), _images_only(), _settings_only()][:count]
    documents = [_node_cache(), _client_profile(), *matching, *(_unmatched(index) for index in range(count - 3))]
    directory.mkdir(parents=True)
    for document in documents:
        path = directory / f"{document['kind'].lower()}-{document['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
    return directory


def snapshot(*, nodes: int = NODES, other_artifacts: int = 0, turn: int = 0) -> bytes:
    """A snapshot in which every second node holds the corpus's images and models.

    `other_artifacts` more images lie on about 300 nodes each, as in a cluster where nodes hold some 25 images. Another
    `turn` is the same cluster a moment later: other devices are free.
    """
    spread = max(nodes // 300, 1)
    others = [
        _image(f"registry.example/team-{index % 40}/image-{index}:v1", range(index % spread, nodes, spread))
        for index in range(other_artifacts)
    ]
    return encode(_inventory(nodes, others, turn))


def large(turn: int = 0) -> bytes:
    """A snapshot of 15,000 nodes with 30 labels each, which hold 8 of 2,000 large images, and of 300 models."""
    nodes = 15_000
    images = [
        _image(f"registry.example/team-{index % 40}/image-{index}:v1", range(index * 7 % 250, nodes, 250))
        for index in range(2000)
    ]
    models = [
        _model(f"{reviews.MODELS}/other-{index}", f"team-{index % 40}", range(index, nodes, 300))
        for index in range(300)
    ]
    return encode(_inventory(nodes, [*images, *models], turn))


def _inventory(nodes: int, others: list[Artifact], turn: int) -> Inventory:
    warm = range(0, nodes, 2)
    images = sorted({str(image.canonical(shape.image)) for shape in reviews.SHAPES if shape.accelerator})
    models = sorted({(s.namespace, f"{reviews.MODELS}/{s.model}") for s in reviews.SHAPES if s.model})
    return Inventory(
        id=f"bench-{turn}",
        time=time.time(),
        nodes=[NodeRoom(_host(n), {reviews.GPU: (8, (n + turn * (n % 7 == 0)) % 9)}) for n in range(nodes)],
        artifacts=[
            *(_image(name, warm) for name in images),
            *(_model(source, namespace, warm) for namespace, source in models),
            *others,
        ],
        namespaces={**NAMESPACES, **{f"team-{index}": {"tier": "team"} for index in range(len(others))}},
        labels=_labels(nodes),
        taints=[Taint(reviews.GPU, "", "NoSchedule", nodeset.all_of(nodes))],
    )


def _image(name: str, nodes: range) -> Artifact:
    return Artifact("image", name, "", IMAGE_BYTES, names.image_label(name), nodeset.mask(nodes))


def _model(source: str, tenant: str, nodes: range) -> Artifact:
    return Artifact("model", source, tenant, MODEL_BYTES, names.model_label(source, tenant), nodeset.mask(nodes))


def _host(node: int) -> str:
    return f"ip-10-{node >> 8}-{node & 255}-7.ec2.internal"


def _labels(nodes: int) -> dict[str, dict[str, int]]:
    """30 labels of a node of EKS: some are the same everywhere, some tell groups apart, some name the node."""
    columns: dict[str, dict[str, int]] = {}
    own = {"kubernetes.io/hostname": "", "node.example/instance-id": "i-", "karpenter.example/nodeclaim": "gpu-"}
    for key, prefix in own.items():
        columns[key] = {f"{prefix}{_host(node)}": 1 << node for node in range(nodes)}
    groups = {
        "topology.kubernetes.io/zone": 3,
        "node.kubernetes.io/instance-type": 5,
        "eks.amazonaws.com/nodegroup": 40,
    }
    groups |= {f"fleet.example/group-{index}": 2 + index for index in range(9)}
    for key, count in groups.items():
        columns[key] = {f"value-{group}": nodeset.mask(range(group, nodes, count)) for group in range(count)}
    everywhere = [f"fleet.example/constant-{index}" for index in range(30 - len(columns))]
    columns |= {key: {"same": nodeset.all_of(nodes)} for key in everywhere}
    return columns


def _node_cache() -> Object:
    return _document(
        "NodeCache",
        "nvme",
        {
            "volume": {"hostPath": {"path": "/mnt/k8s-disks/0/warmpod", "type": "DirectoryOrCreate"}},
            "fallbackVolume": {"emptyDir": {"sizeLimit": "200Gi"}},
            "tenancy": "Namespace",
            "keepFree": "20%",
        },
    )


def _client_profile() -> Object:
    return _document(
        "ClientProfile",
        "s3-25gbps",
        {
            "env": {"AWS_MAX_ATTEMPTS": "10", "AWS_RETRY_MODE": "adaptive", "RUNAI_STREAMER_CONCURRENCY": "16"},
            "awsConfig": {"s3": {"preferred_transfer_client": "crt", "direct_io": True}},
        },
    )


def _everything() -> Object:
    model = {
        "name": "weights",
        "source": {"annotation": names.ANNOTATION_MODEL},
        "allow": [f"{reviews.MODELS}/*"],
        "cache": "nvme",
        "mountPath": "/models",
        "redirect": True,
        "placement": "Prefer",
    }
    return _policy(
        "llm-serving",
        matchConditions=[{"name": name, "expression": expression} for name, expression in CONDITIONS],
        images={"placement": "Prefer"},
        models=[model],
        volumes=[{"volume": {"name": "nccl-shm", "emptyDir": {"medium": "Memory"}}, "mountPath": "/nccl"}],
        clientProfiles=["s3-25gbps"],
        env=[{"name": "NCCL_DEBUG", "value": "WARN"}],
    )


def _images_only() -> Object:
    return _policy("steer-to-images", images={"placement": "Prefer"})


def _settings_only() -> Object:
    return _policy(
        "tune-s3",
        matchConditions=[{"name": "is-created", "expression": "request.operation == 'CREATE'"}],
        env=[{"name": "AWS_CRT_S3_MEMORY_LIMIT_IN_GIB", "value": "4"}],
    )


def _unmatched(index: int) -> Object:
    """A policy that no pod of the corpus meets, for one of three reasons."""
    if index % 3 == 0:
        match: Object = {"match": {"objectSelector": {"matchLabels": {"team": f"team-{index}"}}}}
    elif index % 3 == 1:
        match = {"match": {"namespaceSelector": {"matchLabels": {"tier": f"tier-{index}"}}}}
    else:
        expression = f"object.spec.containers.exists(c, c.name == 'engine-{index}')"
        match = {"matchConditions": [{"name": "right-engine", "expression": expression}]}
    return _policy(
        f"other-{index:03}",
        **match,
        images={"placement": "Prefer"},
        clientProfiles=["s3-25gbps"],
        env=[{"name": "NCCL_IB_HCA", "value": f"mlx5_{index}"}],
    )


def _policy(name: str, **spec: Any) -> Object:
    return _document("WarmPolicy", name, {"mode": "Enforce", **spec})


def _document(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
