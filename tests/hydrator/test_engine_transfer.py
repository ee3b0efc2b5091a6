"""A tree comes over whole: the same bytes, names and checksums, whatever the way of writing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.hydrator.engine_place import MIXED, Place, content, grow, tree_source
from webhook.hydrator.engine.crc import crc64nvme
from webhook.hydrator.engine.sizing import Sizing
from webhook.hydrator.engine.transfer import Io, Progress


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("mixed"), MIXED)


@pytest.mark.parametrize("io", ["auto", "direct", "buffered"])
def test_a_tree_comes_over_byte_by_byte(mixed: Path, tmp_path: Path, io: Io) -> None:
    place = Place(tmp_path / "staging")
    outcome = place.bring(tree_source(mixed), io=io)
    expected = content(mixed)
    assert content(place.data) == expected
    assert outcome.crc64 == {path: crc64nvme(memoryview(held)) for path, held in expected.items()}
    assert (outcome.fetched, outcome.resumed, outcome.retries) == (sum(MIXED.values()), 0, 0)
    assert outcome.verified == 0  # a filesystem states no checksums
    assert not (place.root / "ballast").exists()


def test_files_are_for_all_to_read_and_for_none_to_write(mixed: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "staging")
    before = os.umask(0o077)
    try:
        place.bring(tree_source(mixed))
        assert os.umask(0o077) == 0o077, "the caller's umask is left as it was"
    finally:
        os.umask(before)
    for path in (place.data, *place.data.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o444), path


def test_progress_goes_from_nothing_to_all_and_never_back(mixed: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    Place(tmp_path / "staging").bring(tree_source(mixed), progress=told.append, sizing=Sizing(1, 1))
    total = sum(MIXED.values())
    assert [one.total for one in told] == [total] * len(told)
    assert told[0].done < total
    assert told[-1] == Progress(total, total, 0, 0)
    assert [one.done for one in told] == sorted(one.done for one in told)


def test_no_process_and_no_descriptor_is_left(mixed: Path, tmp_path: Path) -> None:
    def held() -> tuple[list[str], str]:
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        return sorted(path.name for path in Path("/proc/self/fd").iterdir()), children.read_text()

    source = tree_source(mixed)
    Place(tmp_path / "first").bring(source)
    before = held()
    Place(tmp_path / "second").bring(source)
    assert held() == before


def test_a_rate_is_shared_by_all_workers(mixed: Path, tmp_path: Path) -> None:
    total = sum(MIXED.values())
    outcome = Place(tmp_path / "staging").bring(tree_source(mixed), max_rate=total / 0.6)
    assert content(tmp_path / "staging" / "data") == content(mixed)
    assert outcome.seconds > 0.3  # below, by half: a quarter of a second may come at once
