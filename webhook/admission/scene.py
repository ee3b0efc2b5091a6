"""What all looks at one pod share: its namespace, its accelerators, what expressions see of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from webhook.admission.decision import Facts
from webhook.admission.recipe import reads_of
from webhook.cel import Activation, Bindings, cut
from webhook.inventory.candidates import Candidates, claims_of, demand_of, terms_of_claims
from webhook.inventory.model import Inventory
from webhook.kube import Object, affinity, podsecurity
from webhook.kube.accelerator import Accelerators
from webhook.kube.review import AdmissionRequest
from webhook.mutate.load import Site
from webhook.policy.model import Policy

_Binding = tuple[list[Object], list[Sequence[Object]]]
"""The terms that a pod requires, and those of each volume that it claims."""


class Scene:
    """What all edits of one review share. What is costly is made when it is first asked for, and once."""

    __slots__ = ("_activation", "_asked", "_candidates", "_request", "_shown", "facts", "lasting", "sent", "site")

    def __init__(self, request: AdmissionRequest, sent: Object, facts: Facts) -> None:
        level = podsecurity.level_of(facts.namespace_labels, facts.settings.default_level)
        self.sent = sent
        self.facts = facts
        self.site = Site(request.namespace, level, facts.settings.hydrator_image)
        self._request = request
        self._shown: Object | None = None
        self._activation: Activation | None = None
        self._asked: dict[int, dict[str, frozenset[str]]] = {}
        self._candidates: dict[frozenset[str], tuple[_Binding, Candidates]] = {}
        self.lasting: dict[frozenset[str], Candidates] = {}  # what `nodes.lasting` has found, by what is asked for

    def after(self, pod: Object) -> Scene:
        """The scene of a pod that was made of this one: what its containers ask for is the same."""
        scene = Scene.__new__(Scene)
        scene.sent, scene.facts, scene.site = pod, self.facts, self.site
        scene._request, scene._asked = self._request, self._asked  # noqa: SLF001  our own class
        scene._candidates = self._candidates  # noqa: SLF001  our own class
        scene.lasting = {}  # it should be the same there, and laws hold it to that: so it is asked again
        scene._shown = scene._activation = None  # noqa: SLF001  our own class
        if scene.shown == self.shown:  # then let it be the same object, and what an engine made of it serve both
            scene._shown, scene._activation = self._shown, self._activation  # noqa: SLF001  our own class
        return scene

    def asked(self, accelerators: Accelerators | None = None) -> dict[str, frozenset[str]]:
        """Which containers ask for which accelerators; by default, of all that the installation knows."""
        accelerators = accelerators or self.facts.settings.accelerators
        found = self._asked.get(id(accelerators))
        if found is None:
            claims, namespace = self.facts.inventory.claims, self._request.namespace
            found = self._asked[id(accelerators)] = accelerators.of_pod(self.sent, claims, namespace)
        return found

    def candidates(self, accelerators: Accelerators | None = None, pod: Object | None = None) -> Candidates:
        """The nodes that could run the pod, as far as what it asks for of these accelerators goes.

        `pod` is what it was made so far; what it claims and requires by then counts.
        """
        resources = frozenset[str]().union(*self.asked(accelerators).values())
        pod = self.sent if pod is None else pod
        inventory = self.facts.inventory
        terms = affinity.required_terms(pod)
        claimed = terms_of_claims(claims_of(pod), self.site.namespace, inventory.volumes) if inventory.volumes else []
        found = self._candidates.get(resources)
        # Of all that decides where a pod can run, reach lets us change only its required node affinity and volumes.
        if found is None or found[0] != (terms, claimed):
            found = ((terms, claimed), inventory.candidates(demand_of(pod, resources, claimed)))
            self._candidates[resources] = found
        return found[1]

    @property
    def shown(self) -> Object:
        """What expressions see of the pod: what one of them reads, but never managedFields, often half of a pod."""
        if self._shown is None:
            reads = reads_of(self.facts.policies)
            shown = cut(self.sent, reads["object"]) if "object" in reads else {}
            metadata = shown.get("metadata")
            if type(metadata) is dict and "managedFields" in metadata:
                kept = {key: value for key, value in metadata.items() if key != "managedFields"}
                shown = {**shown, "metadata": kept}
            self._shown = shown
        return self._shown

    @property
    def activation(self) -> Activation:
        """What expressions see. Engines convert all they are given, so they are given no more than is read."""
        if self._activation is None:
            request, reads = self._request, reads_of(self.facts.policies)
            self._activation = Activation(
                Bindings(
                    object=self.shown,
                    oldObject=request.old_object,
                    request=cut(request.raw, reads["request"]) if "request" in reads else None,
                    namespaceObject=_namespace(request.namespace, self.facts) if "namespaceObject" in reads else None,
                    inventory=_View(self.facts.inventory, self.facts.placement_usable),
                )
            )
        return self._activation


class Matched(NamedTuple):
    """A policy that matched, and the values of its variables."""

    policy: Policy
    variables: dict[str, Any]


class _View(NamedTuple):
    """What CEL may ask of the inventory."""

    inventory: Inventory
    usable: bool

    @property
    def nodes(self) -> int:
        return len(self.inventory.nodes)

    def warm_nodes(self, name: str) -> int:
        return self.inventory.warm_nodes(name)


def _namespace(name: str, facts: Facts) -> Object | None:
    labels = facts.namespace_labels
    return None if labels is None else {"metadata": {"name": name, "labels": dict(labels)}}
