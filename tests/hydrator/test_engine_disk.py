"""Real disks: small, full, without O_DIRECT. What was laid out has its room; what fails, fails in words."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path

import pytest

from tests.hydrator.engine_place import MIB, Place, content, grow, tree_source
from tests.hydrator.faulty_source import Faulty
from tests.hydrator.waiting import until
from webhook.hydrator.engine.layout import lay_out
from webhook.hydrator.engine.settling import settle
from webhook.hydrator.engine.transfer import Io
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import File, Plan

DISK = 64 * MIB
# What `mkfs.xfs` makes of 300 MiB, the least it takes: the filesystem of most GPU nodes' NVMe, whose tools few have.
EMPTY_XFS = Path(__file__).parent / "empty.xfs.xz"
SIZES = {"large": 12 * MIB + 1, "medium": 8 * MIB, **{f"small/{index:03}": 20_000 + index for index in range(500)}}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting filesystems takes root")


def mounted(kind: str, at: Path, *options: str) -> Iterator[Path]:
    at.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, kind, at], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount refuses: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small filesystem on a loop device."""
    if request.param == "ext4":
        yield from made(tmp_path, DISK, "mkfs.ext4", "-q", "-m", "0")
    else:
        image = tmp_path / "image"
        with lzma.open(EMPTY_XFS) as packed, image.open("wb") as file:
            while block := packed.read(MIB):
                if block.count(0) == len(block):
                    file.seek(len(block), os.SEEK_CUR)
                else:
                    file.write(block)
            file.truncate()
        yield from mounted(str(image), tmp_path / "disk", "-o", "loop,nouuid")


@pytest.fixture
def old_disk(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem without fallocate(2): nothing can be reserved."""
    yield from made(tmp_path, DISK, "mkfs.ext4", "-q", "-m", "0", "-O", "^extents,^64bit")


def made(tmp_path: Path, size: int, program: str, *options: str) -> Iterator[Path]:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"there is no {program}")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([found, *options, image], check=True, capture_output=True)
    yield from mounted(str(image), tmp_path / "disk", "-o", "loop")


@pytest.fixture
def without_direct(tmp_path: Path) -> Iterator[Path]:
    """A filesystem that refuses O_DIRECT."""
    yield from mounted("ramfs", tmp_path / "ramfs", "-t", "ramfs")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("tree"), SIZES)


def fill(disk: Path, leaving: int) -> None:
    """Somebody else takes the room, but for `leaving` bytes."""
    found = os.statvfs(disk)
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leaving)


@needs_root
def test_what_was_laid_out_keeps_its_room_whoever_fills_the_disk(disk: Path, tree: Path) -> None:
    place = Place(disk / "staging")
    source = tree_source(tree)
    place.root.mkdir()
    lay_out(source.plan(), place.staged)
    fill(disk, leaving=MIB)  # names and journals of the filesystem itself want a little
    place.bring(source)
    assert content(place.data) == content(tree)


@needs_root
def test_what_does_not_fit_is_told_before_the_first_byte(disk: Path, tree: Path) -> None:
    place = Place(disk / "staging")
    place.root.mkdir()
    fill(disk, leaving=sum(SIZES.values()) - MIB)
    before = os.statvfs(disk).f_bavail
    with pytest.raises(OSError, match="No space left") as caught:
        lay_out(tree_source(tree).plan(), place.staged)
    assert caught.value.errno == ENOSPC
    shutil.rmtree(place.root)
    place.root.mkdir()
    until(lambda: os.statvfs(disk).f_bavail >= before - 16)  # XFS frees a little later


@needs_root
def test_small_files_alone_keep_their_room_too(disk: Path, tmp_path: Path) -> None:
    sizes = {f"{index:04}": 50_000 for index in range(600)}
    tree = grow(tmp_path / "tree", sizes)
    place = Place(disk / "staging")
    place.root.mkdir()
    lay_out(tree_source(tree).plan(), place.staged)
    fill(disk, leaving=MIB)
    place.bring(tree_source(tree))
    assert content(place.data) == content(tree)


@needs_root
@pytest.mark.parametrize("io", ["auto", "buffered"])
def test_a_disk_that_fills_in_the_middle_is_no_room_and_can_be_gone_on_with(
    old_disk: Path, tree: Path, tmp_path: Path, io: Io
) -> None:
    place = Place(old_disk / "staging")
    source = Faulty(tree_source(tree), tmp_path / "record", on_read=lambda _file, _offset: grab(old_disk))
    with pytest.raises(HydrationError, match="became full while the model was written") as caught:
        place.bring(source, io=io)
    assert caught.value.exit_code is Exit.NO_ROOM
    (old_disk / "grabbed").unlink()
    outcome = place.bring(tree_source(tree), io=io)
    assert outcome.fetched + outcome.resumed == sum(SIZES.values())
    assert content(place.data) == content(tree)


def grab(disk: Path) -> None:
    """Take everything, whoever comes first."""
    try:
        descriptor = os.open(disk / "grabbed", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096) * 64)


@needs_root
@pytest.mark.parametrize("io", ["auto", "buffered"])
def test_where_o_direct_is_refused_the_page_cache_serves(without_direct: Path, tree: Path, io: Io) -> None:
    place = Place(without_direct / "staging")
    place.bring(tree_source(tree), io=io)
    assert content(place.data) == content(tree)


@needs_root
def test_who_insists_on_o_direct_is_told(without_direct: Path, tree: Path) -> None:
    with pytest.raises(HydrationError, match="refuses O_DIRECT") as caught:
        Place(without_direct / "staging").bring(tree_source(tree), io="direct")
    assert caught.value.exit_code is Exit.DISK


@needs_root
def test_a_source_that_refuses_o_direct_is_read_all_the_same(without_direct: Path, tmp_path: Path) -> None:
    tree = grow(without_direct / "tree", SIZES)
    Place(tmp_path / "staging").bring(tree_source(tree))
    assert content(tmp_path / "staging" / "data") == content(tree)


def test_large_files_have_their_blocks_before_the_first_byte(tmp_path: Path, tree: Path) -> None:
    place = Place(tmp_path / "staging")
    place.root.mkdir()
    for _ in range(2):  # and again, with nothing taken twice
        lay_out(tree_source(tree).plan(), place.staged)
        for path in ("large", "medium"):
            found = (place.data / path).stat()
            assert (found.st_size, found.st_blocks * 512) == (SIZES[path], -(-SIZES[path] // 4096) * 4096)
        small = [size for size in SIZES.values() if size < 8 * MIB]
        assert (place.root / "ballast").stat().st_size == sum(-(-size // 4096) * 4096 for size in small)


def twins(tmp_path: Path, one: str, other: str) -> tuple[Plan, Place]:
    """Two paths that are laid out where names are not folded: they are two."""
    plan = Plan("s3://b/m/", tuple(File(path, 5, "e", path) for path in sorted((one, other))))
    place = Place(tmp_path / "staging")
    place.root.mkdir()
    lay_out(plan, place.staged)
    lay_out(plan, place.staged)
    return plan, place


@pytest.mark.parametrize(
    ("one", "other"),
    [("Model.bin", "model.bin"), ("ä.bin", "a\u0308.bin"), ("Straße", "STRASSE")],
    ids=["case", "composition", "folding"],
)
def test_twins_are_refused_where_names_are_folded(tmp_path: Path, one: str, other: str) -> None:
    plan, place = twins(tmp_path, one, other)
    (place.data / other).unlink()
    (place.data / other).hardlink_to(place.data / one)  # what a filesystem that folds shows: one file, two names
    with pytest.raises(HydrationError, match="are one name to the filesystem") as caught:
        lay_out(plan, place.staged)
    assert caught.value.exit_code is Exit.UNSAFE


@needs_root
def test_directories_that_are_twins_are_refused_where_names_are_folded(tmp_path: Path) -> None:
    plan, place = twins(tmp_path, "Sub/x", "sub/y")
    for _ in mounted(str(place.data / "Sub"), place.data / "sub", "--bind"):
        with pytest.raises(HydrationError, match="'Sub' and 'sub' are one name to the filesystem") as caught:
            lay_out(plan, place.staged)
        assert caught.value.exit_code is Exit.UNSAFE


def test_what_cannot_be_made_durable_is_not_believed_by_the_next_run(tmp_path: Path, tree: Path) -> None:
    place = Place(tmp_path / "staging")
    source = tree_source(tree)
    place.bring(source)
    (place.data / "large").unlink()
    with pytest.raises(HydrationError, match="cannot write to the cache: No such file") as caught:
        settle(source.plan(), place.staged)
    assert caught.value.exit_code is Exit.DISK
    assert place.bring(source).resumed == 0


def test_planted_links_are_not_followed(tmp_path: Path, tree: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "large").write_bytes(b"precious")
    place = Place(tmp_path / "staging")
    place.data.mkdir(parents=True)
    (place.data / "large").symlink_to(outside / "large")
    (place.data / "small").mkdir()
    (place.data / "small/007").symlink_to(outside / "large")
    place.bring(tree_source(tree))
    assert (outside / "large").read_bytes() == b"precious"
    assert content(place.data) == content(tree)
    assert not (place.data / "large").is_symlink()


def test_a_planted_directory_link_is_an_error_and_is_not_followed(tmp_path: Path, tree: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place = Place(tmp_path / "staging")
    place.data.mkdir(parents=True)
    (place.data / "small").symlink_to(outside)
    with pytest.raises((HydrationError, OSError)):
        place.bring(tree_source(tree))
    assert not list(outside.iterdir())
