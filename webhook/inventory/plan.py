"""Which of the artifacts on a node get one of its labels.

Labels are few, so that nodes stay readable and writes rare. Sizes of models come from reports that a tenant can forge:
however large it claims its models to be, it takes a quarter of the labels at most, and images are sure of half of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from webhook.inventory.model import Kind


class Holding(NamedTuple):
    """An artifact that a node holds.

    `name` and `tenant` are empty for a model known by its label alone. `tier` 0 comes before 1, whatever the size.
    `adopted`: known from the label that the node bears, so that without the label nobody would know of it any more.
    """

    label: str
    kind: Kind
    name: str
    tenant: str
    bytes: int
    tier: int = 0
    adopted: bool = False


def plan(holdings: Iterable[Holding], most: int) -> list[Holding]:
    """The holdings that are labelled, at most `most` labels in all: the biggest first.

    Where models are among them one label is set aside for the node's boot. An adopted model comes before other models.
    """
    ordered = sorted(holdings, key=_rank)
    images = [holding for holding in ordered if holding.kind == "image"]
    models = [holding for holding in ordered if holding.kind == "model"]
    if not models:
        return images[:most]
    budget = most - 1
    if budget < 1:
        return images[:most]
    room = budget - min(len(images), (budget + 1) // 2)
    models = _fair(models, max(1, budget // 4))[:room]
    adopted = [model for model in models if model.adopted]
    others = sorted((*images, *(model for model in models if not model.adopted)), key=_rank)
    chosen = [*adopted, *others][:budget]
    if all(holding.kind == "image" for holding in chosen):
        return images[:most]  # no model, no label for the boot
    return chosen


def _fair(models: Iterable[Holding], share: int) -> list[Holding]:
    """The models that come into question, adopted ones first: at most `share` of one tenant."""
    taken: Counter[str] = Counter()
    found = []
    for model in sorted(models, key=lambda model: not model.adopted):
        # Whose it is, is not known of a model without a name; it was within its tenant's share when it was labelled.
        if model.name:
            taken[model.tenant] += 1
            if taken[model.tenant] > share:
                continue
        found.append(model)
    return found


def _rank(holding: Holding) -> tuple[int, int, str, str, str]:
    return (holding.tier, -holding.bytes, holding.name, holding.tenant, holding.label)
