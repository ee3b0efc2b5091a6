"""One model's directory in a cache: what it holds, who may write it, and how a version gets there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from webhook.hydrator.cache import clock, current, layout, lease, lock, manifest, progress, removal, room, tree
from webhook.hydrator.cache.failure import explained
from webhook.hydrator.cache.manifest import InvalidManifest, Manifest
from webhook.hydrator.cache.pod import Pod, boot_id
from webhook.hydrator.cache.progress import OwnersProgress
from webhook.hydrator.cache.stock import Held, Reservation
from webhook.hydrator.outcome import FULL
from webhook.hydrator.plan import Plan
from webhook.hydrator.staged import Staged


class Model:
    """One model in a cache. Every method raises HydrationError DISK where the disk does not do as it is told.

    `path` is the directory's; `cache` is a descriptor of the cache, which whoever made this closes.
    """

    def __init__(self, root: str, directory: str, cache: int) -> None:
        self.path = os.path.join(root, directory)
        self.directory = directory
        self._root = root
        self._cache = cache
        self._owner = ""
        self._progress: int | None = None
        self._boot_id: str | None = None

    def holds(self, plan: Plan) -> bool:
        """Whether the plan's version is published: manifest readable, every file there with its size."""
        version = plan.version
        try:
            with self._open() as model, tree.directory(f"{layout.VERSIONS}/{version}", model) as opened:
                found = manifest.read(opened)
                if (found.version, found.files, found.bytes) != (version, len(plan.files), plan.bytes):
                    return False
                with tree.directory(layout.DATA, opened) as data:
                    return _has_all(plan, data)
        except (OSError, InvalidManifest):
            return False

    def current(self) -> Manifest | None:
        """What `current` names, taken as it is; None where it names no version with a readable manifest."""
        try:
            with self._open() as model:
                version = current.read(model)
                if version is None:
                    return None
                with tree.directory(f"{layout.VERSIONS}/{version}", model) as opened:
                    found = manifest.read(opened)
                    return found if found.version == version and tree.exists(layout.DATA, opened) else None
        except (OSError, InvalidManifest):
            return None

    def use(self, version: str, pod: Pod) -> bool:
        """Give a version to a pod: lease it, mark it as used, have `current` name it.

        False, and nothing done, where it was evicted meanwhile: it has to be brought anew. A disk so full that it has
        no room for a lease does not stop a pod whose model is there.
        """
        with explained(self.path, "lease a version"), ExitStack() as held:
            try:
                model = held.enter_context(self._open())
                leases = held.enter_context(lock.leases(model))
                assert leases is not None  # it was waited for
                opened = held.enter_context(tree.directory(f"{layout.VERSIONS}/{version}", model))
                manifest.read(opened)
            except (FileNotFoundError, InvalidManifest):
                return False
            clock.touch(layout.MANIFEST, opened, self._cache)
            try:
                lease.write(pod, version, self._boot(), leases)
            except OSError as error:
                if error.errno not in FULL:
                    raise
            current.point(version, model)
        return True

    @contextmanager
    def lock(self, waiting: Callable[[OwnersProgress | None], None], owner: str = "") -> Iterator[None]:
        """Be the one who writes this model, for as long as this and every process forked meanwhile goes on.

        `waiting` is called every 0.2 s while another is; `owner` is the name under which the others see us.
        """
        with ExitStack() as held:
            with explained(self.path, "lock a model"):
                model = held.enter_context(tree.made(self.directory, self._cache))
                held.enter_context(lock.awaited(layout.LOCK, model, lambda: waiting(progress.read(model))))
            self._owner = owner
            self._progress = held.enter_context(progress.kept(owner, model))
            held.callback(self._stop_telling)
            yield

    def tell(self, done: int, total: int, rate: float) -> None:
        """Tell those who wait how far we are: bytes, bytes, bytes per second. The lock is held; never fails."""
        if self._progress is not None:
            progress.write(self._progress, self._owner, done, total, rate)

    def reserve(
        self,
        plan: Plan,
        *,
        keep_free: room.KeepFree,
        max_size: int | None,
        lease_seconds: float,
        lay_out: Callable[[Plan, Staged], None],
        evicted: Callable[[Held], None],
    ) -> Reservation:
        """Make room for a plan and lay it out; the lock is held. HydrationError NO_ROOM, or what `lay_out` raises.

        `evicted` is told of each model that had to go, also where there is not room enough in the end.
        """
        from webhook.hydrator.cache import eviction, reservation  # noqa: PLC0415  # a hit does without

        place = eviction.Place(self._cache, self.directory, plan.version, self._boot(), lease_seconds)
        wish = reservation.Wish(plan, keep_free, max_size, lay_out, evicted)
        staged = layout.staged(self._root, self.directory, plan.version)
        with explained(self.path, "make room"), self._open() as model:
            return reservation.reserve(place, wish, staged, model)

    def publish(self, plan: Plan, staged: Staged, crc64: Mapping[str, int], facts: Mapping[str, object]) -> None:
        """Make the staged version one that readers find; the lock is held, the files' bytes are durable.

        `crc64` holds the CRC64NVME of every path; `facts` are kept in the manifest, JSON as they are.
        """
        from webhook.hydrator.cache import publication  # noqa: PLC0415  # a hit does without

        assert staged == layout.staged(self._root, self.directory, plan.version)
        with explained(self.path, "publish a version"), self._open() as model:
            publication.publish(plan, crc64, facts, model, self._cache)

    def discard(self, staged: Staged) -> None:
        """Give up what was staged, and its room; the lock is held."""
        version = os.path.basename(os.path.dirname(staged.data))
        with explained(self.path, "delete what was staged"), self._open() as model:
            with suppress(FileNotFoundError), tree.directory(layout.STAGING, model) as stagings:
                removal.throw(version, stagings, self._cache)
            with lock.room(self._cache):
                removal.empty(self._cache)

    @contextmanager
    def _open(self) -> Iterator[int]:
        with tree.directory(self.directory, self._cache) as model:
            yield model

    def _boot(self) -> str:
        if self._boot_id is None:
            self._boot_id = boot_id()
        return self._boot_id

    def _stop_telling(self) -> None:
        self._progress = None


def _has_all(plan: Plan, data: int) -> bool:
    """Whether every file of a plan lies below a directory, with its size, reached by no link. Made to be quick."""
    last, parent, opened = "", data, -1
    look, is_file, kind = os.stat, stat.S_IFREG, 0o170000
    try:
        for path, size, _, _ in plan.files:
            above, _, name = path.rpartition("/")
            if above != last:
                if opened >= 0:
                    os.close(opened)
                    opened = -1
                with tree.directory(above, data) as found:
                    opened = os.dup(found)
                last, parent = above, opened if above else data
            status = look(name, dir_fd=parent, follow_symlinks=False)
            if status.st_size != size or status.st_mode & kind != is_file:
                return False
    finally:
        if opened >= 0:
            os.close(opened)
    return True
