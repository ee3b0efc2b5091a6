"""What a decision is made from, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from webhook.cost.figures import figure
from webhook.cost.hydration import fetch_bound
from webhook.inventory.model import EMPTY, Inventory
from webhook.policy.model import Mode, PolicySet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.kube import Object
    from webhook.kube.accelerator import Accelerators
    from webhook.kube.podsecurity import Level

Result = Literal["matched", "skipped", "errored"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the installation decides once, by flags.

    `hydrator_image` empty turns hydration off. `default_level` holds for namespaces without a PodSecurity label. The
    rates turn bytes into seconds: what a node pulls of an image, and what the hydrator reads of a model, in bytes per
    second. Images of fewer than `image_min_bytes` bytes are no reason to prefer a node. `image_volumes` is whether
    nodes and API server have image volumes; `auto`: what their versions say.
    """

    hydrator_image: str
    accelerators: Accelerators
    default_level: Level
    image_bytes_per_second: float = figure("pull.containerd").likely
    model_bytes_per_second: float = fetch_bound(None).rate
    image_min_bytes: int = 2**30
    image_volumes: Literal["auto", "on", "off"] = "auto"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision may know besides the review itself, gathered before it starts.

    `inventory` is `EMPTY` and `placement_usable` False while there is no snapshot that can be trusted.
    `namespace_labels` is None when the labels of the pod's namespace are not known. `mode_cap` lowers every policy's
    mode.
    """

    policies: PolicySet
    settings: Settings
    inventory: Inventory = EMPTY
    namespace_labels: Mapping[str, str] | None = None
    mode_cap: Mode = Mode.ENFORCE
    placement_usable: bool = False


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What one policy said: `mode` is the one in effect here, `reason` one line for people.

    `conflicts` says what was left out because the pod, or a policy before this one, had its place. `did` names the
    parts of the pod that are this policy's doing, as `webhook.admission.changes` does; a redirect goes with its
    hydration and is not named.
    """

    name: str
    mode: Mode
    result: Result
    reason: str
    conflicts: tuple[str, ...] = ()
    did: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one review, and why.

    `patch` (RFC 6902) makes `pod` of what was sent and is what the API server gets. `would_patch` is what it would get
    if the policies in Audit were in Enforce too; empty when no such policy matched. `pod` and `would_pod` are None for
    a review that is not of a pod's creation. `seconds_saved` is an estimate of the start-up time that the placement
    terms of `patch` save. `violations` names the laws a result broke: its patch was dropped, and the pod stays as it
    was sent.
    """

    allowed: bool = True
    policies: tuple[PolicyVerdict, ...] = ()
    patch: list[Object] = field(default_factory=list)
    would_patch: list[Object] = field(default_factory=list)
    pod: Object | None = None
    would_pod: Object | None = None
    warnings: tuple[str, ...] = ()
    audit_annotations: dict[str, str] = field(default_factory=dict)
    seconds_saved: float = 0.0
    would_seconds_saved: float = 0.0
    message: str = ""
    violations: tuple[str, ...] = ()
