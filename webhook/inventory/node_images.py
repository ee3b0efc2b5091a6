"""Which images a node holds: what its status lists, and what its pods prove beyond that list.

`node.status.images` is sorted by size, largest first, and cut (50 images, nodeStatusMaxImages), and up to 40 s old. So
an image that is not in it may well be there. docs/inventory.md has the rules and where the facts come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from webhook.inventory.images import LARGEST, ImageName, ImageReference, Images, ListedImage
from webhook.inventory.objects import ContainerImage
from webhook.inventory.plan import Holding


class Listing(NamedTuple):
    """A node's list: the images that are large enough to matter, and what follows for one that is not in it.

    `reach` is the size above which an image that is not listed is not there: the smallest size of a full list, -1 where
    the list names every image, LARGEST where it says nothing.
    """

    images: tuple[ListedImage, ...]
    reach: int


NOTHING_KNOWN = Listing((), LARGEST)


class Use(NamedTuple):
    """A container of a pod on the node that ran an image. `started` in unix seconds, 0 when not known."""

    reference: ImageReference
    running: bool
    started: float


_images = msgspec.json.Decoder(list[ContainerImage] | None)
_entries = msgspec.json.Decoder(list[msgspec.Raw] | None)
_entry = msgspec.json.Decoder(ContainerImage)


def listing(raw: bytes | msgspec.Raw, images: Images, *, most: int, least: int) -> Listing:
    """What a node's `status.images` says. `most` is nodeStatusMaxImages; images below `least` bytes are left out.

    An entry that is none is passed over; a list that is none says nothing of what the node holds.
    """
    try:
        found = _images.decode(raw) or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            found = [entry for each in _entries.decode(raw) or () if (entry := _read(each)) is not None]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return NOTHING_KNOWN
    kept = {
        images.listed(tuple(entry.names), min(entry.size_bytes, LARGEST)): None
        for entry in found
        if entry.size_bytes >= least and entry.names
    }
    is_full = 0 <= most <= len(found)
    return Listing(tuple(kept), max(0, min((entry.size_bytes for entry in found), default=LARGEST)) if is_full else -1)


def held(
    listing: Listing, uses: Iterable[Use], former: Mapping[ImageReference, Use], *, least: int
) -> dict[str, Holding]:
    """What the node holds of `least` bytes or more, by label.

    `uses` are those of the pods on the node, `former` those of pods that went so lately that the kubelet's garbage
    collection leaves their images alone. A tag stands for the digest that most recently ran by it here; where none
    did, or nobody says which, for what the list gives it.
    """
    listed: dict[str, Holding] = {}
    sizes: dict[str, int] = {}
    for image in listing.images:
        for holding in image.held:
            if listed.setdefault(holding.label, holding) is not holding:
                _raise(listed, holding)
        for digest in image.digests:
            sizes[digest] = max(image.size, sizes.get(digest, 0))
    found = dict(listed)
    latest: dict[ImageName, tuple[float, str]] = {}
    present: list[tuple[ImageReference, int]] = []
    for use in (*uses, *former.values()):
        size = _size(use, sizes, listed, listing.reach)
        if size is not None:
            present.append((use.reference, size))
        elif use.reference in former:
            continue  # nothing keeps its image any more, so the tag may have moved on
        if use.reference.digest:
            ran = (use.started, use.reference.digest)
            for tag in use.reference.tags:
                latest[tag] = max(ran, latest.get(tag, ran))
    here: dict[str, int] = {}
    for reference, size in present:
        here[reference.digest] = max(size, here.get(reference.digest, 0))
        if size >= least:
            for name in reference.names:
                _raise(found, _holding(name, size, listed))
    for tag, (_, digest) in latest.items():
        size = here.get(digest)
        if size is not None and size >= least:
            found[tag.label] = _holding(tag, size, listed)
        else:
            found.pop(tag.label, None)
    return found


def _size(use: Use, sizes: Mapping[str, int], listed: Mapping[str, Holding], reach: int) -> int | None:
    """The bytes of the image that a container ran, None when it is not on the node any more."""
    reference = use.reference
    if reference.digest in sizes:
        return sizes[reference.digest]
    if use.running:
        return reference.size
    if not reference.digest:
        known = [listed[name.label].bytes for name in reference.names if name.label in listed]
        if known:
            return max(known)
    # Not listed: gone when the list would have it.
    return reference.size if reference.size <= reach else None


def _holding(name: ImageName, size: int, listed: Mapping[str, Holding]) -> Holding:
    """One that all nodes share, where the list has it with this size."""
    known = listed.get(name.label)
    if known is not None and known.bytes == size and not known.tier:
        return known
    return Holding(name.label, "image", name.name, "", size)


def _raise(found: dict[str, Holding], holding: Holding) -> None:
    """Of two the larger counts, and the lower tier."""
    before = found.setdefault(holding.label, holding)
    if before is not holding and (before.bytes < holding.bytes or before.tier > holding.tier):
        size, tier = max(before.bytes, holding.bytes), min(before.tier, holding.tier)
        found[holding.label] = before._replace(bytes=size, tier=tier)


def _read(raw: msgspec.Raw) -> ContainerImage | None:
    try:
        return _entry.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
