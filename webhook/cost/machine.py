"""The rates of a node's parts, known or assumed."""

from __future__ import annotations

from webhook.cost.figures import Assumed, Case
from webhook.cost.hydration import array
from webhook.cost.seconds import Bound, narrowest
from webhook.cost.situation import Node
from webhook.cost.volume import network_rate


def network(node: Node, assumed: Assumed) -> float:
    """What its network gives: the peak only where everything is fast."""
    usual = network_rate(node.network, assumed)
    return max(usual, node.network_peak) if assumed.case is Case.FAST else usual


def root(node: Node, assumed: Assumed) -> Bound:
    """Its root volume, by the volume's own throughput or the node's limit to EBS."""
    bought = node.root if node.root > 0 else assumed("ebs.root")
    return narrowest(root=bought, ebs=node.ebs)


def store(node: Node, assumed: Assumed, *, reading: bool) -> Bound:
    """Where a model lies: the instance store as one array, or the root volume where there is none."""
    if node.disks <= 0:
        return root(node, assumed)
    disks = array(node.disks, assumed)
    return Bound("disk", disks.read if reading else disks.write)
