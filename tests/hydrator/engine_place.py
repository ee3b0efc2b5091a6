"""A real tree to bring, a place to bring it to, and the few lines that every test of the engine begins with."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from webhook.hydrator.engine.layout import lay_out
from webhook.hydrator.engine.settling import settle
from webhook.hydrator.engine.sizing import Sizing
from webhook.hydrator.engine.transfer import Io, Outcome, Progress, transfer
from webhook.hydrator.plan import Filters, Plan
from webhook.hydrator.posix import PosixSource
from webhook.hydrator.source import Source
from webhook.hydrator.staged import Staged

MIB = 1 << 20
BOOT = "0b9d3f1c-5f0e-4a53-b6a4-7d0d9f1b8d5e"
TWO_BY_THREE = Sizing(2, 3)
MIXED = {
    "model-1.safetensors": 17 * MIB + 4097,
    "exact.bin": 8 * MIB,
    "odd.bin": 8 * MIB + 1,
    "deep/er/tokenizer.json": 123_457,
    "deep/config.json": 17,
    "deep/empty": 0,
    **{f"many/{index:03}": index * 97 for index in range(40)},
}


def grow(root: Path, sizes: Mapping[str, int], seed: int = 0) -> Path:
    """A tree of files with random bytes."""
    drawn = random.Random(seed)
    for path, size in sizes.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(drawn.randbytes(size))
    return root


def content(root: Path) -> dict[str, bytes]:
    """Every file of a tree."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


class Place(NamedTuple):
    """A staging directory."""

    root: Path

    @property
    def staged(self) -> Staged:
        return Staged(str(self.root / "data"), str(self.root / "journal"), str(self.root / "ballast"))

    @property
    def data(self) -> Path:
        return self.root / "data"

    def bring(
        self,
        source: Source,
        plan: Plan | None = None,
        *,
        io: Io = "auto",
        boot_id: str = BOOT,
        sizing: Sizing = TWO_BY_THREE,
        progress: Callable[[Progress], None] = lambda _progress: None,
        max_rate: float | None = None,
        attempts: int = 10,
    ) -> Outcome:
        """Lay out, transfer, settle."""
        plan = plan or source.plan()
        self.root.mkdir(parents=True, exist_ok=True)
        lay_out(plan, self.staged)
        outcome = transfer(
            source,
            plan,
            self.staged,
            boot_id=boot_id,
            sizing=sizing,
            io=io,
            progress=progress,
            max_rate=max_rate,
            attempts=attempts,
        )
        settle(plan, self.staged)
        return outcome


def tree_source(root: Path, filters: Filters = Filters()) -> PosixSource:  # noqa: B008  # immutable
    """The tree as a source."""
    return PosixSource(f"file://{root}/", filters)
