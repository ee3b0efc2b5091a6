"""Names of images and their sizes, each kept once however many nodes list it.

A cluster of 15,000 nodes repeats the same few hundred images in 750,000 entries of `node.status.images`.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakValueDictionary

from webhook.inventory.plan import Holding
from webhook.kube import image, names

LARGEST = 2**53
"""Sizes are cut to this: JSON readers hold no larger integer exactly."""

# What the runtimes put before the digest in `imageID`.
_SCHEMES = ("docker-pullable://", "docker://")


class ImageName:
    """One canonical name. `size` is the largest that any node's list gives it now, 0 when none does."""

    __slots__ = ("__weakref__", "_listed", "digest", "label", "name", "size")

    def __init__(self, name: str) -> None:
        self.name = name
        self.label = names.image_label(name)
        self.digest = name.partition("@")[2]
        self.size = 0
        self._listed: dict[int, int] = {}  # size: how many listed images have it

    def count(self, size: int, by: int) -> bool:
        """Count an image of this name and size in (1) or out (-1); whether `size` is another now."""
        left = self._listed.get(size, 0) + by
        if left:
            self._listed[size] = left
        else:
            del self._listed[size]
        before, self.size = self.size, max(self._listed, default=0)
        return self.size != before


class ListedImage:
    """One image as nodes list it: with at most five names, digests first, tags where there is room.

    `names` are canonical; `held` is what a node holds by listing it, made once for all nodes: a tag and a digest first,
    so that of an image of many names these two come by a label first. `digests` are without the repository.
    """

    __slots__ = ("__weakref__", "digests", "held", "listed_by", "names", "size")

    def __init__(self, names: tuple[ImageName, ...], size: int) -> None:
        self.names = names
        self.size = size
        self.held = tuple(
            Holding(name.label, "image", name.name, "", size, place // 2) for place, name in enumerate(names)
        )
        self.digests = frozenset(name.digest for name in names if name.digest)
        self.listed_by = 0


class ImageReference:
    """What a container ran: the names that stand for it. `tags` are those without a digest, `digest` is `imageID`'s."""

    __slots__ = ("__weakref__", "digest", "names", "tags")

    def __init__(self, names: tuple[ImageName, ...], digest: str) -> None:
        self.names = names
        self.tags = tuple(name for name in names if not name.digest)
        self.digest = digest

    @property
    def size(self) -> int:
        """The largest size that any node's list gives one of the names, 0 when none does."""
        return max((name.size for name in self.names), default=0)


class Images:
    """All names, images and references that somebody still holds."""

    def __init__(self) -> None:
        self._names: WeakValueDictionary[str, ImageName] = WeakValueDictionary()
        self._listed: WeakValueDictionary[tuple[int, tuple[str, ...]], ListedImage] = WeakValueDictionary()
        self._references: WeakValueDictionary[tuple[str, str, str], ImageReference] = WeakValueDictionary()
        self.resized: set[ImageName] = set()
        """Names whose size became another; whoever acts on them empties it."""

    def listed(self, texts: tuple[str, ...], size: int) -> ListedImage:
        """The image of these names, as a node spells them, and this size."""
        known = self._listed.get((size, texts))
        if known is None:
            canonical = sorted({name for text in texts if (name := _canonical(text))})
            digests = [name for name in canonical if "@" in name]
            tags = [name for name in canonical if "@" not in name]
            ranked = [name for pair in zip(tags, digests, strict=False) for name in pair]
            ranked += tags[len(digests) :] + digests[len(tags) :]
            known = ListedImage(tuple(self._name(name) for name in ranked), size)
            self._listed[size, texts] = known
        return known

    def reference(self, spec: str, status: str, image_id: str) -> ImageReference:
        """What a container ran: the image of its spec, and `image` and `imageID` of its status."""
        key = (spec, status, image_id)
        known = self._references.get(key)
        if known is None:
            digest = (_canonical(image_id) or "").partition("@")[2]
            # An image ID that names no digest says nothing that anybody asks for.
            texts = (spec, status, image_id) if digest else (spec, status)
            found = {name for text in texts if (name := _canonical(text))}
            known = ImageReference(tuple(self._name(name) for name in sorted(found)), digest)
            self._references[key] = known
        return known

    def recount(self, before: Iterable[ListedImage], now: Iterable[ListedImage]) -> None:
        """A node's list was `before` and is `now`."""
        for image_now in now:
            image_now.listed_by += 1
            if image_now.listed_by == 1:
                self._count(image_now, 1)
        for image_before in before:
            image_before.listed_by -= 1
            if not image_before.listed_by:
                self._count(image_before, -1)

    def _count(self, listed: ListedImage, by: int) -> None:
        for name in listed.names:
            if name.count(listed.size, by):
                self.resized.add(name)

    def _name(self, name: str) -> ImageName:
        known = self._names.get(name)
        if known is None:
            known = self._names[name] = ImageName(name)
        return known


def _canonical(text: str) -> str | None:
    """The canonical name; None for what names no image: `<none>:<none>`, and `sha256:…`, an ID that no pod can ask for.

    distribution would take that last one for a tag of the repository "sha256".
    """
    for scheme in _SCHEMES:
        text = text.removeprefix(scheme)
    if text.startswith(("sha256:", "sha384:", "sha512:")):
        return None
    return image.canonical(text)
