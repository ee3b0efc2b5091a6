"""A mounted tree as a source: what belongs to it comes, what does not is named, what changes is noticed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hydrator.engine_place import MIB, Place, content, grow, tree_source
from webhook.hydrator.engine.buffers import buffers
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import Filters
from webhook.hydrator.posix import PosixSource
from webhook.hydrator.source import Body

SIZES = {"config.json": 10, "weights/a.safetensors": 8 * MIB + 3, "weights/b.safetensors": 2 * MIB}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grow(tmp_path / "tree", SIZES)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, for those who leave it alone."""
    return grow(tmp_path_factory.mktemp("still"), SIZES)


def paths(source: PosixSource) -> list[str]:
    return [file.path for file in source.plan().files]


def refused(source: PosixSource) -> HydrationError:
    with pytest.raises(HydrationError) as caught:
        source.plan()
    return caught.value


def test_a_tree_is_listed_with_sizes_and_filters(tree: Path) -> None:
    plan = tree_source(tree).plan()
    assert plan.source == f"file://{tree}/"
    assert {file.path: file.size for file in plan.files} == SIZES
    assert paths(tree_source(tree, Filters(exclude=("*.json",)))) == ["weights/a.safetensors", "weights/b.safetensors"]


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_a_single_file_is_a_model(tree: Path, tmp_path: Path, slashes: str) -> None:
    source = PosixSource(f"file://{tree}/weights/a.safetensors{slashes}", Filters())
    assert paths(source) == ["a.safetensors"]
    source.prove(source.plan())
    Place(tmp_path / "staging").bring(source)
    assert content(tmp_path / "staging/data") == {"a.safetensors": (tree / "weights/a.safetensors").read_bytes()}


def test_a_tree_may_be_mounted_elsewhere(tree: Path, tmp_path: Path) -> None:
    source = PosixSource("file:///models/llama/", Filters(), root=str(tree))
    assert source.plan().source == "file:///models/llama/"
    Place(tmp_path / "staging").bring(source)
    assert content(tmp_path / "staging/data") == content(tree)


def test_the_same_tree_is_the_same_version_and_another_is_not(tree: Path) -> None:
    before = tree_source(tree).plan().version
    assert tree_source(tree).plan().version == before
    (tree / "config.json").write_bytes(b"0123456789")
    assert tree_source(tree).plan().version != before


class TestLinks:
    def test_inside_the_tree_are_followed(self, tree: Path, tmp_path: Path) -> None:
        (tree / "blobs").mkdir()
        (tree / "blobs/1").write_bytes(b"blob")
        (tree / "latest.json").symlink_to("blobs/1")
        (tree / "absolute.json").symlink_to(tree / "config.json")
        (tree / "twice.json").symlink_to("latest.json")
        (tree / "same").symlink_to("weights")
        source = tree_source(tree)
        assert len(paths(source)) == len(SIZES) + 1 + 3 + 2
        Place(tmp_path / "staging").bring(source)
        assert content(tmp_path / "staging/data") == {
            **content(tree),
            **{f"same/{path.name}": path.read_bytes() for path in (tree / "weights").iterdir()},
        }
        assert not [path for path in (tmp_path / "staging/data").rglob("*") if path.is_symlink()]

    def test_and_a_root_that_is_one(self, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "alias").symlink_to(tree)
        Place(tmp_path / "staging").bring(tree_source(tmp_path / "alias"))
        assert content(tmp_path / "staging/data") == content(tree)

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("/etc/hostname", "something outside"),
            ("../secret", "something outside"),
            ("../tree-neighbour", "something outside"),
            ("weights/../../secret", "something outside"),
            ("nowhere", "to nothing"),
            ("odd", "to nothing"),
            (".", "leads back"),
            ("weights/back", "leads back"),
        ],
    )
    def test_others_are_refused_by_name(self, tree: Path, tmp_path: Path, target: str, words: str) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        grow(tmp_path / "tree-neighbour", {"x": 1})
        if target == "weights/back":
            (tree / "weights/back").symlink_to("..")
        else:
            (tree / "odd").symlink_to(target)
        error = refused(tree_source(tree))
        assert error.exit_code is Exit.UNSAFE
        assert words in error.message
        assert "'odd" in error.message or "'weights/back" in error.message

    def test_that_are_not_wanted_do_not_matter(self, tree: Path) -> None:
        (tree / "odd").symlink_to("/etc/hostname")
        assert paths(tree_source(tree, Filters(exclude=("odd",)))) == sorted(SIZES)

    def test_that_multiply_without_end(self, tree: Path) -> None:
        # Each level names the next one twice: 2**60 paths, of one file.
        for level in range(60):
            (tree / f"level{level}").mkdir()
            for name in "ab":
                (tree / f"level{level}" / name).symlink_to(f"../level{level + 1}")
        (tree / "level60").mkdir()
        error = refused(tree_source(tree))
        assert error.exit_code is Exit.UNSAFE


def make_socket(path: Path) -> None:
    made = socket.socket(socket.AF_UNIX)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        made.bind(f"/proc/self/fd/{directory}/{path.name}")  # paths of sockets are short
    finally:
        os.close(directory)
        made.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is a FIFO"),
        (make_socket, "is a socket"),
        pytest.param(
            lambda path: os.mknod(path, 0o020600, os.makedev(1, 5)),
            "is a character device",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="mknod takes root"),
        ),
    ],
    ids=["fifo", "socket", "device"],
)
def test_what_is_no_file_is_refused_by_name(tree: Path, make: Callable[[Path], None], words: str) -> None:
    make(tree / "weights/strange")
    error = refused(tree_source(tree))
    assert error.exit_code is Exit.UNSAFE
    assert f"'weights/strange' {words}" in error.message
    assert error.hint


def test_hostile_names_come_as_they_are(tmp_path: Path) -> None:
    names = [b"new\nline", b"tab\t", b"\xff\xfe not utf-8", b"-rf", b"$(id)", b"a" * 255, "ü".encode(), b" ", b"%2e%2e"]
    root = tmp_path / "tree"
    root.mkdir()
    for name in names:
        Path(root, os.fsdecode(name)).write_bytes(name)
    Place(tmp_path / "staging").bring(tree_source(root))
    assert content(tmp_path / "staging/data") == content(root)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("missing", Exit.NOT_FOUND, "No such file or directory"),
        ("tree/config.json/below", Exit.NOT_FOUND, "Not a directory"),
        ("empty", Exit.NOT_FOUND, "it is empty"),
        ("fifo", Exit.UNSAFE, "is a FIFO"),
    ],
)
def test_a_root_that_is_no_model(tmp_path: Path, path: str, code: Exit, words: str) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "fifo")
    error = refused(tree_source(tmp_path / path))
    assert error.exit_code is code
    assert words in error.message
    assert error.hint


def rewrite(path: Path) -> None:
    path.write_bytes(bytes(reversed(path.read_bytes())))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def turn_into_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def turn_into_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [rewrite, replace, Path.unlink, turn_into_link, turn_into_fifo])
@pytest.mark.parametrize("path", sorted(SIZES))
def test_what_changed_since_it_was_listed_is_not_read(
    tree: Path, tmp_path: Path, path: str, change: Callable[[Path], None]
) -> None:
    source = tree_source(tree)
    plan = source.plan()
    change(tree / path)
    with pytest.raises(HydrationError, match="changed since it was listed") as caught:
        Place(tmp_path / "staging").bring(source, plan)
    assert caught.value.exit_code is Exit.CHANGED


def read_on(body: Body, view: memoryview) -> None:
    while body.readinto(view):
        pass


@pytest.mark.parametrize("change", [rewrite, lambda path: os.truncate(path, 5 * MIB)], ids=["rewritten", "truncated"])
def test_what_changes_while_it_is_read_is_noticed_at_the_end_of_the_range(
    tree: Path, change: Callable[[Path], None]
) -> None:
    source = tree_source(tree)
    file = next(one for one in source.plan().files if one.path.endswith("a.safetensors"))
    reader = source.reader()
    body = reader.open(file, 0, file.size)
    view = memoryview(bytearray(MIB))
    assert body.readinto(view) == MIB
    change(tree / file.path)
    with pytest.raises(HydrationError) as caught:
        read_on(body, view)
    body.close()
    reader.close()
    assert caught.value.exit_code is Exit.CHANGED


@settings(max_examples=50, deadline=None)
@given(
    offset=st.sampled_from([0, 4096, MIB, 8 * MIB]) | st.integers(0, 8 * MIB),
    length=st.sampled_from([4096, MIB, MIB + 4096]) | st.integers(1, 2 * MIB),
    step=st.sampled_from([4096, 300_000, 512 * 1024]) | st.integers(1000, MIB),
)
def test_any_range_is_read_exactly(still: Path, offset: int, length: int, step: int) -> None:
    file = next(one for one in tree_source(still).plan().files if one.path == "weights/a.safetensors")
    length = min(length, file.size - offset)
    reader = tree_source(still).reader()
    body = reader.open(file, offset, length)
    (memory,) = buffers(1, 3 * MIB)
    got = 0
    while count := body.readinto(memory[got : got + step]):
        got += count
    body.close()
    reader.close()
    with (still / file.path).open("rb") as expected:
        expected.seek(offset)
        assert bytes(memory[:got]) == expected.read(length)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize("what", ["weights", "weights/b.safetensors"])
def test_no_right_to_read_says_who_we_are(tree: Path, tmp_path: Path, what: str) -> None:
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and path != Path("/") and path.is_relative_to("/tmp/pytest-of-root"):
            path.chmod(0o755)
    (tree / what).chmod(0)
    script = """
import os, sys
from webhook.hydrator.outcome import HydrationError
from webhook.hydrator.plan import Filters
from webhook.hydrator.posix import PosixSource
os.setgroups([]); os.setgid(65534); os.setuid(65534)
source = PosixSource(sys.argv[1], Filters(include=("b.safetensors",)))
try:
    source.prove(source.plan())
except HydrationError as error:
    print(error.exit_code.name, error.message, error.hint)
"""
    run = subprocess.run(
        [sys.executable, "-c", script, f"file://{tree}/"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.startswith("DENIED"), run.stdout + run.stderr
    assert "uid 65534" in run.stdout
    assert "Permission denied" in run.stdout
