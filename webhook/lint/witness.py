"""A pod on which one policy loses something to another: looked for among real pods and pods made for it, and proven.

The proof is two decisions: what the loser does to the pod alone, and what both do to it together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from webhook.inventory.model import Inventory
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.lint.check import Manifest, Manifests
from webhook.lint.demands import demands
from webhook.lint.meeting import Meeting, meetings
from webhook.lint.trial import decide
from webhook.policy.model import Policy

_NO_CLAIMS = Inventory()


class Clash(NamedTuple):
    """What two policies may both want: `name` is a mount path, a volume's or a variable's name."""

    winner: Policy
    loser: Policy
    kind: Literal["path", "volume", "variable"]
    name: str


class Found(NamedTuple):
    """What is known of a clash. `pod` is in words, empty where no pod was found; `impossible`: there can be none."""

    pod: str = ""
    impossible: bool = False


def witness(clash: Clash, manifests: Manifests) -> Found:
    """Look for a pod on which the loser gets less than alone."""
    pair = (clash.winner, clash.loser)
    asked = demands(pair)
    if asked.contradict:
        return Found(impossible=True)
    for manifest in manifests:
        if _loses(clash, Meeting(manifest, _NO_CLAIMS)):
            return Found(manifest.source)
    for meeting in meetings(pair, asked):
        if _loses(clash, meeting):
            return Found(_described(meeting.manifest))
    return Found()


def _loses(clash: Clash, meeting: Meeting) -> bool:
    alone = decide([clash.loser], meeting.manifest, meeting.inventory)
    if not alone.policies or alone.policies[0].result != "matched" or alone.pod is None:
        return False
    wanted = _got(clash, alone.pod)
    if wanted == _got(clash, meeting.manifest.pod):
        return False
    both = decide([clash.winner, clash.loser], meeting.manifest, meeting.inventory)
    return both.pod is not None and bool(both.patch) and _got(clash, both.pod) != wanted


def _got(clash: Clash, pod: Object) -> list[Any]:
    """What the pod has under the contested name."""
    if clash.kind == "volume":
        return [each for each in pods.objects(pods.spec(pod).get("volumes")) if each.get("name") == clash.name]
    containers = pods.app_containers(pod)
    if clash.kind == "path":
        return [_of(each, "volumeMounts", "mountPath", clash.name) for each in containers]
    return [_of(each, "env", "name", clash.name) for each in containers]


def _of(container: Object, field: str, key: str, name: str) -> Sequence[Object]:
    return [entry for entry in pods.objects(container.get(field)) if entry.get(key) == name]


def _described(manifest: Manifest) -> str:
    """A made pod in a few words: what the policies look at."""
    metadata, spec = pods.metadata(manifest.pod), pods.spec(manifest.pod)
    limits = spec["containers"][0]["resources"]["limits"]
    asked = [name for name in limits if "/" in name] or ["a device of its class"]
    told = [
        f"asks for {asked[0]}",
        f"runs {' and '.join(dict.fromkeys(str(each['image']) for each in spec['containers']))}",
    ]
    for each in spec["containers"][:1]:
        told += [f"sets {entry.get('name')}={entry['value']}" for entry in each["env"] if "value" in entry]
        told += [f"has the arguments {' '.join(map(str, each['args']))}"] if each["args"] else []
    told += [f"has the {field} {_pairs(metadata[field])}" for field in ("labels", "annotations") if metadata[field]]
    labels = {
        key: value for key, value in (manifest.namespace_labels or {}).items() if key != names.LABEL_NAMESPACE_NAME
    }
    where = f"namespace {manifest.namespace}" + (f" with {_pairs(labels)}" if labels else "")
    return f"a pod in {where} that {', '.join(told)}"


def _pairs(found: Object) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(found.items()))
