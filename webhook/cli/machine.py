"""An EC2 instance type as the machine that estimates reckon with."""

from __future__ import annotations

from webhook.cost.seconds import line_rate
from webhook.cost.situation import Node
from webhook.ec2.instances import Instance


def machine_of(instance: Instance, root: float = 0.0) -> Node:
    """The node that an instance of this type is; `root` is its root volume's throughput in bytes per second.

    To EBS it is what the type bursts to: half an hour of that is there when it starts.
    """
    return Node(
        network=line_rate(instance.s3),
        network_peak=line_rate(instance.card_peak),
        ebs=line_rate(max(instance.ebs, instance.ebs_peak) / 1000),
        root=root,
        # Of a type whose disks were not counted, one is known to be there.
        disks=instance.disks or (1 if instance.store else 0),
        vcpus=instance.vcpus,
        memory=instance.memory,
    )
