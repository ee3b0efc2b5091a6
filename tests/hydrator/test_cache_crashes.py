"""Killed between any two system calls, a process leaves a cache that readers can trust and the next run can use."""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hydrator import caches
from tests.hydrator.caches import POD
from webhook.hydrator.cache import Cache, Pod, publication, reservation
from webhook.hydrator.cache.verification import verify
from webhook.hydrator.outcome import HydrationError

_LOADED = (ctypes, publication, reservation)  # the user that the tests go on as may not be allowed to read them
A, B = "s3://acme/a/", "s3://acme/b/"
OLD = {"config.json": b"old", "weights/part": b"o" * 5000, "weights/deep/empty": b""}
NEW = {"config.json": b"new", "weights/part": b"n" * 5000}
OTHER = {"weights": b"b" * 5000}
CAP = 8000  # one of them

# Everything by which the cache changes anything. Between two of them nothing changes that another process could see.
_CALLS = (
    "open", "mkdir", "rename", "unlink", "rmdir", "symlink", "write", "pwrite", "ftruncate", "fchmod", "chmod", "fsync",
    "utime",
)  # fmt: skip


@pytest.fixture
def root() -> Iterator[Path]:
    """A place where fsync(2) costs nothing: hundreds of caches are made.

    Modes of files bind us there, as they do a container without capabilities: who is root goes on as somebody else.
    """
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    was_root = os.geteuid() == 0
    if was_root:
        os.chown(place, 65532, 65532)
        os.seteuid(65532)
    yield place
    if was_root:
        os.seteuid(0)
    shutil.rmtree(place)


def killed_at(step: int, run: Callable[[], object]) -> bool:
    """Run it in a process that is killed before its call number `step`. Whether it was: else it came to its end."""

    def counted() -> None:
        count, opens = itertools.count(), os.open

        def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
            def counting(*arguments: Any, **named: Any) -> Any:
                changes = call is not opens or arguments[1] & os.O_CREAT
                if changes and next(count) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **named)

            return counting

        for name in _CALLS:
            setattr(os, name, wrapped(getattr(os, name)))
        run()

    code = caches.ended(caches.forked(counted))
    assert code in {0, -signal.SIGKILL}
    return code != 0


def nothing(_: Path) -> None:
    pass


def old(place: Path) -> None:
    with Cache(str(place)) as cache:
        caches.bring(cache, OLD, A, pod=None)


def both(place: Path) -> None:
    old(place)
    with Cache(str(place)) as cache:
        caches.bring(cache, NEW, A, pod=None)


def damaged(place: Path) -> None:
    old(place)
    with Cache(str(place)) as cache:
        model, plan = caches.bring(cache, NEW, A, pod=None)
        Path(model.path, "versions", plan.version, "data", "config.json").unlink()


def directory_in_the_way(place: Path) -> None:
    Path(place, caches.directory_of(A), "current").mkdir(parents=True)


def bring_new(place: Path) -> None:
    with Cache(str(place)) as cache:
        caches.bring(cache, NEW, A)


def bring_other(place: Path) -> None:
    with Cache(str(place)) as cache:
        caches.bring(cache, OTHER, B, max_size=CAP, lease=0.0)


def use_old(place: Path) -> None:
    with Cache(str(place)) as cache:
        assert cache.model(caches.directory_of(A)).use(caches.plan_of(OLD, A).version, POD)


def discard(place: Path) -> None:
    plan = caches.plan_of(NEW, A)
    with Cache(str(place)) as cache:
        model = cache.model(caches.directory_of(A))
        with model.lock(lambda _: None):
            staged = caches.reserve(model, plan).staged
            caches.fill(staged, NEW)
            model.discard(staged)


def sweep(place: Path) -> None:
    with Cache(str(place)) as cache:
        trash = Path(cache.path, "trash")
        (trash / "x" / "y").mkdir(parents=True, exist_ok=True)
        (trash / "x" / "y" / "z").write_text("z")
        cache.sweep()


def seen(place: Path, source: str) -> dict[str, bytes] | None:
    """What a pod would find that mounts `current` now."""
    current = place / caches.directory_of(source) / "current"
    if not current.is_symlink() or not current.exists():
        return None
    return {path: body for path, body in caches.tree_of(current).items() if isinstance(body, bytes)}


@pytest.mark.parametrize(
    ("before", "run", "readers_of_a"),
    [
        (nothing, bring_new, [None, NEW]),
        (directory_in_the_way, bring_new, [None, NEW]),
        (old, bring_new, [OLD, NEW]),
        (both, use_old, [NEW, OLD]),
        (both, bring_other, [NEW, None]),
        (both, discard, [NEW]),
        (old, sweep, [OLD]),
        (damaged, bring_new, [{path: body for path, body in NEW.items() if path != "config.json"}, None, NEW]),
    ],
    ids=["first", "directory", "second", "use", "evict", "discard", "sweep", "damaged"],
)
def test_killed_at_every_step(
    root: Path,
    before: Callable[[Path], None],
    run: Callable[[Path], None],
    readers_of_a: list[dict[str, bytes] | None],
) -> None:
    met: list[dict[str, bytes] | None] = []
    for step in itertools.count():
        place = root / str(step)
        place.mkdir()
        before(place)
        was_killed = killed_at(step, lambda place=place: run(place))  # type: ignore[misc]  # bound at once
        found = seen(place, A)
        assert found in readers_of_a, step
        met.append(found)
        assert seen(place, B) in (None, OTHER)
        if before is not damaged:
            try:
                assert verify(str(place), caches.crc64_many).damages == [], step
            except HydrationError as error:
                assert "holds no model" in error.message  # noqa: PT017  # it is so in some steps only
        run(place)
        with Cache(str(place)) as cache:
            cache.sweep()
            assert seen(place, A) == readers_of_a[-1], step
            assert caches.names(place / "trash") == []
            for directory in {held.directory for held in cache.models()} | {caches.directory_of(A)}:
                model = place / directory
                assert set(caches.names(model)) <= {"current", "leases", "lock", "progress", "staging", "versions"}
                assert not (model / "staging").exists() or caches.names(model / "staging") == []
                for version in (model / "versions").iterdir():
                    if "-" not in version.name:
                        assert caches.names(version) == ["data", "manifest.json"], step
                assert all(not name.startswith(".") for name in caches.names(model / "leases")), step
        shutil.rmtree(place)
        if not was_killed:
            break
    assert met[0] == readers_of_a[0]
    assert met[-1] == readers_of_a[-1]


def test_what_was_fetched_before_a_kill_is_there_for_the_next_run(root: Path) -> None:
    plan = caches.plan_of(NEW, A)

    def fetch() -> None:
        with Cache(str(root)) as cache:
            model = cache.model(caches.directory_of(A))
            with model.lock(lambda _: None):
                staged = caches.reserve(model, plan).staged
                Path(staged.journal).write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)

    assert caches.ended(caches.forked(fetch)) == -signal.SIGKILL
    with Cache(str(root)) as cache:
        cache.sweep()
        model = cache.model(caches.directory_of(A))
        with model.lock(lambda _: None):
            reserved = caches.reserve(model, plan)
            assert reserved.resumed
            assert Path(reserved.staged.journal).read_bytes() == b"half"


def _other_boot(staging: Path) -> None:
    place = staging / "reservation"
    place.write_text(place.read_text().replace('"boot": "', '"boot": "0'))


def _no_reservation(staging: Path) -> None:
    (staging / "reservation").unlink()


def _garbage(staging: Path) -> None:
    (staging / "reservation").write_bytes(b"\xff" * 100_000)


def _link(staging: Path) -> None:
    (staging / "data" / "config.json").unlink()
    (staging / "data" / "config.json").symlink_to("/etc/passwd")


def _linked_directory(staging: Path) -> None:
    shutil.rmtree(staging / "data" / "weights")
    (staging / "data" / "weights").symlink_to("/etc")


def _second_name(staging: Path) -> None:
    """Of a file of another model, which would be written over."""
    (staging / "data" / "config.json").unlink()
    os.link(staging.parent.parent.parent / "precious", staging / "data" / "config.json")


def _pipe(staging: Path) -> None:
    os.mkfifo(staging / "journal")


def _another_version(staging: Path) -> None:
    staging.rename(staging.with_name("0" * 32))


def _stray_file(staging: Path) -> None:
    shutil.rmtree(staging)
    staging.write_text("x")


@pytest.mark.parametrize(
    "spoil",
    [
        _other_boot, _no_reservation, _garbage, _link, _linked_directory, _second_name, _pipe, _another_version,
        _stray_file,
    ],
)  # fmt: skip
def test_a_staging_that_is_not_what_we_left_is_begun_anew(root: Path, spoil: Callable[[Path], None]) -> None:
    (root / "precious").write_text("precious")
    plan = caches.plan_of(NEW, A)
    with Cache(str(root)) as cache:
        model = cache.model(caches.directory_of(A))
        with model.lock(lambda _: None):
            staged = caches.reserve(model, plan).staged
            caches.fill(staged, NEW)
        spoil(Path(staged.data).parent)
        with model.lock(lambda _: None):
            again = caches.reserve(model, plan)
            assert not again.resumed
            assert caches.names(Path(model.path, "staging")) == [plan.version]
            caches.fill(again.staged, NEW)
            model.publish(plan, again.staged, caches.crc64(NEW), {})
        assert model.holds(plan)
    assert (root / "precious").read_text() == "precious"


def test_a_reboot_ends_stagings_and_leases(root: Path) -> None:
    with Cache(str(root)) as cache:
        model, plan = caches.bring(cache, OLD, A)
        with model.lock(lambda _: None):
            staged = caches.reserve(model, caches.plan_of(NEW, A)).staged
        cache.sweep()
        assert Path(staged.data).exists()
        assert caches.names(Path(model.path, "leases")) == [POD.key]
        for left in (Path(staged.data).parent / "reservation", Path(model.path, "leases", POD.key)):
            left.write_text(left.read_text().replace('"boot": "', '"boot": "0'))
        cache.sweep()
        assert caches.names(Path(model.path, "staging")) == []
        assert caches.names(Path(model.path, "leases")) == []
        assert model.holds(plan)


def test_trash_of_any_shape_is_deleted_and_nothing_beyond_it(root: Path) -> None:
    precious = root / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    trash = root / "trash"
    trash.mkdir()
    (trash / "link").symlink_to(precious)
    (trash / "file").write_text("x")
    os.mkfifo(trash / "pipe")
    opened = os.open(trash, os.O_RDONLY)
    for _ in range(3000):  # deeper than any path can be long
        os.mkdir("a" * 200, dir_fd=opened)
        below = os.open("a" * 200, os.O_RDONLY, dir_fd=opened)
        os.close(opened)
        opened = below
    os.symlink(precious, "link", dir_fd=opened)
    os.close(opened)
    (trash / "closed").mkdir()
    (trash / "closed" / "file").write_text("x")
    (trash / "closed").chmod(0)
    with Cache(str(root)) as cache:
        cache.sweep()
    assert caches.names(trash) == []
    assert (precious / "file").exists()


def test_readers_see_one_version_or_the_other_while_they_change(root: Path) -> None:
    old(root)

    def read() -> None:
        until = time.monotonic() + 0.5
        current = root / caches.directory_of(A) / "current"
        while time.monotonic() < until:
            mounted = os.open(current, os.O_RDONLY | os.O_DIRECTORY)
            try:
                opened = [os.open(path, os.O_RDONLY, dir_fd=mounted) for path in ("config.json", "weights/part")]
                assert [os.read(one, 9999) for one in opened] in (
                    [OLD["config.json"], OLD["weights/part"]],
                    [NEW["config.json"], NEW["weights/part"]],
                )
                for one in opened:
                    os.close(one)
            finally:
                os.close(mounted)

    readers = [caches.forked(read) for _ in range(2)]
    bring_new(root)
    versions = [caches.plan_of(files, A).version for files in (OLD, NEW)]
    with Cache(str(root)) as cache:
        model = cache.model(caches.directory_of(A))
        while not os.waitpid(readers[0], os.WNOHANG)[0]:
            for version in versions:
                assert model.use(version, Pod("", "reader"))
    assert caches.ended(readers[1]) == 0
