"""What is published is complete, readable by everyone, and named by `current`, whatever lay there before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hydrator import caches
from tests.hydrator.caches import POD, SMALL
from webhook.hydrator.cache import Cache, Held, Pod
from webhook.hydrator.outcome import Exit, HydrationError


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(str(tmp_path / "cache")) as opened:
        yield opened


def test_a_version_is_there_for_everyone_once_it_is_published(cache: Cache) -> None:
    before = os.umask(0o077)
    try:
        model, plan = caches.bring(cache, SMALL)
    finally:
        os.umask(before)
    assert model.holds(plan)
    current = Path(model.path, "current")
    assert str(current.readlink()) == f"versions/{plan.version}/data"
    assert {str(path.relative_to(current)): path.read_bytes() for path in current.rglob("*") if path.is_file()} == SMALL
    for path in Path(cache.path).rglob("*"):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode & 0o777
        assert mode == (0o755 if path.is_dir() else 0o444 if "versions" in path.parts else 0o644), path
    assert caches.names(Path(model.path, "versions", plan.version)) == ["data", "manifest.json"]
    assert caches.names(Path(model.path, "staging")) == []


def test_the_manifest_says_what_is_there(cache: Cache) -> None:
    model, plan = caches.bring(cache, SMALL)
    text = json.loads(Path(model.path, "versions", plan.version, "manifest.json").read_text(encoding="utf-8"))
    assert text["source"] == "s3://acme/llama/"
    assert [(entry["path"], entry["size"], entry["etag"]) for entry in text["files"]] == [
        (file.path, file.size, file.etag) for file in plan.files
    ]
    assert [int(entry["crc64"], 16) for entry in text["files"]] == [
        caches.crc64(SMALL)[file.path] for file in plan.files
    ]
    found = model.current()
    assert found is not None
    assert (found.version, found.bytes, found.files) == (plan.version, plan.bytes, 3)
    assert cache.models() == [Held(plan.source, plan.version, plan.bytes, model.directory)]


_names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in {".", ".."}
)


@settings(max_examples=30, deadline=None)
@given(
    files=st.dictionaries(_names, st.binary(max_size=99), min_size=1, max_size=5), raw=st.binary(min_size=1, max_size=9)
)
def test_any_name_that_a_plan_allows_is_published_and_found_again(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], raw: bytes
) -> None:
    odd = os.fsdecode(b"\xff" + raw.replace(b"/", b"\\").replace(b"\0", b"\1"))  # no UTF-8: Linux takes any bytes
    with Cache(str(tmp_path_factory.mktemp("cache"))) as cache:
        files = {f"a b/{odd}": b"odd", **files}
        files.pop("a b", None)
        model, plan = caches.bring(cache, files)
        assert model.holds(plan)
        found = caches.tree_of(Path(model.path, "versions", plan.version, "data"))
        assert {path: body for path, body in found.items() if body is not None} == files


def test_a_new_version_stands_beside_the_old_one_which_its_readers_keep(cache: Cache) -> None:
    model, old = caches.bring(cache, SMALL)
    mounted = os.open(Path(model.path, "current"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        _, new = caches.bring(cache, {**SMALL, "config.json": b"{}"})
        assert str(Path(model.path, "current").readlink()) == f"versions/{new.version}/data"
        assert model.holds(old)
        assert model.holds(new)
        assert os.stat("config.json", dir_fd=mounted).st_size == len(SMALL["config.json"])
        assert [held.version for held in cache.models()] == [new.version]
        assert model.use(old.version, Pod("", "laggard"))  # its pod read the listing a moment earlier
        found = model.current()
        assert found is not None
        assert found.version == old.version
    finally:
        os.close(mounted)


def _empty_directory(current: Path) -> None:
    current.mkdir()


def _full_directory(current: Path) -> None:
    (current / "deep").mkdir(parents=True)
    (current / "deep" / "mine").write_text("x")


def _stray_file(current: Path) -> None:
    current.write_text("x")


def _link_elsewhere(current: Path) -> None:
    current.symlink_to("/etc")


def _link_to_itself(current: Path) -> None:
    current.symlink_to("current")


def _dangling_link(current: Path) -> None:
    current.symlink_to(f"versions/{'0' * 32}/data")


def _pipe(current: Path) -> None:
    os.mkfifo(current)


@pytest.mark.parametrize(
    "stray", [_empty_directory, _full_directory, _stray_file, _link_elsewhere, _link_to_itself, _dangling_link, _pipe]
)
@pytest.mark.parametrize("when", ["before it is brought", "after"])
def test_whatever_stands_where_current_belongs_gives_way(
    cache: Cache, stray: Callable[[Path], None], when: str
) -> None:
    place = Path(cache.path, caches.directory_of("s3://acme/llama/"), "current")
    if when == "after":
        caches.bring(cache, SMALL)
        place.unlink()
    place.parent.mkdir(exist_ok=True)
    stray(place)
    assert cache.models() == []
    assert cache.model(place.parent.name).current() is None
    if when == "after":
        assert cache.model(place.parent.name).use(caches.plan_of(SMALL).version, POD)
    else:
        caches.bring(cache, SMALL)
    assert (place / "config.json").read_bytes() == SMALL["config.json"]
    cache.sweep()
    assert caches.names(place.parent) == ["current", "leases", "lock", "progress", "staging", "versions"]
    assert Path("/etc/passwd").exists()


def test_a_directory_gives_way_also_where_names_cannot_be_exchanged(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    from webhook.hydrator.cache import current  # noqa: PLC0415  # its inside is looked at here only

    monkeypatch.setattr(current, "_EXCHANGE", 1 << 30)  # the kernel answers EINVAL, as NFS does for the real one
    place = Path(cache.path, caches.directory_of("s3://acme/llama/"), "current")
    place.mkdir(parents=True)
    caches.bring(cache, SMALL)
    assert (place / "config.json").read_bytes() == SMALL["config.json"]


def _truncated(version: Path) -> None:
    place = version / "data" / "config.json"
    place.chmod(0o644)
    os.truncate(place, 3)


def _missing(version: Path) -> None:
    (version / "data" / "config.json").unlink()


def _linked(version: Path) -> None:
    place = version / "data" / "config.json"
    place.rename(version / "elsewhere")
    place.symlink_to("../elsewhere")


def _linked_directory(version: Path) -> None:
    (version / "data" / "weights").rename(version / "elsewhere")
    (version / "data" / "weights").symlink_to("../elsewhere")


def _directory_instead(version: Path) -> None:
    (version / "data" / "empty").unlink()
    (version / "data" / "empty").mkdir()


def _no_manifest(version: Path) -> None:
    (version / "manifest.json").unlink()


def _cut_manifest(version: Path) -> None:
    (version / "manifest.json").chmod(0o644)
    os.truncate(version / "manifest.json", 200)


def _other_manifest(version: Path) -> None:
    place = version / "manifest.json"
    text = place.read_text().replace(version.name, "0" * 32)
    place.unlink()
    place.write_text(text)


def _garbage_manifest(version: Path) -> None:
    (version / "manifest.json").unlink()
    (version / "manifest.json").write_bytes(b"[" * 100_000 + b',"files":[\n' + b"\n]}\n")


def _huge_number(version: Path) -> None:
    place = version / "manifest.json"
    text = place.read_text().replace('"published":', f'"published":{"9" * 400},"was":')
    place.unlink()
    place.write_text(text)


def _endless_manifest(version: Path) -> None:
    (version / "manifest.json").unlink()
    with (version / "manifest.json").open("wb") as out:
        out.truncate(1 << 40)


def _pipe_manifest(version: Path) -> None:
    (version / "manifest.json").unlink()
    os.mkfifo(version / "manifest.json")


def _linked_manifest(version: Path) -> None:
    (version / "manifest.json").rename(version / "m")
    (version / "manifest.json").symlink_to("m")


def _linked_version(version: Path) -> None:
    version.rename(version.parent.parent / "elsewhere")
    version.symlink_to("../elsewhere")


_DAMAGES: list[Callable[[Path], None]] = [
    _truncated, _missing, _linked, _linked_directory, _directory_instead, _no_manifest, _cut_manifest, _other_manifest,
    _garbage_manifest, _huge_number, _endless_manifest, _pipe_manifest, _linked_manifest, _linked_version,
]  # fmt: skip


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_version_is_no_hit_and_is_brought_anew(cache: Cache, damage: Callable[[Path], None]) -> None:
    model, plan = caches.bring(cache, SMALL, pod=None)
    version = Path(model.path, "versions", plan.version)
    damage(version)
    assert not model.holds(plan)
    cache.models()
    caches.bring(cache, SMALL, pod=None)
    assert model.holds(plan)
    assert caches.tree_of(version / "data") == {**SMALL, "weights": None}
    caches.bring(cache, {"other": b"1"}, "s3://acme/other/", max_size=plan.bytes + 1)  # the displaced one can go


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_version_without_its_manifest_is_not_listed(cache: Cache, damage: Callable[[Path], None]) -> None:
    model, plan = caches.bring(cache, SMALL)
    damage(Path(model.path, "versions", plan.version))
    is_readable = not ("manifest" in damage.__name__ or "number" in damage.__name__ or "version" in damage.__name__)
    assert bool(cache.models()) == is_readable
    assert (model.current() is not None) == is_readable


def _short(data: Path) -> None:
    os.truncate(data / "config.json", 2)


def _extra(data: Path) -> None:
    (data / "weights" / "extra").write_text("x")


def _absent(data: Path) -> None:
    (data / "empty").unlink()


def _symbolic(data: Path) -> None:
    (data / "empty").unlink()
    (data / "empty").symlink_to("config.json")


def _hard(data: Path) -> None:
    os.link(data / "config.json", data.parent / "second")


@pytest.mark.parametrize("tamper", [_short, _extra, _absent, _symbolic, _hard])
def test_nothing_but_what_was_planned_is_published(cache: Cache, tamper: Callable[[Path], None]) -> None:
    plan = caches.plan_of(SMALL)
    model = cache.model(caches.directory_of(plan.source))
    with model.lock(lambda _: None):
        staged = caches.reserve(model, plan).staged
        caches.fill(staged, SMALL)
        tamper(Path(staged.data))
        with pytest.raises(HydrationError, match="not what was planned") as caught:
            model.publish(plan, staged, caches.crc64(SMALL), {})
    assert caught.value.exit_code is Exit.DISK
    assert not model.holds(plan)
    assert caches.names(Path(model.path, "staging")) == []  # else every run to come would find it complete and wrong
    caches.bring(cache, SMALL)


def test_a_file_without_a_checksum_is_a_defect_and_is_not_published(cache: Cache) -> None:
    plan = caches.plan_of(SMALL)
    model = cache.model(caches.directory_of(plan.source))
    with model.lock(lambda _: None):
        staged = caches.reserve(model, plan).staged
        caches.fill(staged, SMALL)
        with pytest.raises(HydrationError, match=r"'config.json' has no CRC64NVME"):
            model.publish(plan, staged, {"weights/part-1.safetensors": 1}, {})
    assert not model.holds(plan)


def test_use_says_when_the_version_went_meanwhile(cache: Cache) -> None:
    model = cache.model("0123456789abcdef")
    assert not model.use("0" * 32, POD)
    model, plan = caches.bring(cache, SMALL)
    assert not model.use("0" * 32, POD)
    assert str(Path(model.path, "current").readlink()) == f"versions/{plan.version}/data"


@pytest.mark.parametrize("name", ["", "..", "trash", "0123456789abcde/", "0123456789ABCDEF", "0" * 17, "\0" * 16])
def test_a_models_directory_has_a_name_of_its_kind(cache: Cache, name: str) -> None:
    with pytest.raises(HydrationError) as caught:
        cache.model(name)
    assert caught.value.exit_code is Exit.USAGE


def test_a_cache_is_opened_or_explains_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "room.lock").symlink_to("/etc/passwd")
    (tmp_path / "piped").mkdir()
    os.mkfifo(tmp_path / "piped" / "room.lock")
    for name in ("file", "file/below", "odd", "piped"):
        with pytest.raises(HydrationError, match="cannot open a cache in") as caught:
            Cache(str(tmp_path / name))
        assert caught.value.exit_code is Exit.DISK
        assert "remove it" in caught.value.hint
    with pytest.raises(HydrationError, match="No such file") as caught:
        Cache(str(tmp_path / "mount" / "cache"))  # of a disk that was not mounted: not to be made on another
    assert f"{str(tmp_path / 'mount')!r} is not there: mount the disk first" in caught.value.hint
    assert not (tmp_path / "mount").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user")
def test_a_cache_of_another_user_says_whose_it_is() -> None:
    with TemporaryDirectory() as root:  # pytest's own is closed to others
        Path(root).chmod(0o755)
        Path(root, "cache").mkdir(mode=0o755)
        os.seteuid(65532)
        try:
            with pytest.raises(HydrationError) as caught:
                Cache(f"{root}/cache")
        finally:
            os.seteuid(0)
    assert caught.value.exit_code is Exit.DISK
    assert "belongs to user 0, group 0, mode 0755, and this process is user 65532" in caught.value.hint
