"""`--verify` finds whatever is not as it was brought, in a cache, a model or a version, and changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hydrator import caches
from tests.hydrator.caches import SMALL
from webhook.hydrator.cache import Cache
from webhook.hydrator.cache.verification import Damage, Verification, verify
from webhook.hydrator.outcome import Exit, HydrationError

WEIGHTS = "weights/part-1.safetensors"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(str(tmp_path / "cache")) as opened:
        yield opened


@pytest.fixture
def version(cache: Cache) -> Path:
    model, plan = caches.bring(cache, SMALL)
    return Path(model.path, "versions", plan.version)


def checked(path: Path | str) -> Verification:
    before = caches.tree_of(path) if not Path(path).is_symlink() else None
    found = verify(str(path), caches.crc64_many)
    assert before is None or caches.tree_of(path) == before
    return found


def test_every_level_of_a_cache_can_be_verified(cache: Cache, version: Path) -> None:
    size = sum(len(body) for body in SMALL.values())
    model = version.parent.parent
    for place in (version.parent.parent.parent, model, version, version / "data", model / "current"):
        assert checked(place) == Verification(1, 3, size, [])
    caches.bring(cache, {"other": b"1"})
    caches.bring(cache, {"other": b"1"}, "s3://acme/other/")
    assert checked(cache.path) == Verification(3, 5, size + 2, [])
    assert checked(model) == Verification(2, 4, size + 1, [])


def _damaged(place: Path) -> None:
    place.chmod(0o644)
    with place.open("r+b") as file:
        file.seek(5000)
        file.write(b"W")


def _truncated(place: Path) -> None:
    place.chmod(0o644)
    os.truncate(place, 9_999)


def _missing(place: Path) -> None:
    place.unlink()


def _linked(place: Path) -> None:
    place.rename(place.parent.parent.parent / "elsewhere")
    place.symlink_to("../../elsewhere")


def _pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def _directory(place: Path) -> None:
    place.unlink()
    place.mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_damaged, ["has CRC64NVME "]),
        (_truncated, ["has 9,999 bytes instead of 10,000"]),
        (_missing, ["missing"]),
        (_linked, ["is no regular file", "missing"]),
        (_pipe, ["is no regular file", "missing"]),
        (_directory, ["missing"]),
    ],
)
def test_a_file_that_is_not_what_it_was_is_named(
    cache: Cache, version: Path, damage: Callable[[Path], None], words: list[str]
) -> None:
    place = version / "data" / WEIGHTS
    damage(place)
    found = verify(cache.path, caches.crc64_many)
    assert [(one.path, one.why[: len(word)]) for one, word in zip(found.damages, words, strict=True)] == [
        (str(place), word) for word in words
    ]


def test_a_file_too_many_is_named(cache: Cache, version: Path) -> None:
    (version / "data" / "weights" / "extra").write_text("x")
    found = verify(cache.path, caches.crc64_many)
    assert found.damages == [Damage(str(version / "data" / "weights" / "extra"), "is not in the manifest")]


def test_a_file_that_cannot_be_read_is_named(cache: Cache, version: Path) -> None:
    def failing(paths: Sequence[str]) -> Mapping[str, int]:
        found = caches.crc64_many(paths)
        del found[str(version / "data" / WEIGHTS)]
        return found

    assert verify(cache.path, failing).damages == [Damage(str(version / "data" / WEIGHTS), "cannot be read")]


_HEAD = (
    b'{"schema":1,"source":"s","version":"00000000000000000000000000000000","bytes":0,"count":0,'
    b'"published":1.0,"facts":{},"files":[\n'
)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"\0" * 10_000, b"[" * 200_000, b'{"schema":1,"files":[\n\n]}\n', b'{"files":[\n' * 3 + b"\n]}\n",
        _HEAD + b'{"path":"' + b"x" * 10_000_000 + b"\n]}\n", _HEAD + b"7\n]}\n",
    ],
    ids=["empty", "object", "zeros", "brackets", "bare", "nested", "long-line", "number"],
)  # fmt: skip
def test_a_manifest_of_any_content_is_damage(version: Path, body: bytes) -> None:
    (version / "manifest.json").unlink()
    (version / "manifest.json").write_bytes(body)
    found = verify(str(version), caches.crc64_many)
    assert found.damages[0].path == str(version / "manifest.json")
    assert found.damages[0].why.startswith("cannot be read: it ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_manifest_changed_anywhere_is_damage_or_says_the_same(version: Path, data: st.DataObject) -> None:
    place = version / "manifest.json"
    text = place.read_bytes()
    files = [(file["path"], file["size"], file["etag"], file["crc64"]) for file in json.loads(text)["files"]]
    where = data.draw(st.integers(0, len(text) - 1))
    piece = data.draw(st.binary(max_size=3))
    length = data.draw(st.integers(0, 3))
    place.chmod(0o644)
    place.write_bytes(text[:where] + piece + text[where + length :])
    try:
        if not verify(str(version), caches.crc64_many).damages:
            said = json.loads(place.read_bytes())
            assert [(file["path"], file["size"], file["etag"], file["crc64"]) for file in said["files"]] == files
            assert said["version"] == version.name
    finally:
        place.write_bytes(text)
    assert verify(str(version), caches.crc64_many).damages == []


def test_a_version_that_is_evicted_meanwhile_is_no_damage(cache: Cache, version: Path) -> None:
    caches.bring(cache, {"other": b"1"}, "s3://acme/other/")

    def evicting(paths: Sequence[str]) -> Mapping[str, int]:
        if version.exists():
            version.rename(Path(cache.path, "trash", "x"))
        return caches.crc64_many(paths)

    found = verify(cache.path, evicting)
    assert (found.versions, found.damages) == (1, [])


def test_where_nothing_was_brought_there_is_nothing_to_verify(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("x")
    for place in (cache.path, str(tmp_path)):
        with pytest.raises(HydrationError, match="holds no model") as caught:
            verify(place, caches.crc64_many)
        assert caught.value.exit_code is Exit.NOT_FOUND
    for place in (str(tmp_path / "absent"), str(tmp_path / "model.safetensors")):
        with pytest.raises(HydrationError, match="cannot look for models") as caught:
            verify(place, caches.crc64_many)
        assert caught.value.exit_code is Exit.DISK
