"""The accumulator: a cluster's objects go in as they are listed and change, the inventory comes out.

Pure and single-threaded. Times are unix seconds and come with the calls; they never run backwards here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from webhook.inventory.device_objects import ResourceClaim, ResourceClaimTemplate, ResourceSlice
from webhook.inventory.fleet import Fleet
from webhook.inventory.model import Inventory
from webhook.inventory.models import Remembered
from webhook.inventory.objects import Namespace, Node, PersistentVolume, Pod, Resource, Watched
from webhook.inventory.rules import Rules
from webhook.inventory.stock import Stock
from webhook.inventory.volumes import Volumes
from webhook.kube import names

__all__ = ["Cluster", "Rules"]

_NEEDED: frozenset[Resource] = frozenset({"nodes", "pods", "namespaces"})
_NO_LABELS: Mapping[str, str] = {}


class Cluster:
    """What the API server said of the cluster, folded. Feed it, then ask."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._fleet = Fleet(rules or Rules())
        self._stock = Stock()
        self._replaced: set[Resource] = set()
        self._namespaces: dict[str, dict[str, str]] = {}
        self._is_common_stale = False
        self._volumes = Volumes()
        self._server = ""
        self._is_storage_stale = False

    @property
    def synced(self) -> bool:
        """Whether nodes, pods and namespaces were each listed: before that the inventory is a part of the truth."""
        return self._replaced >= _NEEDED

    @property
    def version(self) -> int:
        """Grows whenever the inventory of one and the same time would be another. It may grow without that."""
        return self._fleet.changes

    @property
    def placements(self) -> Counter[tuple[str, str]]:
        """Artifacts by ("image" or "model", "warm" or "cold"), counted when a pod whose affinity names them was bound.

        Only pods that were bound while we watched; by what we knew then of the node.
        """
        return self._fleet.placements

    @property
    def refused(self) -> Counter[str]:
        """Reports, or statements in them, that are not believed, by reason (see `webhook.inventory.report.Refusal`)."""
        return self._fleet.refused

    def replace(self, resource: Resource, objects: Iterable[Watched], at: float) -> None:
        """Take in a full list: what it does not name is gone."""
        self._fleet.now = max(self._fleet.now, at)
        missing = self._known(resource)
        for each in objects:
            missing.discard(_key(each))
            self.put(resource, each, at)
        for key in missing:
            self._remove(resource, key)
        self._replaced.add(resource)
        self._fleet.is_watching |= resource == "pods"

    def put(self, resource: Resource, object: Watched, at: float) -> None:  # noqa: A002, ARG002  the words of remove()
        """Take in an object that was added or modified. The same again changes nothing."""
        fleet = self._fleet
        fleet.now = max(fleet.now, at)
        match object:
            case Node():
                fleet.put_node(object)
            case Pod():
                fleet.put_pod(_key(object), object)
            case Namespace():
                name, labels = object.metadata.name, object.metadata.labels or {}
                if self._namespaces.get(name) != labels:
                    self._namespaces[name] = labels
                    self._change_common()
            case PersistentVolume():
                self._change_storage(is_other=self._volumes.put(object))
            case ResourceSlice():
                fleet.unsettle(fleet.devices.put_slice(object))
            case ResourceClaim() | ResourceClaimTemplate():
                self._change_claims(*fleet.devices.put_claim(object))

    def remove(self, resource: Resource, object: Watched, at: float) -> None:  # noqa: A002  the API's word
        """Take out an object that was deleted. One that is not known, or another one by that name, changes nothing."""
        fleet = self._fleet
        fleet.now = max(fleet.now, at)
        key, uid, known = _key(object), object.metadata.uid, ""
        if resource == "pods" and key in fleet.pods:
            known = fleet.pods[key].uid
        elif resource == "nodes":
            known = self.uid(key)
        if not uid or not known or known == uid:
            self._remove(resource, key)

    def restore(self, inventory: Inventory) -> None:
        """Take from an earlier snapshot of ours what labels cannot say: names and sizes of models."""
        self._fleet.models.remember(
            (artifact.label, Remembered((artifact.tenant, artifact.name), artifact.bytes))
            for artifact in inventory.artifacts
            if artifact.kind == "model"
            and artifact.name
            and artifact.label == names.model_label(artifact.name, artifact.tenant)
        )
        self._fleet.unsettle_adopters()

    def serve(self, version: str) -> None:
        """The API server's minor version ("1.36"), empty when it does not say."""
        self._change_storage(is_other=version != self._server)
        self._server = version

    def due(self) -> float | None:
        """The time at which the inventory changes though nothing happens: when images of pods that went may be gone."""
        return self._fleet.due()

    def inventory(self, at: float) -> Inventory:
        """What the cluster holds at `at`. The same facts give the same id and content, whatever way they came."""
        fleet = self._fleet
        fleet.now = max(fleet.now, at)
        fleet.settle()
        restated, fleet.restated = fleet.restated, {}
        self._stock.update(restated)
        if self._is_common_stale:
            self._stock.tell(dict(self._namespaces), fleet.devices.classes())
            self._is_common_stale = False
        if self._is_storage_stale:
            self._stock.tell_volumes(self._volumes.by_claim(), self._server)
            self._is_storage_stale = False
        return self._stock.inventory(time=at, named=fleet.models.named, remembered_bytes=fleet.models.remembered_bytes)

    def planned(self, node: str) -> Mapping[str, str]:
        """Our labels that the node should bear now."""
        self._fleet.settle()
        state = self._fleet.nodes.get(node)
        return state.labels() if state else _NO_LABELS

    def observed(self, node: str) -> Mapping[str, str]:
        """Our labels that the node bears."""
        state = self._fleet.nodes.get(node)
        return state.facts.ours if state and state.facts else _NO_LABELS

    def uid(self, node: str) -> str:
        """The node's uid; empty for a node that is not known."""
        state = self._fleet.nodes.get(node)
        return state.facts.uid if state and state.facts else ""

    def behind(self) -> list[str]:
        """The nodes that bear other labels of ours than they should, those with most bytes to gain first.

        A node that is being deleted is left alone.
        """
        self._fleet.settle()
        return self._fleet.backlog.names()

    def _known(self, resource: Resource) -> set[str]:
        fleet = self._fleet
        match resource:
            case "nodes":
                return fleet.known_nodes()
            case "pods":
                return set(fleet.pods)
            case "namespaces":
                return set(self._namespaces)
            case "persistentvolumes":
                return self._volumes.names()
            case "resourceslices":
                return fleet.devices.slices()
            case "resourceclaims":
                return fleet.devices.claims("claim")
            case "resourceclaimtemplates":
                return fleet.devices.claims("template")

    def _remove(self, resource: Resource, key: str) -> None:
        fleet = self._fleet
        match resource:
            case "nodes":
                fleet.remove_node(key)
            case "pods":
                fleet.remove_pod(key)
            case "namespaces":
                if self._namespaces.pop(key, None) is not None:
                    self._change_common()
            case "persistentvolumes":
                self._change_storage(is_other=self._volumes.remove(key))
            case "resourceslices":
                fleet.unsettle(fleet.devices.remove_slice(key))
            case "resourceclaims":
                self._change_claims(*fleet.devices.remove_claim("claim", key))
            case "resourceclaimtemplates":
                self._change_claims(*fleet.devices.remove_claim("template", key))

    def _change_claims(self, touched: set[str], is_common: bool) -> None:
        self._fleet.unsettle(touched)
        if is_common:
            self._change_common()

    def _change_common(self) -> None:
        self._is_common_stale = True
        self._fleet.changes += 1

    def _change_storage(self, *, is_other: bool) -> None:
        if is_other:
            self._is_storage_stale = True
            self._fleet.changes += 1


def _key(each: Watched) -> str:
    """The name by which an object is known within its resource."""
    if isinstance(each, Pod | ResourceClaim | ResourceClaimTemplate):
        return f"{each.metadata.namespace}/{each.metadata.name}"
    return each.metadata.name
