"""The three kinds of document as people write them: strict, camelCase, every field described.

These models make the errors and the JSON Schema. What the rest of Warmpod reads is `model.py`, which `resolve.py` makes
of them. Names of caches, profiles and expressions are checked here too, through the validation context (`Scope`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationInfo, model_validator

from webhook.kube import names
from webhook.policy import reach
from webhook.policy.finding import beside, distinct, run_beside, unique
from webhook.policy.model_document import ModelDocument
from webhook.policy.presets import PresetName
from webhook.policy.scope import AUTO_OR_LIST, CelText, ProfileName, Selector, variable_order
from webhook.policy.strict import Metadata, Strict
from webhook.policy.text import (
    EnvName,
    EnvValue,
    Identifier,
    KeepFree,
    Lease,
    MaxSize,
    MountPath,
    Name,
    OwnName,
    ResourcePattern,
    StorageClassName,
    Zone,
)


class Match(Strict):
    """Which pods a policy is for. All that is given must hold."""

    namespace_selector: Selector | None = None
    """Labels the pod's namespace must have. While they are unknown, a policy with this field is skipped."""
    object_selector: Selector | None = None
    """Labels the pod must have."""
    accelerators: Annotated[list[ResourcePattern], distinct("pattern")] | None = Field(default=None, min_length=1)
    """Resources or device classes of which a container must request one; '*' stands for any characters.
    Default: the installation's (every known accelerator)."""


class MatchCondition(Strict):
    """A CEL expression that must be true for the policy to apply."""

    name: Name
    """Shown in decisions, unique in the policy."""
    expression: CelText
    """CEL that gives a bool. Any false skips the policy; else any error is judged by `failurePolicy`."""


class VariableDocument(Strict):
    """A named CEL value, evaluated at most once per pod and only when something reads it."""

    name: Identifier
    """Read as `variables.NAME`, unique in the policy."""
    expression: CelText
    """CEL of any type. It may read the variables above it."""


class Images(Strict):
    """What to do about the pod's container images."""

    placement: Literal["Off", "Prefer", "Require"]
    """Off: nothing. Prefer: weigh nodes that hold the images. Require: only such nodes (needs `acknowledge`)."""


class VolumeDocument(Strict):
    """A volume to add and mount. One of the same name or mount path that the pod already has stays as it is."""

    volume: Annotated[dict[str, Any], beside(reach.named_volume)]
    """A Kubernetes volume with its name, as in `spec.volumes`. Secrets are refused."""
    mount_path: MountPath
    """Where it is mounted."""
    read_only: bool = False
    """Whether the mount is read-only."""
    containers: Annotated[list[OwnName], distinct("container")] = Field(default=[])
    """Containers that get the mount. Default: those that request the accelerator."""
    zone: Zone | None = None
    """The zone that the volume lies in: its id (use1-az4) or its name (us-east-1a)."""
    zone_placement: Literal["Off", "Prefer", "Require"] = "Prefer"
    """Off: nothing. Prefer: weigh nodes of that zone. Require: only such nodes."""


class EnvVar(Strict):
    """One environment variable for the containers that request the accelerator. What the pod sets itself stays."""

    name: EnvName
    """The variable. Those that hold AWS credentials are refused."""
    value: EnvValue
    """The value, always a string: quote numbers and booleans."""


class PolicySpec(Strict):
    """What a WarmPolicy does, and to which pods."""

    mode: Literal["Off", "Audit", "Enforce"] = "Audit"
    """Off: nothing. Audit: compute and report. Enforce: change the pod."""
    match: Match = Match()
    """Which pods the policy is for."""
    match_conditions: Annotated[list[MatchCondition], unique("name")] = Field(default=[], max_length=64)
    """CEL conditions, as in ValidatingAdmissionPolicy."""
    variables: Annotated[list[VariableDocument], unique("name")] = Field(default=[], max_length=64)
    """CEL values that conditions and sources may read."""
    failure_policy: Literal["Ignore", "Fail"] = "Ignore"
    """What an error in this policy's CEL means. Ignore: skip the policy. Fail: refuse the pod (only in Enforce)."""
    images: Images | None = None
    """Placement by the pod's images. Default: Off."""
    models: Annotated[list[ModelDocument], unique("name")] = Field(default=[], max_length=16)
    """Models to bring to the pod."""
    volumes: Annotated[list[VolumeDocument], beside(reach.volume_names)] = Field(default=[], max_length=16)
    """Volumes to add and mount."""
    client_profiles: Annotated[list[ProfileName], distinct("profile"), *AUTO_OR_LIST] = Field(default=[], max_length=16)
    """ClientProfiles. Where two set the same variable, the first wins. `auto`, alone or last in the list: what suits
    each container's S3 client and its nodes' network."""
    env: Annotated[list[EnvVar], unique("name")] = Field(default=[], max_length=128)
    """Environment variables to add. They win over those of `clientProfiles`."""
    acknowledge: Annotated[list[Literal["RequireBlocksScaleFromZero"]], distinct("entry")] = Field(default=[])
    """Consequences accepted. RequireBlocksScaleFromZero: autoscalers make no node for pods that require warm ones."""

    @model_validator(mode="wrap")
    @classmethod
    def _variables(cls, raw: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo[Any]) -> Self:
        found = [*variable_order(raw, info.context), *reach.mount_clashes(raw), *reach.profile_order(raw)]
        value: Self = run_beside(raw, handler, found)
        return value


class WarmPolicyDocument(Strict):
    """A rule that makes GPU pods start warm."""

    api_version: Literal["warmpod.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["WarmPolicy"]
    """The kind of document."""
    metadata: Metadata
    """What names the policy. Several policies on one pod are applied in the order of their names."""
    spec: PolicySpec
    """What the policy does, and to which pods."""


class NodeCacheSpec(Strict):
    """Where a cache lies and how much of it may be filled."""

    preset: PresetName | None = None
    """The place by the node's set-up. al2023-raid0, bottlerocket: the instance store, shared by the node's pods.
    emptydir, generic-ephemeral: the pod's own. Exactly one of `preset` and `volume`."""
    size: MaxSize | None = None
    """With `preset`: most that an emptyDir may take, also as the fallback; what generic-ephemeral asks for."""
    storage_class_name: StorageClassName | None = None
    """The StorageClass of generic-ephemeral, such as one of local NVMe."""
    volume: Annotated[dict[str, Any], beside(reach.cache_volume)] | None = None
    """A volume source without a name: hostPath (shared by the node's pods), csi, nfs, persistentVolumeClaim, or the
    pod's own: emptyDir, ephemeral."""
    fallback_volume: Annotated[dict[str, Any], beside(reach.fallback_volume)] | None = None
    """Used where the namespace's PodSecurity level forbids `volume`: emptyDir, ephemeral or persistentVolumeClaim."""
    tenancy: Literal["Namespace", "Cluster"] = "Namespace"
    """Who shares what the cache holds: the pods of one namespace, or all pods of the node."""
    keep_free: KeepFree = "20%"
    """How much of the filesystem is never filled: a percentage or a quantity. The kubelet shares that disk."""
    max_size: MaxSize | None = None
    """Most that a tenant's models in the cache may take, a quantity. Default: what `keepFree` leaves."""
    trust_cache: bool = False
    """Start from what the cache holds without asking the source, neither for the pod's right to it nor for changes."""
    lease: Lease = "24h"
    """How long a pod that was given a model keeps it from eviction while it has none of its files open."""

    @model_validator(mode="wrap")
    @classmethod
    def _place(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        value: Self = run_beside(raw, handler, reach.cache_place(raw))
        return value


class NodeCacheDocument(Strict):
    """A place on nodes where models lie."""

    api_version: Literal["warmpod.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["NodeCache"]
    """The kind of document."""
    metadata: Metadata
    """What names the cache."""
    spec: NodeCacheSpec
    """Where the cache lies."""


class ClientProfileSpec(Strict):
    """S3 client settings."""

    env: dict[EnvName, EnvValue] = Field(default={})
    """Environment variables. Values are strings: quote numbers. What the pod sets itself stays."""
    aws_config: Annotated[dict[str, Any], beside(reach.aws_config)] = Field(default={})
    """What goes to the AWS CLI's configuration file, which no other client reads: scalars, or mappings of them."""


class ClientProfileDocument(Strict):
    """Settings for S3 clients, by name."""

    api_version: Literal["warmpod.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["ClientProfile"]
    """The kind of document."""
    metadata: Annotated[Metadata, beside(reach.profile_name)]
    """What names the profile; `auto` is no profile's name."""
    spec: ClientProfileSpec
    """The settings."""


AnyDocument = WarmPolicyDocument | NodeCacheDocument | ClientProfileDocument
KINDS: dict[str, type[AnyDocument]] = {
    "WarmPolicy": WarmPolicyDocument,
    "NodeCache": NodeCacheDocument,
    "ClientProfile": ClientProfileDocument,
}
API_VERSION = names.API_VERSION
