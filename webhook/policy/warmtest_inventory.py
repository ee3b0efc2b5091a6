"""What the nodes of a test hold, as people write it: in short, or a snapshot as the controller writes it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, WithJsonSchema, WrapValidator
from pydantic import ValidatorFunctionWrapHandler as Handler

from webhook.kube import image, quantity
from webhook.policy.allow import canonical_source
from webhook.policy.finding import Finding, refusal, unique
from webhook.policy.strict import Strict

_MINOR = r"^[0-9]{1,3}\.[0-9]{1,3}$"
_VERSION = re.compile(_MINOR[:-1])


def _image(text: str) -> str:
    found = image.canonical(text)
    if found is None:
        raise refusal(Finding("P014", "not an image reference"))
    return found


def _source(text: str) -> str:
    found = canonical_source(text)
    if found is None:
        raise refusal(Finding("P014", "not a model source", "write s3://bucket/prefix/ or file:///path/"))
    return found


def _size(value: Any) -> Any:
    try:
        bytes_ = quantity.parse(value)
    except quantity.InvalidQuantity:
        bytes_ = -1
    if isinstance(value, bool) or bytes_ < 0:
        raise refusal(Finding("P014", "must be a size", "write 9.8G or 16Gi"))
    return value


def _count(value: int) -> int:
    if value < 0:
        raise refusal(Finding("P014", "must not be negative"))
    return value


def _minor(text: str) -> str:
    if _VERSION.fullmatch(text) is None:
        raise refusal(Finding("P014", "must be a minor version", 'write "1.36"'))
    return text


ImageName = Annotated[str, AfterValidator(_image)]
SourceName = Annotated[str, AfterValidator(_source)]
Size = Annotated[Any, AfterValidator(_size), WithJsonSchema({"type": ["string", "integer"]})]
Count = Annotated[int, AfterValidator(_count), Field(json_schema_extra={"minimum": 0})]
MinorVersion = Annotated[str, AfterValidator(_minor), Field(json_schema_extra={"pattern": _MINOR})]


class TaintDocument(Strict):
    """A taint of a node."""

    key: str
    """Its key."""
    value: str = ""
    """Its value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """What it does to pods that do not tolerate it."""


class NodeDocument(Strict):
    """A node that could run the pod."""

    name: str = Field(min_length=1)
    """Its name, unique among the nodes."""
    images: list[ImageName] = Field(default=[])
    """Images it holds, as pods write them."""
    models: list[SourceName] = Field(default=[])
    """Sources of models it holds, for pods of the case's namespace."""
    labels: dict[str, str] = Field(default={})
    """Its labels. Where no node of the test has any, nobody knows the labels, and no selector rules a node out."""
    accelerators: dict[str, Count] = Field(default={"nvidia.com/gpu": 8})
    """How many devices of which resource a pod may be given."""
    free: dict[str, Count] = Field(default={})
    """How many of them are free now. Default: all."""
    taints: list[TaintDocument] = Field(default=[])
    """Its taints."""
    system: Literal["al2023", "al2", "bottlerocket", "other"] | None = None
    """Its operating system, which decides where local disks lie. Default: nobody knows it."""
    kubelet: MinorVersion | None = None
    """Its kubelet's minor version, such as "1.36". Default: nobody knows it."""


class InventoryDocument(Strict):
    """What the cluster's nodes hold, in short. The long form is a snapshot file's content, known by its `schema`."""

    nodes: Annotated[list[NodeDocument], unique("name")]
    """The nodes. An empty list is an inventory of a cluster without accelerator nodes."""
    sizes: dict[str, Size] = Field(default={})
    """Bytes on disk of an image or model, as the nodes name it. Default: 10G for an image, 16G for a model."""
    resource_claims: dict[str, list[str]] = Field(default={})
    """Device classes of the resource claims and claim templates of the case's namespace, by name."""
    volumes: dict[str, list[dict[str, Any]]] = Field(default={})
    """By PersistentVolumeClaim of the case's namespace: the required node selector terms of its PersistentVolume."""
    server: MinorVersion | None = None
    """The API server's minor version, such as "1.36". Default: nobody knows it."""
    id: str = Field(default="test", min_length=1, max_length=253)
    """What decisions call this inventory."""


class SnapshotDocument(Strict):
    """A snapshot as the controller writes it, or `warmpod images --output snapshot`."""

    model_config = ConfigDict(extra="allow")

    schema_: int = Field(alias="schema")
    """The version of its format."""


def _either_form(raw: Any, handler: Handler) -> Any:
    """The form that is meant. Pydantic's own union would tell the errors of both."""
    del handler
    form = SnapshotDocument if isinstance(raw, dict) and "schema" in raw else InventoryDocument
    try:
        return form.model_validate(raw)
    except ValidationError as error:
        raise refusal(fields=error) from None


AnyInventory = Annotated[InventoryDocument | SnapshotDocument, WrapValidator(_either_form)]
