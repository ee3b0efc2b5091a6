"""Which containers ask for an accelerator: by name of an extended resource, or by device class of a DRA claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from webhook.kube import Object, quantity
from webhook.kube import pod as pods

DEFAULT_PATTERNS = (
    "nvidia.com/*",
    "amd.com/gpu",
    "aws.amazon.com/neuron*",
    "habana.ai/gaudi",
    "gpu.intel.com/*",
    "google.com/tpu",
)
"""Names of extended resources that mark a GPU-class pod."""

DEFAULT_DEVICE_CLASSES = (
    "gpu.nvidia.com",
    "mig.nvidia.com",
    "vfio.gpu.nvidia.com",
    "gpu.amd.com",
    "neuron.aws.com",
    "gpu.intel.com",
    "gaudi.intel.com",
    "tpu.google.com",
)
"""Device classes that the vendors' DRA drivers install."""

# Names come from tenants, so what is remembered about them is bounded.
_MOST_REMEMBERED = 4096

_NO_CLAIMS: Mapping[str, tuple[str, ...]] = {}
_NOTHING: frozenset[str] = frozenset()


class _Names:
    """Patterns in which `*` stands for any text, also none. Answers are remembered by name."""

    __slots__ = ("_answers", "_patterns")

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(tuple(pattern.split("*")) for pattern in patterns)
        self._answers: dict[str, bool] = {}

    def __contains__(self, name: str) -> bool:
        answer = self._answers.get(name)
        if answer is None:
            answer = any(_matches(parts, name) for parts in self._patterns)
            if len(self._answers) < _MOST_REMEMBERED:
                self._answers[name] = answer
        return answer


class Accelerators:
    """What counts as an accelerator here. Immutable to its users."""

    __slots__ = ("_classes", "_resources", "_wider", "device_classes", "patterns")

    def __init__(
        self,
        patterns: Sequence[str] = DEFAULT_PATTERNS,
        device_classes: Sequence[str] = DEFAULT_DEVICE_CLASSES,
    ) -> None:
        self.patterns = tuple(patterns)
        self.device_classes = tuple(device_classes)
        self._resources = _Names(self.patterns)
        self._classes = _Names(self.device_classes)
        self._wider: Accelerators | None = None

    def is_resource(self, name: str) -> bool:
        """Whether an extended resource of this name is an accelerator."""
        return name in self._resources and (self._wider is None or self._wider.is_resource(name))

    def is_device_class(self, name: str) -> bool:
        """Whether devices of this class are accelerators."""
        return name in self._classes and (self._wider is None or self._wider.is_device_class(name))

    def narrowed(self, patterns: Sequence[str]) -> Accelerators:
        """Those of these accelerators whose resource name or device class matches one of `patterns` too."""
        narrower = Accelerators(patterns, patterns)
        narrower._wider = self  # our own class, before anyone else sees the object
        return narrower

    def requested_by(self, container: Object, claims: Mapping[str, tuple[str, ...]] = _NO_CLAIMS) -> frozenset[str]:
        """The accelerators one container asks for: names of resources with a quantity above zero, and device classes.

        `claims`: the device classes behind each of the pod's claims, by the claim's name in `spec.resourceClaims`.
        """
        resources = container.get("resources")
        if type(resources) is not dict or not resources:
            return _NOTHING
        found: set[str] = set()
        for part in ("limits", "requests"):
            amounts = resources.get(part)
            if type(amounts) is dict:
                for name, amount in amounts.items():
                    if name not in found and self.is_resource(name) and _is_positive(amount):
                        found.add(name)
        if claims:
            for use in pods.objects(resources.get("claims")):
                name = use.get("name")
                if type(name) is str:
                    found.update(device for device in claims.get(name, ()) if self.is_device_class(device))
        return frozenset(found) if found else _NOTHING

    def of_pod(
        self, pod: Object, claims: Mapping[str, tuple[str, ...]] = _NO_CLAIMS, namespace: str = ""
    ) -> dict[str, frozenset[str]]:
        """Container name to the accelerators it asks for; only app and init containers that ask for some.

        `claims`: the device classes of ResourceClaims and ResourceClaimTemplates by their name or by `namespace/name`;
        the namespace is `namespace`, or what the pod says where none is given. Those of others count for nothing.
        """
        inside = pods.spec(pod)
        of_pod = _NO_CLAIMS
        if claims and inside.get("resourceClaims"):
            of_pod = _claims_of(inside, claims, namespace or pods.metadata(pod).get("namespace"))
        found: dict[str, frozenset[str]] = {}
        for container in pods.init_containers(pod) + pods.app_containers(pod):
            asked = self.requested_by(container, of_pod)
            if asked:
                name = container.get("name")
                if type(name) is str:
                    found[name] = found.get(name, _NOTHING) | asked
        return found


def _claims_of(inside: Object, claims: Mapping[str, tuple[str, ...]], namespace: Any) -> dict[str, tuple[str, ...]]:
    """The device classes behind each entry of `spec.resourceClaims`, by the entry's name."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in pods.objects(inside.get("resourceClaims")):
        name = entry.get("name")
        target = entry.get("resourceClaimName") or entry.get("resourceClaimTemplateName")
        if type(name) is str and type(target) is str and "/" not in target:
            classes = claims.get(f"{namespace}/{target}") or claims.get(target)
            if classes:
                found[name] = classes
    return found


def _matches(parts: tuple[str, ...], name: str) -> bool:
    """Whether `name` is the parts of a pattern with any text between them."""
    first, *rest = parts
    if not rest:
        return name == first
    last = rest.pop()
    if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
        return False
    position, end = len(first), len(name) - len(last)
    for part in rest:
        position = name.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def _is_positive(amount: Any) -> bool:
    try:
        return quantity.parse(amount) > 0
    except quantity.InvalidQuantity:
        return False  # the API server refuses the pod
