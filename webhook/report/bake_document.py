"""A bake plan as JSON: for programs, and for `warmpod bake check`, which reads back what was baked.

    {"schema": 1, "platform": "linux/amd64", "budgetBytes": 107374182400, "diskBytes": ..., "volumeGiB": ...,
     "savedSecondsPerNode": ..., "atMostSeconds": ..., "best": true,
     "baked": [{"kind": "image", "name": "docker.io/...", "digest": "sha256:...", "platformDigest": "sha256:...", ...}],
     "left": [{"kind": "image", "name": ..., "reason": "..."}]}

There is no time in it: the same facts give the same document.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from webhook.kube import Object, image
from webhook.policy.legibility import shown
from webhook.report.bake import Item, Plan

SCHEMA = 1
MOST_BYTES = 16 * 2**20
"""What is read of a plan; a longer one is refused."""


class UnreadablePlan(ValueError):
    """The bytes are no plan. The text says why."""


class Baked(msgspec.Struct, frozen=True, rename="camel"):
    """What is read back of one thing that was baked; digests are empty where they were not known."""

    kind: Literal["image", "model"]
    name: str
    digest: str = ""
    platform_digest: str = ""


class _Document(msgspec.Struct, frozen=True):
    schema: int
    baked: list[Baked]
    platform: str = "linux/amd64"


class Written(msgspec.Struct, frozen=True):
    """A plan, read back: for which platform it was made, and what was to be baked."""

    platform: str
    baked: tuple[Baked, ...]


_decoder = msgspec.json.Decoder(_Document)


def document(plan: Plan, *, platform: str, counted: str, nodes: int) -> Object:
    """The plan as JSON's values. `counted` says where starts come from, `nodes` how many nodes they fell on."""
    terms = plan.terms
    return {
        "schema": SCHEMA,
        "platform": platform,
        "counted": counted,
        "nodes": nodes,
        "budgetBytes": terms.budget,
        "imageBytesPerSecond": terms.image_rate,
        "modelBytesPerSecond": terms.model_rate,
        "unpackedFactor": terms.unpacked,
        "diskBytes": plan.disk,
        "volumeGiB": plan.volume_gib,
        "savedSecondsPerNode": round(plan.saved, 3),
        "atMostSeconds": round(plan.bound, 3),
        "best": plan.is_best,
        "baked": [_item(one) for one in plan.baked],
        "left": [_item(one) | {"reason": one.reason} for one in plan.left],
    }


def read(data: bytes) -> Written:
    """What a document says was baked. Raises UnreadablePlan, and nothing else, whatever the bytes are."""
    if len(data) > MOST_BYTES:
        raise UnreadablePlan(f"more than {MOST_BYTES >> 20} MiB")
    try:
        found = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadablePlan(f"not a plan of `warmpod bake plan --output json`: {error}") from None
    if found.schema != SCHEMA:
        raise UnreadablePlan(f"its schema is {found.schema}, this version reads {SCHEMA}")
    return Written(found.platform, tuple(map(_named, found.baked)))


def _named(one: Baked) -> Baked:
    """The same, an image by its canonical name: somebody may have written the plan by hand."""
    name = one.name if one.kind == "model" else image.canonical(one.name)
    if name is None:
        raise UnreadablePlan(f"{shown(one.name)!r} in it is no image reference")
    return msgspec.structs.replace(one, name=name)


def _item(item: Item) -> Object:
    told: Object = {"kind": item.kind, "name": item.name}
    if item.kind == "image":
        told |= {"digest": item.digest, "platformDigest": item.platform_digest}
    else:
        told |= {"tenant": item.tenant, "path": item.path}
    return told | {
        "starts": item.starts,
        "perNode": round(item.per_node, 6),
        "secondsPerPull": round(item.seconds, 3),
        "savedSecondsPerNode": round(item.saved, 3),
        "bytes": item.bytes,
        "diskBytes": item.disk,
        "sharedBytes": item.shared,
    }
