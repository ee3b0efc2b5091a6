"""The three kinds of document as people write them: strict, camelCase, every field described.

These models make the errors and the JSON Schema. What the rest of Warmpod reads is `model.py`, which `resolve.py` makes
of them. Names of caches, profiles and expressions are checked here too, through the validation context (`Scope`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel

from webhook.kube import names
from webhook.policy import reach
from webhook.policy.finding import beside, distinct, run_beside, unique
from webhook.policy.scope import CacheName, CelText, ProfileName, Selector, variable_order
from webhook.policy.text import (
    AllowPattern,
    EnvName,
    EnvValue,
    Flag,
    Glob,
    Identifier,
    KeepFree,
    Key,
    Lease,
    MaxSize,
    MountPath,
    Name,
    OwnName,
    ResourcePattern,
)


class Strict(BaseModel):
    """A mapping of known fields, in camelCase, whose values are of their types and not merely like them."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, use_attribute_docstrings=True
    )


class Metadata(Strict):
    """What names a document."""

    name: Name
    """Unique among documents of the kind: 1-63 lower-case letters, digits and '-'."""


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


class ModelSource(Strict):
    """Where the model's source (`s3://bucket/prefix/` or `file:///path/`) is read. Exactly one field."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    value: AllowPattern | None = None
    """The source itself."""
    annotation: Key | None = None
    """An annotation of the pod."""
    label: Key | None = None
    """A label of the pod."""
    env: EnvName | None = None
    """A literal environment variable of the model's containers."""
    arg: Flag | None = None
    """A flag in the command line of the model's containers: `--model=x` or `--model x`."""
    expression: CelText | None = None
    """CEL that gives the source as a string."""

    @model_validator(mode="wrap")
    @classmethod
    def _one(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        value: Self = run_beside(raw, handler, reach.one_source(raw))
        return value


class SourceVolumeDocument(Strict):
    """The volume that holds `file://` sources."""

    volume: Annotated[dict[str, Any], beside(reach.named_volume)]
    """A Kubernetes volume with its name, as in `spec.volumes`. Mounted read-only, into the init container alone."""
    mount_path: MountPath
    """Where it is mounted; the paths of `file://` sources begin with it."""


class FilesDocument(Strict):
    """Which of the source's files are wanted. A glob matches a path below the source, or its last name."""

    include: Annotated[list[Glob], distinct("glob")] = Field(default=[], max_length=32)
    """Only these files. '*' stands for any characters, '/' too. Default: all."""
    exclude: Annotated[list[Glob], distinct("glob")] = Field(default=[], max_length=32)
    """Not these files."""
    prefer_safetensors: bool = False
    """Where a directory holds *.safetensors, no other format of weights from it (*.bin, *.pt, *.h5, ...)."""

    @model_validator(mode="wrap")
    @classmethod
    def _globs(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        value: Self = run_beside(raw, handler, reach.globs(raw))
        return value


class ModelDocument(Strict):
    """One model that the pod finds on its node, or that the init container brings there."""

    name: Name
    """Unique in the policy."""
    source: ModelSource
    """Where the model's source is read."""
    source_volume: SourceVolumeDocument | None = None
    """Required where `allow` or `source.value` holds a `file://` path."""
    allow: Annotated[list[AllowPattern], distinct("pattern")] | None = Field(
        default=None, json_schema_extra={"minItems": 1}
    )
    """Sources the pod may name: exact, or a prefix that ends in '*'. Required unless the source is a `value`."""
    files: FilesDocument | None = None
    """Which of the source's files are wanted. Default: all."""
    cache: CacheName
    """A NodeCache."""
    mount_path: MountPath
    """The model's files lie directly under it, read-only."""
    containers: Annotated[list[OwnName], distinct("container")] = []
    """Containers that get the mount. Default: those that request the accelerator."""
    redirect: bool = False
    """Arguments and literal environment values equal to the source now name `mountPath`."""
    placement: Literal["Off", "Prefer", "Require"] = "Prefer"
    """Off: nothing. Prefer: weigh nodes that hold the model. Require: only such nodes (needs `acknowledge`)."""
    on_failure: Literal["Retry", "Continue"] = "Retry"
    """Retry: the init container fails and is restarted. Continue: the pod starts without the model."""
    page_cache: bool = False
    """Leave the files in the node's memory when they are written, for a program that maps them at once."""

    @model_validator(mode="wrap")
    @classmethod
    def _sources(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        value: Self = run_beside(raw, handler, reach.sources(raw))
        return value


class VolumeDocument(Strict):
    """A volume to add and mount. One of the same name or mount path that the pod already has stays as it is."""

    volume: Annotated[dict[str, Any], beside(reach.named_volume)]
    """A Kubernetes volume with its name, as in `spec.volumes`. Secrets are refused."""
    mount_path: MountPath
    """Where it is mounted."""
    read_only: bool = False
    """Whether the mount is read-only."""
    containers: Annotated[list[OwnName], distinct("container")] = []
    """Containers that get the mount. Default: those that request the accelerator."""


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
    client_profiles: Annotated[list[ProfileName], distinct("profile")] = Field(default=[], max_length=16)
    """ClientProfiles. Where two set the same variable, the first wins."""
    env: Annotated[list[EnvVar], unique("name")] = Field(default=[], max_length=128)
    """Environment variables to add. They win over those of `clientProfiles`."""
    acknowledge: Annotated[list[Literal["RequireBlocksScaleFromZero"]], distinct("entry")] = []
    """Consequences accepted. RequireBlocksScaleFromZero: autoscalers make no node for pods that require warm ones."""

    @model_validator(mode="wrap")
    @classmethod
    def _variables(cls, raw: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo[Any]) -> Self:
        value: Self = run_beside(raw, handler, [*variable_order(raw, info.context), *reach.mount_clashes(raw)])
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

    volume: Annotated[dict[str, Any], beside(reach.cache_volume)]
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

    env: dict[EnvName, EnvValue] = {}
    """Environment variables. Values are strings: quote numbers. What the pod sets itself stays."""
    aws_config: Annotated[dict[str, Any], beside(reach.aws_config)] = {}
    """What goes to the AWS CLI's configuration file, which no other client reads: scalars, or mappings of them."""


class ClientProfileDocument(Strict):
    """Settings for S3 clients, by name."""

    api_version: Literal["warmpod.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["ClientProfile"]
    """The kind of document."""
    metadata: Metadata
    """What names the profile."""
    spec: ClientProfileSpec
    """The settings."""


AnyDocument = WarmPolicyDocument | NodeCacheDocument | ClientProfileDocument
KINDS: dict[str, type[AnyDocument]] = {
    "WarmPolicy": WarmPolicyDocument,
    "NodeCache": NodeCacheDocument,
    "ClientProfile": ClientProfileDocument,
}
API_VERSION = names.API_VERSION
