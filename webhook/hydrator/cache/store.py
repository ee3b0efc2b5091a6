"""A cache: the directory in which a node keeps the models of one tenant."""

from __future__ import annotations

import os
from contextlib import suppress
from types import TracebackType
from typing import Self

from webhook.hydrator.cache import layout, lease, lock, removal, stock, tree
from webhook.hydrator.cache.failure import explained
from webhook.hydrator.cache.model import Model
from webhook.hydrator.cache.pod import boot_id
from webhook.hydrator.cache.stock import Held

_LONGEST_LEASE = 366 * 86_400.0  # seconds; policies allow no longer one


class Cache:
    """The cache at `path`, made if it is not there. HydrationError DISK: it cannot be read and written."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        with explained(self.path, "open a cache"):
            # Not its parents: where they are missing the disk is not mounted, and another one would be filled.
            with suppress(FileExistsError):
                os.mkdir(self.path, tree.OPEN_MODE)
            self._opened = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with tree.file(layout.ROOM_LOCK, self._opened, os.O_RDWR | os.O_CREAT, 0o644):
                    pass  # it can be written, or here is why not
            except BaseException:
                os.close(self._opened)
                raise

    def model(self, directory: str) -> Model:
        """The model of a directory's name, whether or not there is anything of it. HydrationError USAGE: no name."""
        return Model(self.path, layout.checked_directory(directory), self._opened)

    def models(self) -> list[Held]:
        """The complete models: the version of each that `current` names. What cannot be read is passed over."""
        found = []
        with explained(self.path, "list a cache"):
            for directory, model in stock.models(self._opened):
                held = stock.held(directory, model)
                if held is not None:
                    found.append(held)
        return found

    def sweep(self) -> None:
        """Delete what nobody owns: trash, what other boots left behind, their leases. While room is made: nothing."""
        boot = boot_id()
        with explained(self.path, "clean a cache"), lock.room(self._opened, wait=False) as is_ours:
            if not is_ours:
                return
            for directory, model in stock.models(self._opened):
                with suppress(OSError):  # what cannot be cleaned stops nobody
                    self._sweep(directory, model, boot)
            removal.empty(self._opened)

    def _sweep(self, directory: str, model: int, boot: str) -> None:
        with lock.attempted(layout.LOCK, model) as is_ours:
            if not is_ours:
                return
            for staging in stock.stagings(directory, model):
                if not boot or staging.boot != boot:
                    with tree.directory(layout.STAGING, model) as stagings:
                        removal.throw(staging.name, stagings, self._opened)
            with lock.leases(model, wait=False) as leases:
                if leases is not None:
                    lease.clear(boot, _LONGEST_LEASE, leases)
                    for name in tree.names(model):
                        if name.startswith(layout.ASIDE):
                            removal.throw(name, model, self._opened)

    def close(self) -> None:
        """Let go of the cache. Its models are not to be used any more."""
        os.close(self._opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
