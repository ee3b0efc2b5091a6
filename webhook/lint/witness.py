"""A pod on which one policy loses something to another: looked for among real pods and pods made for it, and proven.

The proof is two decisions: what the loser does to the pod alone, and what both do to it together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from webhook.inventory.model import Inventory
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.lint.check import Manifest, Manifests
from webhook.lint.demands import Demands, demands, together
from webhook.lint.meeting import Meeting, meetings
from webhook.lint.trial import decide
from webhook.policy.model import Policy

_NO_CLAIMS = Inventory()


class Contest(NamedTuple):
    """What two policies both want: `name` is a mount path, a volume's or a variable's name."""

    kind: Literal["path", "volume", "variable"]
    name: str


class Pair:
    """Two policies in the order of their names."""

    def __init__(self, first: Policy, second: Policy, asked: Demands) -> None:
        self._both = (first, second)
        self._demands = asked

    def witness(self, contest: Contest, loser: Policy, manifests: Manifests) -> str:
        """Describe a pod on which the loser gets less than alone: one of these, or one made up. Empty: none found."""

        def loses(meeting: Meeting) -> bool:
            alone = decide([loser], meeting.manifest, meeting.inventory)
            if not alone.policies or alone.policies[0].result != "matched" or alone.pod is None:
                return False
            wanted = _got(contest, alone.pod)
            if wanted == _got(contest, meeting.manifest.pod):
                return False
            both = decide(self._both, meeting.manifest, meeting.inventory)
            return both.pod is not None and bool(both.patch) and _got(contest, both.pod) != wanted

        return self._first(loses, manifests)

    def shown(self, test: Callable[[Object, Object], bool], manifests: Manifests) -> str:
        """Describe a pod that, as sent and as both policies change it, passes the test. Empty: none found."""

        def passes(meeting: Meeting) -> bool:
            both = decide(self._both, meeting.manifest, meeting.inventory)
            return both.pod is not None and test(meeting.manifest.pod, both.pod)

        return self._first(passes, manifests)

    def _first(self, test: Callable[[Meeting], bool], manifests: Manifests) -> str:
        for manifest in manifests:
            if test(Meeting(manifest, _NO_CLAIMS)):
                return manifest.source
        for meeting in meetings(self._both, self._demands):
            if test(meeting):
                return _described(meeting.manifest)
        return ""


def pairs(policies: Sequence[Policy]) -> Callable[[int, int], Pair | None]:
    """Return what gives the pair of two of these policies by their places; None where no pod can match both."""
    own: dict[int, Demands] = {}

    def asked_by(index: int) -> Demands:
        if index not in own:
            own[index] = demands([policies[index]])
        return own[index]

    def pair(first: int, second: int) -> Pair | None:
        asked = together((asked_by(first), asked_by(second)))
        return None if asked.contradict else Pair(policies[first], policies[second], asked)

    return pair


def _got(contest: Contest, pod: Object) -> list[Any]:
    """What the pod has under the contested name."""
    if contest.kind == "volume":
        return [each for each in pods.objects(pods.spec(pod).get("volumes")) if each.get("name") == contest.name]
    containers = pods.app_containers(pod)
    if contest.kind == "path":
        return [_of(each, "volumeMounts", "mountPath", contest.name) for each in containers]
    return [_of(each, "env", "name", contest.name) for each in containers]


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
