"""EC2 instance types with accelerators: network, local disks, EBS, memory. The data names its sources and versions.

`tests/ec2/instances_data.py` writes `instances.json` beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

CLASSES = (25, 50, 100, 200, 400)
"""Network classes, in Gb/s: the rates for which client settings are given."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance type.

    `memory`, `accelerator_memory` (of one accelerator) and `store` (of all instance store disks together) are bytes.
    `accelerators` counts them; one that is shared by several instances counts as one. `network` is the rate of all
    `cards` together with EFA, `card` what the first card gives always and `card_peak` for some minutes, in Gb/s; `ebs`
    and `ebs_peak` the same of EBS, in Mb/s. `disks` is 0 where there are none, or their number is not known.
    """

    name: str
    accelerator: str
    accelerators: int
    accelerator_memory: int
    arch: str
    vcpus: int
    memory: int
    network: float
    cards: int
    card: float
    card_peak: float
    ebs: int
    ebs_peak: int
    disks: int
    store: int

    @property
    def s3(self) -> float:
        """The Gb/s that traffic to S3 can count on.

        A pod's traffic leaves by ENA on the first network card unless it was given interfaces on more (Karpenter
        v1.14.1, pkg/providers/instancetype/types.go: the VPC CNI uses the default network card alone), and EFA's own
        protocol reaches no S3 endpoint (Amazon EC2 User Guide, "Elastic Fabric Adapter", limitations: it is not
        routable, and does not leave its zone). So it is one card's share. Where EC2 gives that card less than an equal
        share, or the whole network for each card, the less counts.
        """
        return min(self.network / self.cards, self.card)


def instance(name: str) -> Instance | None:
    """The instance type of this name; None for one without accelerators, and for one that is not known."""
    return instances().get(name)


@cache
def instances() -> Mapping[str, Instance]:
    """All instance types of the data, by name. Read once; a fault in the data is a bug and raises."""
    data = json.loads(files("webhook.ec2").joinpath("instances.json").read_text(encoding="utf-8"))
    return {
        row["name"]: Instance(
            name=row["name"],
            accelerator=row["accelerator"],
            accelerators=row["accelerators"],
            accelerator_memory=row.get("acceleratorMiB", 0) * 2**20,
            arch=row.get("arch", "amd64"),
            vcpus=row["vcpus"],
            memory=row["memoryMiB"] * 2**20,
            network=row["network"] / 1000,
            cards=row["cards"],
            card=row["card"] / 1000,
            card_peak=row["cardPeak"] / 1000,
            ebs=row["ebs"],
            ebs_peak=row["ebsPeak"],
            disks=row.get("disks", 0),
            store=row.get("storeGB", 0) * 10**9,
        )
        for row in data["instances"]
    }


def network_class(gbps: float) -> int:
    """The largest of `CLASSES` that is not above this rate; the least of them for a rate below it."""
    return max((each for each in CLASSES if each <= gbps), default=CLASSES[0])
