"""From where bound PersistentVolumes can be reached: what rules out nodes for the pods that claim them.

A volume counts once it is bound (`status.phase`): then its claim exists and is its own, so that claims themselves,
which belong to tenants, need not be read. The rules are the scheduler's: the volume's node affinity (plugin
VolumeBinding), and the zones and regions among its labels (plugin VolumeZone), which older volumes have in its place.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from webhook.inventory.objects import PersistentVolume
from webhook.kube import Object
from webhook.kube.pod import objects

Terms = tuple[Object, ...]
"""Node selector terms, OR-ed; none where the volume can be reached from every node."""

# pkg/scheduler/framework/plugins/volumezone, Kubernetes 1.36: a label may hold several values, its old spelling is
# matched by the new one of nodes (which all nodes have), and a node without any of them is as good as one of the zone.
_ZONES = {
    "topology.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
_KEYS = tuple(_ZONES)  # what a dump calls a key may be a list, of which a tuple can be asked
_UNLABELLED: list[Object] = [{"key": key, "operator": "DoesNotExist"} for key in _KEYS]
_BETWEEN = "__"
_MOST_KEPT = 4096

_json = msgspec.json.Encoder(order="deterministic").encode


class Volumes:
    """Bound volumes by name. Volumes of one zone share their terms."""

    def __init__(self) -> None:
        self._bound: dict[str, tuple[str, Terms]] = {}
        self._kept: dict[bytes, Terms] = {}

    def put(self, volume: PersistentVolume) -> bool:
        """Take in a volume that was added or modified; whether `by_claim` changed."""
        name = volume.metadata.name
        claim = _claim(volume)
        if not claim:
            return self.remove(name)
        now = (claim, self._shared(_terms(volume)))
        if self._bound.get(name) == now:
            return False
        self._bound[name] = now
        return True

    def remove(self, name: str) -> bool:
        """Take out a volume; whether `by_claim` changed."""
        return self._bound.pop(name, None) is not None

    def names(self) -> set[str]:
        """The names of all that are bound."""
        return set(self._bound)

    def by_claim(self) -> dict[str, Terms]:
        """The terms of each claim's volume, by the claim's "namespace/name", sorted."""
        # Were two volumes bound to one claim, the last by name would count, whatever way they came.
        found = dict(self._bound[name] for name in sorted(self._bound))
        return {claim: found[claim] for claim in sorted(found)}

    def _shared(self, terms: Terms) -> Terms:
        text = _json(terms)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        return self._kept.setdefault(text, terms)


def _claim(volume: PersistentVolume) -> str:
    reference = volume.spec.claim_ref if volume.spec else None
    if volume.status is None or volume.status.phase != "Bound" or reference is None:
        return ""
    return f"{reference.namespace}/{reference.name}" if reference.namespace and reference.name else ""


def _terms(volume: PersistentVolume) -> Terms:
    affinity = volume.spec.node_affinity if volume.spec else None
    terms = objects((affinity.required or {}).get("nodeSelectorTerms")) if affinity else []
    labels = _labelled(volume.metadata.labels or {})
    if not labels:
        return tuple(terms)
    if not terms:
        return tuple({"matchExpressions": way} for way in (labels, _UNLABELLED))
    return tuple(narrowed for term in terms for narrowed in _narrowed(term, labels))


def _narrowed(term: Object, labels: list[Object]) -> list[Object]:
    """A term of a volume that has such labels, too: for nodes that match them, and for unlabelled ones."""
    expressions = objects(term.get("matchExpressions"))
    if not expressions and not term.get("matchFields"):
        return [term]  # it selects nothing, and stays so
    # Unlabelled nodes have no zone that the volume's own term may ask for.
    is_zonal = any(each.get("key") in _KEYS for each in expressions)
    ways = [labels] if is_zonal else [labels, _UNLABELLED]
    return [{**term, "matchExpressions": [*expressions, *way]} for way in ways]


def _labelled(labels: Mapping[str, str]) -> list[Object]:
    found: dict[tuple[str, str], None] = {(now, labels[key]): None for key, now in _ZONES.items() if labels.get(key)}
    return [{"key": key, "operator": "In", "values": value.split(_BETWEEN)} for key, value in found]
