"""What the parts of the controller need of the accumulated facts; `webhook.inventory.cluster.Cluster` has it all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from webhook.inventory.model import Inventory


class Inventories(Protocol):
    """For the publisher: the inventory at any time."""

    @property
    def synced(self) -> bool:
        """Whether every kind that matters was listed once."""
        ...

    @property
    def version(self) -> int:
        """Grows whenever `inventory` would say something else at the same time."""
        ...

    def due(self) -> float | None:
        """The unix time at which the inventory changes by itself, if ever."""
        ...

    def inventory(self, at: float) -> Inventory:
        """The inventory at a unix time."""
        ...


class Plans(Protocol):
    """For the labeller: which labels of ours each node should bear, and does."""

    def planned(self, node: str) -> Mapping[str, str]:
        """Our labels that the node should bear."""
        ...

    def observed(self, node: str) -> Mapping[str, str]:
        """Our labels that it bears."""
        ...

    def uid(self, node: str) -> str:
        """The node's uid; "" for one that is gone."""
        ...

    def behind(self) -> list[str]:
        """Nodes whose labels differ from the plan, those with most to gain first."""
        ...
