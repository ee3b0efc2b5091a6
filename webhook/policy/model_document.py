"""One entry of a policy's `models` as people write it: source, files, cache, delivery, zone."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from webhook.policy import reach
from webhook.policy.finding import beside, distinct, run_beside
from webhook.policy.scope import CacheName, CelText
from webhook.policy.strict import Strict
from webhook.policy.text import (
    AllowPattern,
    EnvName,
    Flag,
    Glob,
    Key,
    MaxSize,
    MountPath,
    Name,
    OwnName,
    S3Prefix,
    Throughput,
    Zone,
)


class ModelSource(Strict):
    """Where the model's source is read: s3://bucket/prefix/, file:///path/ or oci://registry/repository:tag."""

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
    """The volume that holds sources: `file://` ones (`mountPath`), or those of an S3 prefix that it shows (`holds`)."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["mountPath"]}, {"required": ["holds"]}]},
    )

    volume: Annotated[dict[str, Any], beside(reach.named_volume)]
    """A Kubernetes volume with its name, as in `spec.volumes`. Mounted read-only: into the init container alone where
    the model is hydrated, into the model's containers where it is mounted."""
    mount_path: MountPath | None = None
    """Where the init container mounts it; the paths of `file://` sources begin with it."""
    holds: S3Prefix | None = None
    """The S3 prefix whose objects are its files, as Mountpoint for Amazon S3 or a linked FSx for Lustre shows them."""
    throughput: Throughput | None = None
    """Bytes a second that one node reads from it, a quantity (1200M). Default: what is usual for its kind."""

    @model_validator(mode="wrap")
    @classmethod
    def _one(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        value: Self = run_beside(raw, handler, reach.one_place(raw))
        return value


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
    """Required where `allow` or `source.value` holds a `file://` path, or where `delivery` is not hydrate."""
    allow: Annotated[list[AllowPattern], distinct("pattern")] | None = Field(
        default=None, json_schema_extra={"minItems": 1}
    )
    """Sources the pod may name: exact, or a prefix that ends in '*'. Required unless the source is a `value`."""
    files: FilesDocument | None = None
    """Which of the source's files are wanted. Default: all."""
    cache: CacheName | None = None
    """A NodeCache. Required unless nothing is hydrated: `delivery: mount`, or `oci://` sources alone."""
    delivery: Literal["hydrate", "mount", "auto"] = "hydrate"
    """hydrate: by way of the node's cache. mount: straight from `sourceVolume`. auto: what is ready sooner, by the
    model's size and its reader. An `oci://` source is always an image volume."""
    size: MaxSize | None = None
    """What the model takes, a quantity; for `delivery: auto` while no node is known to hold it."""
    zone: Zone | None = None
    """The zone that the source lies in: its id (use1-az4) or its name (us-east-1a). A directory bucket says its own."""
    zone_placement: Literal["Off", "Prefer", "Require"] = "Prefer"
    """Off: nothing. Prefer: weigh nodes of that zone. Require: only such nodes."""
    mount_path: MountPath
    """The model's files lie directly under it, read-only."""
    containers: Annotated[list[OwnName], distinct("container")] = Field(default=[])
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
