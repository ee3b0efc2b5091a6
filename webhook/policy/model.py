"""What a decision reads of the policies: frozen, every reference resolved, every expression compiled.

`parse.parse` makes these from documents; nobody else needs to. Names are those of the YAML fields in snake_case;
`docs/policies.md` has the meaning of each field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from webhook.policy.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.cel import Expression
    from webhook.kube import Object
    from webhook.kube.accelerator import Accelerators
    from webhook.kube.selector import LabelSelector


class Mode(StrEnum):
    """How far a policy goes: not at all, computing and reporting only, or changing pods."""

    OFF = "Off"
    AUDIT = "Audit"
    ENFORCE = "Enforce"

    @property
    def rank(self) -> int:
        """0 for Off, 1 for Audit, 2 for Enforce."""
        return _RANKS[self]

    @staticmethod
    def lowest(a: Mode, b: Mode) -> Mode:
        """The one of the two that does less."""
        return a if _RANKS[a] <= _RANKS[b] else b


_RANKS: dict[Mode, int] = {Mode.OFF: 0, Mode.AUDIT: 1, Mode.ENFORCE: 2}


class Placement(StrEnum):
    """What warm nodes mean for scheduling: nothing, a preferred term, or a required one."""

    OFF = "Off"
    PREFER = "Prefer"
    REQUIRE = "Require"


class FailurePolicy(StrEnum):
    """What an error in a policy's CEL means for the pod."""

    IGNORE = "Ignore"
    FAIL = "Fail"


class OnFailure(StrEnum):
    """What a failed hydration means: the init container retries, or the pod starts without the model."""

    RETRY = "Retry"
    CONTINUE = "Continue"


class Delivery(StrEnum):
    """How a model comes to its containers: by way of the node's cache, straight from its volume, or what is sooner."""

    HYDRATE = "hydrate"
    MOUNT = "mount"
    AUTO = "auto"


class Tenancy(StrEnum):
    """Who shares what lies in a cache: pods of one namespace, or all pods of the node."""

    NAMESPACE = "Namespace"
    CLUSTER = "Cluster"


SourceKind = Literal["value", "annotation", "label", "env", "arg", "expression"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a document begins, and where each of its fields stands (`path -> (line, column)`, from 1)."""

    file: str
    line: int
    fields: Mapping[str, tuple[int, int]] = field(default_factory=dict, compare=False, repr=False)

    def at(self, path: str) -> tuple[int, int]:
        """Line and column of a field, or of the nearest field around it that the file spells out."""
        while path:
            if path in self.fields:
                return self.fields[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.line, 1


@dataclass(frozen=True, slots=True)
class NodeCache:
    """Where models lie on a node. `volume` and `fallback_volume` are volume sources without a name.

    `max_size` is empty where there is none. `preset` is the name that stood for the volumes, empty where they were
    spelt out; `systems` (`webhook.ec2.systems`) those on whose nodes `volume` is a local disk, empty where it does not
    say.
    """

    name: str
    volume: Object
    fallback_volume: Object | None
    tenancy: Tenancy
    keep_free: str
    max_size: str
    trust_cache: bool
    lease_seconds: int
    origin: Origin
    preset: str = ""
    systems: frozenset[str] = frozenset()


NO_CACHE = NodeCache(
    "", {}, None, Tenancy.NAMESPACE, "0%", "", trust_cache=False, lease_seconds=0, origin=Origin("", 1)
)
"""What a model has that is never hydrated."""


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """S3 client settings: `env` sorted by name, `aws_config` the sections of an AWS CLI configuration."""

    name: str
    env: Mapping[str, str]
    aws_config: Mapping[str, Any]
    origin: Origin


@dataclass(frozen=True, slots=True)
class SourceRule:
    """Where a model's source is read: `text` is the value, key, flag or expression that `kind` speaks of."""

    kind: SourceKind
    text: str
    expression: Expression | None = None


@dataclass(frozen=True, slots=True)
class SourceVolume:
    """The volume (with its name) that holds sources: one of `mount_path` and `holds` is not empty.

    `mount_path` is where the init container mounts it, with which `file://` sources begin; `holds` the canonical S3
    prefix whose objects are its files. `throughput` is what a node reads from it in bytes a second, 0 where nobody
    says.
    """

    volume: Object
    mount_path: str
    holds: str = ""
    throughput: int = 0


@dataclass(frozen=True, slots=True)
class Files:
    """Which of a source's files are wanted: globs sorted, none twice.

    `text` is what a model's directory digests of them (ADR 12), empty when all files are wanted.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    prefer_safetensors: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """One model a policy brings into a pod. `allow` is never empty: for a `value` source it defaults to that value.

    `cache` is `NO_CACHE` where nothing is ever hydrated. `told` is what the hydrator is told whatever the pod: the text
    of a JSON object. `size` is in bytes, 0 where nobody says; `zone` is empty where none is declared.
    """

    name: str
    source: SourceRule
    source_volume: SourceVolume | None
    allow: tuple[str, ...]
    files: Files
    cache: NodeCache
    mount_path: str
    containers: tuple[str, ...]
    redirect: bool
    placement: Placement
    on_failure: OnFailure
    page_cache: bool
    told: str
    delivery: Delivery = Delivery.HYDRATE
    size: int = 0
    zone: str = ""
    zone_placement: Placement = Placement.PREFER


@dataclass(frozen=True, slots=True)
class VolumeRule:
    """One volume (with its name) and where it is mounted. No `containers`: those that request the accelerator."""

    volume: Object
    mount_path: str
    read_only: bool
    containers: tuple[str, ...]
    zone: str = ""
    zone_placement: Placement = Placement.PREFER


@dataclass(frozen=True, slots=True)
class Condition:
    """One of `matchConditions`."""

    name: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Variable:
    """One of `variables`; its expression may read those before it."""

    name: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Policy:
    """One WarmPolicy. `accelerators` None means the installation's; a selector that is None matches everything.

    `all_conditions` is true only where every one of `conditions` is, and is one evaluation in place of several; there
    is none where there are fewer than two, where they read variables, or where it would be too long. `profiles` are the
    named ones; with `auto_profiles`, what suits the pod comes after them.
    """

    name: str
    mode: Mode
    failure_policy: FailurePolicy
    namespace_selector: LabelSelector | None
    object_selector: LabelSelector | None
    accelerators: Accelerators | None
    conditions: tuple[Condition, ...]
    variables: tuple[Variable, ...]
    image_placement: Placement
    models: tuple[Model, ...]
    volumes: tuple[VolumeRule, ...]
    profiles: tuple[ClientProfile, ...]
    env: tuple[tuple[str, str], ...]
    acknowledged: frozenset[str]
    origin: Origin
    accelerator_patterns: tuple[str, ...] = ()
    all_conditions: Expression | None = None
    auto_profiles: bool = False


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All policies in force, by name. `problems` says which documents were left out, and why.

    `digest` is a hash of the documents' content: equal content gives an equal digest, whatever the files are called.
    """

    policies: tuple[Policy, ...] = ()
    digest: str = ""
    problems: tuple[Problem, ...] = ()
    caches: tuple[NodeCache, ...] = ()
    profiles: tuple[ClientProfile, ...] = ()
