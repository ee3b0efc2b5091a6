"""The inventories that lie beside recorded admissions: which one a decision was made from, or the nearest to it."""

from __future__ import annotations

import gzip
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from webhook.inventory.model import Inventory
from webhook.inventory.records import Header
from webhook.inventory.snapshot import UnreadableSnapshot, decode
from webhook.sources.records import INVENTORY_PREFIX
from webhook.sources.snapshot_file import MAX_BYTES

How = Literal["exact", "nearest", "none"]

_MOST_HELD = 4  # decoded at a time: neighbouring records were decided from neighbouring inventories
_HEADER_BYTES = 64 * 1024
_header = msgspec.json.Decoder(Header)


class Found(NamedTuple):
    """The inventory for a record, and how far its time lies from the one that was used, in seconds."""

    inventory: Inventory | None
    how: How
    apart: float = 0.0


class _Kept(NamedTuple):
    time: float
    id: str
    path: Path


class RecordInventories:
    """The inventories beside records: in a directory, or beside one file. Unreadable ones are passed over."""

    def __init__(self, location: Path) -> None:
        directory = location if location.is_dir() else location.parent
        kept = map(_kept, sorted(directory.glob(f"{INVENTORY_PREFIX}*.jsonl*")))
        self._kept = sorted(each for each in kept if each is not None)
        self._by_id = {each.id: each for each in self._kept}
        self._held: OrderedDict[Path, Inventory | None] = OrderedDict()

    def find(self, identity: str, time: float) -> Found:
        """The inventory of this id, else the one whose time is nearest to `time`, in unix seconds."""
        exact = self._by_id.get(identity)
        if exact is not None and (inventory := self._read(exact.path)) is not None:
            return Found(inventory, "exact")
        for each in sorted(self._kept, key=lambda kept: abs(kept.time - time)):
            if (inventory := self._read(each.path)) is not None:
                return Found(inventory, "nearest", abs(each.time - time))
        return Found(None, "none")

    def node_names(self, since: float = 0.0, most: int = 64) -> frozenset[str]:
        """The nodes that some inventory names, not older than `since` in unix seconds: those there were meanwhile.

        Of many inventories `most` are read, evenly over their time.
        """
        kept = [each for each in self._kept if each.time >= since]
        found: set[str] = set()
        for each in kept[:: max(-(-len(kept) // most), 1)]:
            inventory = self._read(each.path)
            if inventory is not None:
                found.update(node.name for node in inventory.nodes)
        return frozenset(found)

    def _read(self, path: Path) -> Inventory | None:
        if path in self._held:
            self._held.move_to_end(path)
            return self._held[path]
        try:
            with _opened(path) as stream:
                data = stream.read(MAX_BYTES + 1)
            inventory = decode(data) if len(data) <= MAX_BYTES else None
        except (OSError, EOFError, zlib.error, UnreadableSnapshot):
            inventory = None
        self._held[path] = inventory
        if len(self._held) > _MOST_HELD:
            self._held.popitem(last=False)
        return inventory


def _kept(path: Path) -> _Kept | None:
    try:
        with _opened(path) as stream:
            header = _header.decode(stream.readline(_HEADER_BYTES))
    except (OSError, EOFError, zlib.error, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return _Kept(header.time.timestamp(), header.id, path)


def _opened(path: Path) -> gzip.GzipFile:
    if not path.is_file():
        raise OSError(None, "it is not a regular file")
    return gzip.GzipFile(path, "rb")
