"""What all looks at one pod share: its namespace, its accelerators, what expressions see of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from webhook.admission.blindness import WRITTEN
from webhook.admission.decision import Facts
from webhook.cel import Activation, Bindings
from webhook.inventory.model import Inventory
from webhook.kube import Object, podsecurity
from webhook.kube import pod as pods
from webhook.kube.accelerator import Accelerators
from webhook.kube.review import AdmissionRequest
from webhook.mutate.load import Site


class Scene:
    """What all edits of one review share. What is costly is made when it is first asked for, and once."""

    __slots__ = ("_activation", "_asked", "_lean", "_request", "claims", "facts", "sent", "site")

    def __init__(self, request: AdmissionRequest, sent: Object, facts: Facts) -> None:
        level = podsecurity.level_of(facts.namespace_labels, facts.settings.default_level)
        self.sent = sent
        self.facts = facts
        self.site = Site(request.namespace, level, facts.settings.hydrator_image)
        self.claims = _claims(sent, request.namespace, facts.inventory)
        self._request = request
        self._activation: Activation | None = None
        self._lean: Activation | None = None
        self._asked: dict[int, dict[str, frozenset[str]]] = {}

    def after(self, pod: Object) -> Scene:
        """The scene of a pod that was made of this one: what its containers ask for is the same."""
        scene = Scene.__new__(Scene)
        scene.sent, scene.facts, scene.site, scene.claims = pod, self.facts, self.site, self.claims
        scene._request, scene._asked = self._request, self._asked  # noqa: SLF001  our own class
        scene._activation = scene._lean = None  # noqa: SLF001  our own class
        return scene

    def asked(self, accelerators: Accelerators | None = None) -> dict[str, frozenset[str]]:
        """Which containers ask for which accelerators; by default, of all that the installation knows."""
        accelerators = accelerators or self.facts.settings.accelerators
        found = self._asked.get(id(accelerators))
        if found is None:
            found = self._asked[id(accelerators)] = accelerators.of_pod(self.sent, self.claims)
        return found

    @property
    def activation(self) -> Activation:
        """What expressions see."""
        if self._activation is None:
            self._activation = _activation(self._request, _seen(self.sent), self.facts)
        return self._activation

    @property
    def lean_activation(self) -> Activation:
        """What expressions see that are blind to the fields we write."""
        if self._lean is None:
            self._lean = _activation(self._request, lean(self.sent), self.facts)
        return self._lean


class _View(NamedTuple):
    """What CEL may ask of the inventory."""

    inventory: Inventory
    usable: bool

    @property
    def nodes(self) -> int:
        return len(self.inventory.nodes)

    def warm_nodes(self, name: str) -> int:
        return self.inventory.warm_nodes(name)


def _activation(request: AdmissionRequest, sent: Object, facts: Facts) -> Activation:
    labels = facts.namespace_labels
    return Activation(
        Bindings(
            object=_seen(sent),
            oldObject=request.old_object,
            request=request.raw,
            namespaceObject=None
            if labels is None
            else {"metadata": {"name": request.namespace, "labels": dict(labels)}},
            inventory=_View(facts.inventory, facts.placement_usable),
        )
    )


def lean(pod: Object) -> Object:
    """The pod without what a blind expression cannot see: engines convert all they are given."""
    pod = _seen(pod)
    spec = {key: value for key, value in pod["spec"].items() if key not in WRITTEN}
    containers = spec.get("containers")
    if containers:
        spec["containers"] = [
            {key: value for key, value in container.items() if key not in WRITTEN} for container in containers
        ]
    return {**pod, "spec": spec}


def _seen(pod: Object) -> Object:
    """The pod as CEL sees it: without managedFields, often half of it and as slow to convert as all the rest."""
    metadata = pods.metadata(pod)
    if "managedFields" not in metadata:
        return pod
    return {**pod, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _claims(pod: Object, namespace: str, inventory: Inventory) -> Mapping[str, tuple[str, ...]]:
    """The device classes behind the claims and claim templates that the pod names."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in pods.objects(pods.spec(pod).get("resourceClaims")):
        for field in ("resourceClaimName", "resourceClaimTemplateName"):
            name: Any = entry.get(field)
            if isinstance(name, str) and f"{namespace}/{name}" in inventory.claims:
                found[name] = inventory.claims[f"{namespace}/{name}"]
    return found
