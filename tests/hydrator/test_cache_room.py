"""Room is counted before the first byte and made of what nobody needs; where there is none, nothing changes."""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hydrator import caches
from tests.hydrator.caches import POD
from webhook.hydrator.cache import Cache, Held, KeepFree, Pod, parse_keep_free, removal
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import Plan
from webhook.hydrator.staged import Staged

MIB = 1 << 20
A, B, C = ("s3://acme/a/", "s3://acme/b/", "s3://acme/c/")
NOBODY = 0.0  # a lease that lasts no time: whoever had one has ended


def weights(mark: str, size: int = MIB) -> dict[str, bytes]:
    return {"weights": mark.encode() * size, "config.json": mark.encode()}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(str(tmp_path / "cache")) as opened:
        yield opened


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A filesystem of 24 MiB, ext4, which is ours alone."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    image, place = tmp_path_factory.mktemp("image") / "image", tmp_path_factory.mktemp("disk")
    with image.open("wb") as out:
        out.truncate(24 * MIB)
    try:
        subprocess.run(
            ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image)], check=True, capture_output=True
        )
        subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no loop-mounted ext4 here: {error}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def full(disk: Path, request: pytest.FixtureRequest) -> Iterator[Cache]:
    with Cache(str(disk / f"{abs(hash(request.node.name)):x}")) as opened:
        yield opened
    subprocess.run(["rm", "-rf", opened.path], check=True)


def listed(cache: Cache) -> set[str]:
    return {held.source for held in cache.models()}


def refused(cache: Cache, source: str, mark: str = "x", **limits: float) -> HydrationError:
    with pytest.raises(HydrationError) as caught:
        caches.bring(cache, weights(mark), source, **limits)  # type: ignore[arg-type]  # limits of either type
    assert caught.value.exit_code is Exit.NO_ROOM
    return caught.value


def test_three_models_in_a_cache_that_holds_two_and_the_one_used_last_stays(cache: Cache) -> None:
    size = 2 * MIB + MIB // 2
    first, plan = caches.bring(cache, weights("a"), A, max_size=size, lease=NOBODY)
    caches.bring(cache, weights("b"), B, max_size=size, lease=NOBODY)
    assert first.use(plan.version, POD)
    caches.bring(cache, weights("c"), C, max_size=size, lease=NOBODY)
    assert listed(cache) == {A, C}
    caches.bring(cache, weights("b"), B, max_size=size, lease=NOBODY)
    assert listed(cache) == {B, C}
    assert caches.names(Path(cache.path, "trash")) == []
    assert caches.names(first.path) == ["leases", "lock", "progress", "staging", "versions"]


def test_who_was_evicted_is_told_and_only_models_that_went(cache: Cache) -> None:
    caches.bring(cache, weights("o"), A)
    model, plan = caches.bring(cache, weights("a"), A)
    caches.bring(cache, weights("b"), B)
    wanted = caches.plan_of(weights("c"), C)
    third = cache.model(caches.directory_of(C))
    with third.lock(lambda _: None):
        evicted: list[Held] = []
        reserved = caches.reserve(third, wanted, max_size=3 * MIB + MIB // 2, lease=NOBODY, evicted=evicted)
        assert evicted == []  # an old version of A had to go, but A did not
        third.discard(reserved.staged)
        caches.reserve(third, wanted, max_size=2 * MIB + MIB // 2, lease=NOBODY, evicted=evicted)
    assert [(held.source, held.version, held.directory) for held in evicted] == [(A, plan.version, model.directory)]
    assert listed(cache) == {B}


def test_what_is_left_behind_goes_before_any_version(cache: Cache) -> None:
    caches.bring(cache, weights("a"), A, pod=None)
    other = cache.model(caches.directory_of(B))
    with other.lock(lambda _: None):
        caches.reserve(other, caches.plan_of(weights("b"), B))
    assert caches.names(Path(other.path, "staging"))
    caches.bring(cache, weights("c"), C, max_size=2 * MIB + MIB // 2)
    assert listed(cache) == {A, C}
    assert caches.names(Path(other.path, "staging")) == []


def test_a_leased_model_stays_and_the_message_says_who_has_it(cache: Cache) -> None:
    caches.bring(cache, weights("a"), A)
    caches.bring(cache, weights("b"), B, pod=Pod("", "server-7"))
    before = caches.tree_of(cache.path)
    error = refused(cache, C, max_size=2 * MIB + MIB // 2)
    missing = 3 * (MIB + 1) - (2 * MIB + MIB // 2)
    assert f"{missing:,} bytes" in error.message
    assert f"{A!r} (1.05 MB, leased by pod 'trainer-0' for 24 h 0 min yet)" in error.message
    assert "leased by pod 'server-7'" in error.message
    assert "lie elsewhere on the disk" in error.message
    assert "maxSize" in error.hint
    assert "(lease)" in error.hint
    after = caches.tree_of(cache.path)
    ours = caches.directory_of(C)
    assert {path: body for path, body in after.items() if not path.startswith(ours)} == before
    assert "/versions/" not in " ".join(path for path in after if path.startswith(ours))


def _descriptor(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


def _mapping(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)


@pytest.mark.parametrize("held", [_descriptor, _mapping])
def test_a_model_that_a_process_has_open_or_mapped_stays(cache: Cache, held: Callable[[Path], int | mmap.mmap]) -> None:
    model, _ = caches.bring(cache, weights("a"), A, pod=None)
    keeper = held(Path(model.path, "current", "weights"))
    try:
        error = refused(cache, B, max_size=MIB + MIB // 2, lease=NOBODY)
        assert "open in a process of this node" in error.message
        assert listed(cache) == {A}
    finally:
        if isinstance(keeper, int):
            os.close(keeper)
        else:
            keeper.close()
    caches.bring(cache, weights("b"), B, max_size=MIB + MIB // 2, lease=NOBODY)
    assert listed(cache) == {B}


def test_looking_for_open_files_disturbs_nobody_who_opens_them(cache: Cache) -> None:
    """Who opens a file under a lease has its holder told by a signal, which by default ends the process."""
    model, _ = caches.bring(cache, weights("a", 1000) | {f"f{i}": b"x" for i in range(300)}, A, pod=None)
    script = (
        "import os, sys\nwhile True:\n for n in os.listdir(sys.argv[1]): os.close(os.open(sys.argv[1] + '/' + n, 0))\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(model.path, "current"))], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(20):
            try:
                caches.bring(cache, weights("b"), B, max_size=MIB + 100, lease=NOBODY)
                break
            except HydrationError as error:
                assert error.exit_code is Exit.NO_ROOM  # noqa: PT017  # it may or may not be open at that moment
    finally:
        reader.kill()
        reader.wait()


def test_a_model_that_is_opened_while_it_goes_comes_back(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = caches.bring(cache, weights("a"), A, pod=None)
    real, opened = removal.throw, []

    def throw(name: str, parent: int, trash: int) -> str:
        opened.append(os.open(Path(model.path, "current", "weights"), os.O_RDONLY))  # after we looked
        return real(name, parent, trash)

    monkeypatch.setattr(removal, "throw", throw)
    error = refused(cache, B, max_size=MIB + MIB // 2, lease=NOBODY)
    os.close(opened[0])
    assert "open in a process of this node" in error.message
    assert listed(cache) == {A}


def test_a_model_that_is_being_given_to_a_pod_stays(cache: Cache) -> None:
    model, _ = caches.bring(cache, weights("a"), A, pod=None)
    leases = os.open(Path(model.path, "leases"), os.O_RDONLY)
    fcntl.flock(leases, fcntl.LOCK_EX)
    error = refused(cache, B, max_size=MIB + MIB // 2, lease=NOBODY)
    assert "it is being given to a pod" in error.message
    os.close(leases)
    caches.bring(cache, weights("b"), B, max_size=MIB + MIB // 2, lease=NOBODY)
    assert listed(cache) == {B}


def test_leases_that_ended_do_not_pile_up(cache: Cache) -> None:
    model, plan = caches.bring(cache, weights("a", 10), A)
    for number in range(5):
        model.use(plan.version, Pod("", f"pod-{number}"))
    caches.bring(cache, weights("o"), B)
    caches.bring(cache, weights("b"), B, max_size=MIB + MIB // 2, lease=NOBODY)
    assert caches.names(Path(model.path, "leases")) == []


def test_a_model_that_is_being_brought_stays(cache: Cache) -> None:
    caches.bring(cache, weights("a"), A, pod=None)
    other = cache.model(caches.directory_of(A))
    with other.lock(lambda _: None):
        staged = caches.reserve(other, caches.plan_of(weights("n"), A)).staged
        error = refused(cache, B, max_size=2 * MIB + MIB // 2, lease=NOBODY)
        assert error.message.count("it is being brought") == 2
        assert Path(staged.data, "weights").exists()
    caches.bring(cache, weights("b"), B, max_size=2 * MIB + MIB // 2, lease=NOBODY)


def test_the_owner_may_evict_the_old_version_of_its_own_model(cache: Cache) -> None:
    caches.bring(cache, weights("o"), A, pod=None)
    model, plan = caches.bring(cache, weights("n"), A, max_size=MIB + MIB // 2)
    assert caches.names(Path(model.path, "versions")) == [plan.version]


def test_a_model_larger_than_the_cache_may_be_evicts_nothing(cache: Cache) -> None:
    caches.bring(cache, weights("a", 1000), A, pod=None)
    error = refused(cache, B, max_size=MIB // 2, lease=NOBODY)
    assert "what could go is 1.00 kB, too little" in error.message
    assert listed(cache) == {A}


def test_a_lease_ends_with_its_time_or_its_boot(cache: Cache) -> None:
    model, _ = caches.bring(cache, weights("a"), A)
    place = Path(model.path, "leases", POD.key)
    text = place.read_text()
    for spoilt in (
        re.sub(r'"since": [0-9.]+', '"since": 0.5', text) if time.clock_gettime(time.CLOCK_BOOTTIME) > 3 else "",
        re.sub(r'"since": [0-9.]+', '"since": 1e18', text),  # of no boot that ended already
        re.sub(r'"since": [0-9.]+', '"since": NaN', text),
        re.sub(r'"boot": "', '"boot": "another', text),
        "{",
        "[" * 100_000,
        "",
    ):
        place.write_text(spoilt)
        caches.bring(cache, weights("b"), B, max_size=MIB + MIB // 2, lease=2.0, pod=None)
        assert listed(cache) == {B}
        caches.bring(cache, weights("a"), A, max_size=MIB + MIB // 2, lease=2.0)
        assert "since" in place.read_text()


@pytest.mark.parametrize("step", [10**9 * 86_400 * 365, -(10**9) * 86_400 * 365], ids=["forward", "back"])
def test_a_clock_that_jumps_does_not_change_who_was_used_last(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    size = 2 * MIB + MIB // 2
    real = time.time_ns
    caches.bring(cache, weights("a"), A, max_size=size, pod=None)
    monkeypatch.setattr(time, "time_ns", lambda: real() + step)
    model, plan = caches.bring(cache, weights("b"), B, max_size=size)
    monkeypatch.setattr(time, "time_ns", real)
    assert cache.model(caches.directory_of(A)).use(caches.plan_of(weights("a"), A).version, POD)
    caches.bring(cache, weights("c"), C, max_size=size, lease=NOBODY)
    assert not model.holds(plan)
    assert listed(cache) == {A, C}


def test_a_filesystem_that_tells_nothing_of_open_files_is_told_of(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS does, which cannot be had here: the kernel's answer to a lease of a kind that there is none of."""
    monkeypatch.setattr(fcntl, "F_WRLCK", 99)
    caches.bring(cache, weights("a"), A)
    error = refused(cache, B, max_size=MIB + MIB // 2)
    assert "does not tell" not in error.message  # it was not asked: the lease was enough
    caches.bring(cache, weights("c", 1000), C, pod=None)
    error = refused(cache, B, max_size=MIB + MIB // 2)
    assert "its filesystem does not tell which files are open: only leases of pods and locks count" in error.message
    caches.bring(cache, weights("b"), B, max_size=MIB + MIB // 2, lease=NOBODY)
    assert listed(cache) == {B} or listed(cache) == {B, C}


def test_unreadable_directories_are_seen_but_stop_nobody(cache: Cache) -> None:
    odd = Path(cache.path, caches.directory_of(A))
    odd.mkdir()
    (odd / "versions").write_text("no directory")
    (odd / "staging").symlink_to("/etc")
    (odd / "leases").mkdir()
    Path(cache.path, caches.directory_of(B)).symlink_to("/etc")
    Path(cache.path, "0123456789abcdef").write_text("no directory")
    Path(cache.path, "lost+found").mkdir()
    caches.bring(cache, weights("c"), C, max_size=2 * MIB)
    assert listed(cache) == {C}
    cache.sweep()
    for source in (A, B):
        with pytest.raises(HydrationError) as caught:
            caches.bring(cache, weights("x"), source)
        assert caught.value.exit_code is Exit.DISK


def test_room_is_what_is_free_less_what_must_stay_free(full: Cache) -> None:
    status = os.statvfs(full.path)
    size, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
    keep = parse_keep_free("50%")
    plan = caches.plan_of_size(free - size // 2 + 4 * MIB, A)
    model = full.model(caches.directory_of(A))
    with model.lock(lambda _: None):
        with pytest.raises(HydrationError) as caught:
            caches.reserve(model, plan, keep_free=keep)
        found = re.search(r"([0-9,]+) bytes \([^)]*\) are missing", caught.value.message)
        assert found is not None
        assert 4 * MIB <= int(found[1].replace(",", "")) < 4 * MIB + MIB // 4
        assert "must stay free" in caught.value.message
        fitting = caches.plan_of_size(free - size // 2 - MIB // 4, A)
        staged = caches.reserve(model, fitting, keep_free=keep).staged
        assert os.statvfs(full.path).f_bavail * status.f_frsize >= size // 2
        model.discard(staged)
    assert os.statvfs(full.path).f_bavail * status.f_frsize >= free - MIB // 4


def test_a_filesystem_that_takes_no_more_files_says_so(full: Cache) -> None:
    left = os.statvfs(full.path).f_favail
    plan = caches.plan_of({f"{number}": b"" for number in range(left + 1)}, A)
    model = full.model(caches.directory_of(A))
    with model.lock(lambda _: None), pytest.raises(HydrationError, match="inodes are missing") as caught:
        caches.reserve(model, plan)
    assert caught.value.exit_code is Exit.NO_ROOM


def test_a_full_disk_evicts_what_nobody_uses_and_keeps_what_it_said(full: Cache) -> None:
    free = os.statvfs(full.path).f_bavail * os.statvfs(full.path).f_frsize
    third = free // 3
    for source in (A, B, C):
        caches.bring(full, {"weights": b"w" * (third + third // 8)}, source, lease=NOBODY)
    assert listed(full) == {B, C}


def test_a_reservation_that_came_to_be_is_kept_and_resumed(full: Cache) -> None:
    free = os.statvfs(full.path).f_bavail * os.statvfs(full.path).f_frsize
    plan = caches.plan_of_size(free - MIB, A)
    model = full.model(caches.directory_of(A))
    with model.lock(lambda _: None):
        first = caches.reserve(model, plan)
        Path(first.staged.journal).write_text("x")
    with model.lock(lambda _: None):
        again = caches.reserve(model, plan)
    assert (first.resumed, again.resumed) == (False, True)
    assert Path(again.staged.journal).read_text() == "x"


_CHILD = """
import sys
from tests.hydrator import caches
from webhook.hydrator.cache import Cache
path, source, size, thinly = sys.argv[1:]
cache = Cache(path)
model = cache.model(caches.directory_of(source))
plan = caches.plan_of_size(int(size), source)
with model.lock(lambda _: None):
    try:
        model.reserve(plan, keep_free=caches.KEEP, max_size=None, lease_seconds=0.0,
                      lay_out=caches.lay_out_thinly if thinly == "True" else caches.lay_out, evicted=caches.unheard)
        print("reserved", flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("thinly", [False, True], ids=["fallocated", "promised"])
def test_several_processes_never_reserve_the_same_room(full: Cache, *, thinly: bool) -> None:
    free = os.statvfs(full.path).f_bavail * os.statvfs(full.path).f_frsize
    each = free // 3 + MIB  # two have room
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, full.path, f"s3://acme/{number}/", str(each), str(thinly)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    try:
        said = [child.stdout.readline() for child in children if child.stdout is not None]
        assert sum(line == "reserved\n" for line in said) == 2, said
        assert all("it is being brought" in line for line in said if line != "reserved\n"), said
    finally:
        for child in children:
            child.communicate("")


def test_a_disk_that_is_full_after_all_leaves_the_cache_as_it_was(full: Cache) -> None:
    caches.bring(full, {"weights": b"a" * MIB}, A)
    before = caches.tree_of(full.path)
    free = os.statvfs(full.path).f_bavail * os.statvfs(full.path).f_frsize
    plan = caches.plan_of_size(free // 2, B)
    model = full.model(caches.directory_of(B))
    with model.lock(lambda _: None):
        staged = model.reserve(
            plan,
            keep_free=caches.KEEP,
            max_size=None,
            lease_seconds=1.0,
            lay_out=caches.lay_out_thinly,
            evicted=caches.unheard,
        ).staged
        filler = Path(full.path).parent / "filler"
        with filler.open("wb") as out:  # somebody else
            os.posix_fallocate(out.fileno(), 0, free * 3 // 4)
        with pytest.raises(OSError, match="No space left"), open(f"{staged.data}/weights", "wb") as out:  # noqa: PTH123
            out.write(b"b" * (free // 2))
        model.discard(staged)
        filler.unlink()
    ours = caches.directory_of(B)
    after = caches.tree_of(full.path)
    assert {path: body for path, body in after.items() if not path.startswith((ours, "trash"))} == {
        path: body for path, body in before.items() if not path.startswith("trash")
    }
    assert caches.names(Path(model.path, "staging")) == []
    assert os.statvfs(full.path).f_bavail * os.statvfs(full.path).f_frsize > free - MIB // 4


def test_a_filesystem_that_refuses_what_it_has_is_evicted_from_then_believed(cache: Cache) -> None:
    """As quotas do: statvfs(3) knows nothing of them."""
    caches.bring(cache, weights("a"), A, pod=None)
    caches.bring(cache, weights("b"), B)
    seen: list[set[str]] = []

    def lay_out(plan: Plan, staged: Staged) -> None:
        caches.lay_out(plan, staged)
        seen.append(listed(cache))
        raise OSError(122, "Disk quota exceeded")

    model = cache.model(caches.directory_of(C))
    with model.lock(lambda _: None):
        with pytest.raises(HydrationError, match="Disk quota exceeded") as caught:
            model.reserve(
                caches.plan_of(weights("c"), C),
                keep_free=caches.KEEP,
                max_size=None,
                lease_seconds=60.0,
                lay_out=lay_out,
                evicted=caches.unheard,
            )
        assert caches.names(Path(model.path, "staging")) == []
    assert caught.value.exit_code is Exit.NO_ROOM
    assert seen == [{A, B}, {B}]


def fill_up(place: Path) -> None:
    with place.open("wb") as out, suppress(OSError):
        while True:
            os.write(out.fileno(), b"x" * 4096)


def test_a_disk_that_is_full_when_a_version_is_published_keeps_what_was_fetched(full: Cache) -> None:
    files = {f"{number:04d}{'x' * 200}": b"x" for number in range(100)}  # the manifest takes blocks of its own
    plan = caches.plan_of(files, A)
    model = full.model(caches.directory_of(A))
    filler = Path(full.path, "filler")
    with model.lock(lambda _: None):
        staged = caches.reserve(model, plan).staged
        caches.fill(staged, files)
        fill_up(filler)
        with pytest.raises(HydrationError, match="cannot publish a version") as caught:
            model.publish(plan, staged, caches.crc64(files), {})
        assert caught.value.exit_code is Exit.NO_ROOM
        assert not model.holds(plan)
    filler.unlink()
    with model.lock(lambda _: None):
        reserved = caches.reserve(model, plan)
        assert reserved.resumed
        model.publish(plan, reserved.staged, caches.crc64(files), {})
    assert model.holds(plan)


def test_what_was_fetched_stays_when_the_rest_finds_no_room(cache: Cache) -> None:
    plan = caches.plan_of(weights("c"), C)
    model = cache.model(caches.directory_of(C))

    def lay_out(_: Plan, staged: Staged) -> None:
        assert Path(staged.journal).read_text() == "half"
        raise OSError(28, "No space left on device")

    with model.lock(lambda _: None):
        staged = caches.reserve(model, plan).staged
        Path(staged.journal).write_text("half")
        with pytest.raises(HydrationError, match="No space left") as caught:
            model.reserve(
                plan, keep_free=caches.KEEP, max_size=None, lease_seconds=1.0, lay_out=lay_out, evicted=caches.unheard
            )
    assert caught.value.exit_code is Exit.NO_ROOM
    assert Path(staged.journal).read_text() == "half"


def test_a_hit_on_a_full_disk_is_a_hit(full: Cache) -> None:
    model, plan = caches.bring(full, {"weights": b"a" * MIB}, A)
    fill_up(Path(full.path, "filler"))
    assert model.holds(plan)
    for number in range(100):  # until the directory of leases has no room either
        assert model.use(plan.version, Pod("", f"pod-{number}" + "x" * 200))


@given(st.integers(0, 10**18), st.decimals(0, 99, places=3))
def test_a_share_of_a_disk_is_rounded_up(size: int, percent: object) -> None:
    keep = parse_keep_free(f"{percent}%").of(size)
    exact = size * int(str(percent).replace(".", ""))
    assert (keep - 1) * 100_000 < exact <= keep * 100_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", KeepFree(0, 0)),
        ("50Gi", KeepFree(0, 50 << 30)),
        ("20%", KeepFree(200_000_000, 0)),
        ("1e3", KeepFree(0, 1000)),
    ],
)
def test_what_must_stay_free_is_read(text: str, expected: KeepFree) -> None:
    assert parse_keep_free(text) == expected


@pytest.mark.parametrize("text", ["", "%", "100%", "999%", "-1", "20 %", "1e999", "x", "9" * 1000 + "%", "٣%"])
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(HydrationError) as caught:
        parse_keep_free(text)
    assert caught.value.exit_code is Exit.USAGE
