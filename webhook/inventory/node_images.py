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


class HeldImage(NamedTuple):
    """What a node holds under one name. `tier` 0 are the first tag and the first digest of an image."""

    bytes: int
    tier: int


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
) -> dict[ImageName, HeldImage]:
    """What the node holds of `least` bytes or more, by name.

    `uses` are those of the pods on the node, `former` those of pods that went so lately that the kubelet's garbage
    collection leaves their images alone. A tag stands for the digest that most recently ran by it here; where none
    did, or nobody says which, for what the list gives it.
    """
    found: dict[ImageName, HeldImage] = {}
    sizes: dict[str, int] = {}
    for image in listing.images:
        for place, name in enumerate(image.names):
            _raise(found, name, image.size, place // 2)
        for digest in image.digests:
            sizes[digest] = max(image.size, sizes.get(digest, 0))
    known: dict[ImageName, int] = {name: each.bytes for name, each in found.items()}
    latest: dict[ImageName, tuple[float, str]] = {}
    present: list[tuple[ImageReference, int]] = []
    for use in (*uses, *former.values()):
        size = _size(use, sizes, known, listing.reach)
        if size is not None:
            present.append((use.reference, size))
        elif use.reference in former:
            continue  # nothing keeps its image any more, so the tag may have moved on
        if use.reference.digest:
            ran = (use.started, use.reference.digest)
            for tag in use.reference.tags:
                latest[tag] = max(ran, latest.get(tag, ran))
    for reference, size in present:
        for name in reference.names:
            if name.digest or name not in latest:
                _raise(found, name, size, 0)
    here = {reference.digest: size for reference, size in sorted(present, key=_by_size)}
    for tag, (_, digest) in latest.items():
        size = here.get(digest)
        if size is not None:
            found[tag] = HeldImage(size, 0)
        else:
            found.pop(tag, None)
    return {name: image for name, image in found.items() if image.bytes >= least}


def _size(use: Use, sizes: Mapping[str, int], known: Mapping[ImageName, int], reach: int) -> int | None:
    """The bytes of the image that a container ran, None when it is not on the node any more."""
    reference = use.reference
    if reference.digest in sizes:
        return sizes[reference.digest]
    if use.running:
        return reference.size
    if not reference.digest:
        listed = [known[name] for name in reference.names if name in known]
        if listed:
            return max(listed)
    # Not listed: gone when the list would have it.
    return reference.size if reference.size <= reach else None


def _by_size(item: tuple[ImageReference, int]) -> int:
    return item[1]


def _raise(found: dict[ImageName, HeldImage], name: ImageName, size: int, tier: int) -> None:
    before = found.get(name, HeldImage(size, tier))
    found[name] = HeldImage(max(size, before.bytes), min(tier, before.tier))


def _read(raw: msgspec.Raw) -> ContainerImage | None:
    try:
        return _entry.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
