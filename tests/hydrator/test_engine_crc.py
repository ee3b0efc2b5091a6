"""Checksums of files on disk are those of their bytes, whatever their size; what is no readable file has none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hydrator.engine_place import MIB, grow
from webhook.hydrator.engine.crc import combine, crc64_many, crc64_of, crc64nvme

SIZES = {"empty": 0, "byte": 1, "page": 4096, "odd": MIB + 1, "two": 8 * MIB + 4095, "parts": 24 * MIB + 5}


def test_the_check_value_of_the_catalogue() -> None:
    assert crc64nvme(memoryview(b"123456789")) == 0xAE8B14860A799888  # reveng's catalogue, CRC-64/NVME


@given(st.binary(max_size=99), st.binary(max_size=99))
def test_two_pieces_combine(first: bytes, second: bytes) -> None:
    one, two = crc64nvme(memoryview(first)), crc64nvme(memoryview(second))
    assert combine(one, two, len(second)) == crc64nvme(memoryview(first + second)) == crc64nvme(memoryview(second), one)


@pytest.mark.parametrize("names", [["byte", "empty", "odd", "page"], list(SIZES)], ids=["inline", "by-workers"])
def test_files_on_disk(tmp_path: Path, names: list[str]) -> None:
    grow(tmp_path, {name: SIZES[name] for name in names})
    (tmp_path / "link").symlink_to(tmp_path / "byte")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    strange = ["link", "fifo", "directory", "missing", "nul\0"]
    found = crc64_many([f"{tmp_path}/{name}" for name in [*names, *strange]])
    assert found == {f"{tmp_path}/{name}": crc64nvme(memoryview((tmp_path / name).read_bytes())) for name in names}


def test_one_file(tmp_path: Path) -> None:
    grow(tmp_path, {"one": 12 * MIB})
    assert crc64_of(f"{tmp_path}/one") == crc64nvme(memoryview((tmp_path / "one").read_bytes()))
    assert crc64_of(f"{tmp_path}/other") is None
