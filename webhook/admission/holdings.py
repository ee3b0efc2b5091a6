"""What the inventory knows of a pod's models."""

from __future__ import annotations

from webhook.admission.scene import Scene
from webhook.inventory.model import Artifact
from webhook.mutate.load import Load
from webhook.policy.model import Tenancy


def held(load: Load, scene: Scene) -> Artifact | None:
    """What the inventory knows of a model. A cache of everyone's holds what everyone, or this namespace, hydrated.

    Which of the two must not depend on the candidates: our own terms narrow them, and a second review would choose
    another one.
    """
    inventory, name, namespace = scene.facts.inventory, load.held_as, scene.site.namespace
    everyones = inventory.model(name, "") if load.model.cache.tenancy is Tenancy.CLUSTER else None
    return everyones if everyones is not None and everyones.labelled else inventory.model(name, namespace) or everyones
