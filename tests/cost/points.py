"""What was published of starts and of their parts, each with its source."""

from __future__ import annotations

from typing import NamedTuple

from webhook.cli.machine import machine_of
from webhook.cost.seconds import line_rate
from webhook.cost.situation import Engine, Fetch, Node, Pull, Techniques, Workload
from webhook.cost.volume import Reader
from webhook.ec2.instances import instance


class Point(NamedTuple):
    """One published duration, in seconds.

    `tolerance` is how near the likely value has to come, relative; 0 where no more was published than a limit. `given`
    is what the source says of its own conditions, in place of the figures.
    """

    name: str
    source: str
    workload: Workload
    node: Node
    techniques: Techniques
    published: float
    tolerance: float
    given: dict[str, float]


def _node(name: str, root: float = 0.0) -> Node:
    found = instance(name)
    assert found is not None
    return machine_of(found, root)


def _pulled(how: Pull) -> Techniques:
    return Techniques(how, Fetch.NONE, Engine.NONE, new_node=False)


def _loaded(fetch: Fetch) -> Techniques:
    return Techniques(Pull.PRESENT, fetch, Engine.NONE, new_node=False)


_MIB = 2**20
_SAGEMAKER = "container caching of SageMaker AI, 2026-06-16"
_SOCI = "karpenter-blueprints, soci-snapshotter"
_RUNAI = "run:ai model streamer, benchmarks"
_VOLUME = "terraform-aws-eks-blueprints, ml-container-cache"
_FUSER = "tensorfuse.io, reducing GPU cold start"

# Image and model come at the same time there. Customer A has no model: its 134 s without an image are the boot of the
# machine and the start of the engine, whatever each takes.
_BEFORE = Techniques(overlap=True, nvme=True)
_AFTER = Techniques(Pull.PRESENT)
_THEIRS = {"node.provision": 0.0, "node.boot": 45.0, "engine.compile": 89.0}
# Of the pulls only one is known: 17.7 GB in 333 s.
_QWEN_PULL = {**_THEIRS, "pull.containerd": 17.7e9 / 333}
_QWEN = Workload(17_700_000_000, 16_400_000_000)
_A = Workload(15_700_000_000)
_B = Workload(17_500_000_000, 5_800_000_000)
_C = Workload(10_600_000_000, 6_500_000_000)

_DLC = Workload(9_354_000_000)
_LARGE = Node(line_rate(12.5), ebs=line_rate(10), root=1000 * _MIB, vcpus=16, memory=64 << 30)
_PYTORCH = Workload(9_500_000_000, unpacked=20_400_000_000)
_BUILDER = Node(line_rate(10), memory=8 << 30)

_GP3 = Node(line_rate(40), root=1000 * _MIB, ebs=line_rate(16))
_LLAMA = Workload(0, 15_000_000_000)
_STREAMED = Workload(0, 15_000_000_000, Reader.STREAMER)
_L40S = _node("g6e.2xlarge")
_LLAMA_31 = Workload(0, 16_000_000_000)
_NO_CHECK = {"cache.hit": 0.0, "image.present": 0.0}

POINTS = [
    Point("Qwen3-8B on g6.2xlarge, before", _SAGEMAKER, _QWEN, _node("g6.2xlarge"), _BEFORE, 525, 0.03, _QWEN_PULL),
    Point("Qwen3-8B on g6.2xlarge, after", _SAGEMAKER, _QWEN, _node("g6.2xlarge"), _AFTER, 258, 0.03, _THEIRS),
    Point("customer A on g4dn.xlarge, before", _SAGEMAKER, _A, _node("g4dn.xlarge"), _BEFORE, 381, 0.10, _THEIRS),
    Point("customer A on g4dn.xlarge, after", _SAGEMAKER, _A, _node("g4dn.xlarge"), _AFTER, 134, 0.03, _THEIRS),
    Point("customer B on g5.2xlarge, before", _SAGEMAKER, _B, _node("g5.2xlarge"), _BEFORE, 346, 0.17, _THEIRS),
    Point("customer B on g5.2xlarge, after", _SAGEMAKER, _B, _node("g5.2xlarge"), _AFTER, 164, 0.12, _THEIRS),
    Point("customer C on g5.xlarge, before", _SAGEMAKER, _C, _node("g5.xlarge"), _BEFORE, 346, 0.12, _THEIRS),
    Point("customer C on g5.xlarge, after", _SAGEMAKER, _C, _node("g5.xlarge"), _AFTER, 216, 0.14, _THEIRS),
    Point("9.354 GB by containerd", _SOCI, _DLC, _LARGE, _pulled(Pull.CONTAINERD), 130.8, 0.03, {}),
    Point("9.354 GB by SOCI on AL2023", _SOCI, _DLC, _LARGE, _pulled(Pull.SOCI_AL2023), 39.6, 0.03, {}),
    Point("9.354 GB by SOCI on Bottlerocket", _SOCI, _DLC, _LARGE, _pulled(Pull.SOCI_BOTTLEROCKET), 23.2, 0.03, {}),
    Point("9.5 GB by containerd onto gp3", _VOLUME, _PYTORCH, _BUILDER, _pulled(Pull.CONTAINERD), 334, 0.11, {}),
    Point("9.5 GB by fast restore", _VOLUME, _PYTORCH, _LARGE, _pulled(Pull.SNAPSHOT_FSR), 5, 0.0, {}),
    Point("15 GB on a snapshot and nothing more", "bottlerocket-images-cache #13", Workload(15_000_000_000), _LARGE,
          _pulled(Pull.SNAPSHOT), 600, 0.05, {}),
    Point("13 GB, limited by EBS at last", "vertexcover, container cold start", Workload(13_000_000_000), _LARGE,
          _pulled(Pull.SOCI_BOTTLEROCKET), 40.65, 0.25, {}),
    Point("15 GB, stock loader, gp3", _RUNAI, _LLAMA, _GP3, _loaded(Fetch.CACHED), 47.99, 0.04, _NO_CHECK),
    Point("15 GB, streamer, gp3", _RUNAI, _STREAMED, _GP3, _loaded(Fetch.CACHED), 14.34, 0.04, _NO_CHECK),
    Point("15 GB, streamer, S3", _RUNAI, _STREAMED, _GP3, _loaded(Fetch.STREAM), 4.88, 0.02, _NO_CHECK),
    Point("15 GB, stock loader, until vLLM is ready", _RUNAI, _LLAMA, _GP3,
          Techniques(Pull.PRESENT, Fetch.CACHED, Engine.EAGER, new_node=False), 66.13, 0.03, _NO_CHECK),
    Point("864 GB by eight processes", "modelexpress, benchmarks", Workload(0, 864_000_000_000, processes=8),
          _node("p6-b200.48xlarge"), _loaded(Fetch.CACHED), 533, 0.40, {}),
    Point("166.9 GB by four processes", "vLLM #54898", Workload(0, 166_900_000_000, processes=4), Node(disks=4),
          _loaded(Fetch.CACHED), 73.71, 0.80, {}),
    Point("Llama-3.1-8B, no compile cache", _FUSER, _LLAMA_31, _L40S,
          Techniques(Pull.PRESENT, Fetch.DOWNLOAD, new_node=False), 294, 0.15, {}),
    Point("Llama-3.1-8B, compile cache and model there", _FUSER, _LLAMA_31, _L40S,
          Techniques(Pull.PRESENT, Fetch.CACHED, Engine.COMPILED, new_node=False), 82, 0.42, {}),
]  # fmt: skip
"""Every point; the docs show them all with how far the model was off."""
