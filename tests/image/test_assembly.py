from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image import assembly

HEADERS = 0x40
SECTION_TABLE, SECTION_COUNT = 0x28, 0x3C


@pytest.fixture(scope="module")
def library() -> Path:
    """A real one, of this Python's packages."""
    spec = importlib.util.find_spec("httptools.parser.parser")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


class TestTrimmed:
    def test_a_library_still_loads(self, library: Path, tmp_path: Path) -> None:
        less = assembly.trimmed(library.read_bytes())
        (tmp_path / library.name).write_bytes(less)
        program = (
            "import importlib.machinery, importlib.util, sys\n"
            "loader = importlib.machinery.ExtensionFileLoader('httptools.parser.parser', sys.argv[1])\n"
            "spec = importlib.util.spec_from_loader(loader.name, loader)\n"
            "module = importlib.util.module_from_spec(spec)\n"
            "loader.exec_module(module)\n"
            "assert module.__file__ == sys.argv[1]\n"
        )
        subprocess.run([sys.executable, "-c", program, tmp_path / library.name], check=True)
        assert len(less) < library.stat().st_size / 2

    def test_what_is_mapped_stays(self, library: Path) -> None:
        whole = library.read_bytes()
        less = assembly.trimmed(whole)
        differ = [at for at, (old, new) in enumerate(zip(whole, less, strict=False)) if old != new]
        assert differ
        assert all(SECTION_TABLE <= at < SECTION_TABLE + 8 or SECTION_COUNT <= at < SECTION_COUNT + 4 for at in differ)
        for offset, length in loaded(whole):
            assert offset + length <= len(less)

    def test_twice_is_once(self, library: Path) -> None:
        once = assembly.trimmed(library.read_bytes())
        assert assembly.trimmed(once) == once

    @given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), max_size=6), st.integers(0, 3000))
    def test_keeps_every_loaded_part_wherever_it_lies(self, parts: list[tuple[int, int]], more: int) -> None:
        needed = max([HEADERS + 56 * len(parts), *(offset + length for offset, length in parts)])
        whole = elf(parts).ljust(needed, b"\x01") + b"\x02" * more
        assert len(assembly.trimmed(whole)) == needed

    @given(st.binary(max_size=200).filter(lambda content: content[:6] != b"\x7fELF\x02\x01"))
    def test_leaves_other_files_alone(self, content: bytes) -> None:
        assert assembly.trimmed(content) == content


def elf(parts: list[tuple[int, int]]) -> bytes:
    header = bytearray(b"\x7fELF\x02\x01".ljust(HEADERS, b"\0"))
    struct.pack_into("<Q", header, 0x20, HEADERS)
    struct.pack_into("<HH", header, 0x36, 56, len(parts))
    table = b"".join(struct.pack("<IIQQQQQQ", 1, 5, offset, 0, 0, length, length, 4096) for offset, length in parts)
    return bytes(header) + table


def loaded(library: bytes) -> list[tuple[int, int]]:
    (start,) = struct.unpack_from("<Q", library, 0x20)
    size, count = struct.unpack_from("<HH", library, 0x36)
    rows = (struct.unpack_from("<IIQQQQQQ", library, start + size * row) for row in range(count))
    return [(row[2], row[5]) for row in rows if row[0] == 1]


class TestTree:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Path:
        site = tmp_path / "site"
        for pattern in assembly.SURPLUS:
            name = pattern.replace("**/tests", "some/tests/test_a.py").replace("**/", "some/").replace("[!_]", "x")
            file = site / name.replace("*", "y")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        (site / "some/kept.py").write_text("WORD = 'kept'\n", encoding="utf-8")
        (site / "kubernetes/client/models/__init__.py").touch()
        return site

    def test_drops_what_is_surplus_alone(self, site: Path) -> None:
        assembly.drop(site)
        left = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
        assert left == {"some/kept.py", "kubernetes/client/models/__init__.py"}

    def test_says_so_when_packages_changed(self, site: Path) -> None:
        (site / "cel_expr_python/ext/ext_proto.y").unlink()
        with pytest.raises(SystemExit, match=r"nothing matches cel_expr_python/ext/ext_proto\.\*"):
            assembly.drop(site)

    def test_an_installers_cache_is_not_changed(self, library: Path, tmp_path: Path) -> None:
        cached, site = tmp_path / "cached.so", tmp_path / "site"
        cached.write_bytes(library.read_bytes())
        site.mkdir()
        (site / "linked.so").hardlink_to(cached)
        assembly.trim(site)
        assert cached.read_bytes() == library.read_bytes()
        assert (site / "linked.so").stat().st_size < cached.stat().st_size

    def test_records_what_is_there(self, site: Path) -> None:
        info = site / "some-1.dist-info"
        info.mkdir()
        record = info / "RECORD"
        record.write_text(
            'some/kept.py,sha256=stale,1\nsome/gone.py,sha256=x,2\n"some/a,b.py",sha256=x,3\nsome-1.dist-info/RECORD,,\n',
            encoding="utf-8",
        )
        assembly.record(site)
        content = (site / "some/kept.py").read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        assert record.read_text(encoding="utf-8") == (
            f"some/kept.py,sha256={digest},{len(content)}\nsome-1.dist-info/RECORD,,\n"
        )

    def test_bytecode_knows_where_it_will_stand_and_looks_at_no_source(self, site: Path) -> None:
        assembly.compiled(site, "/usr/lib/place")
        (site / "some/kept.py").write_text("raise SystemExit('the source was read')\n", encoding="utf-8")
        program = "import some.kept; print(some.kept.WORD)"
        done = subprocess.run([sys.executable, "-c", program], cwd=site, check=True, capture_output=True, text=True)
        assert done.stdout == "kept\n"
        [compiled] = (site / "some/__pycache__").glob("kept.*.pyc")
        assert b"/usr/lib/place/some/kept.py" in compiled.read_bytes()

    def test_an_error_in_a_source_stops_the_build(self, tmp_path: Path) -> None:
        (tmp_path / "wrong.py").write_text("def\n", encoding="utf-8")
        with pytest.raises(SystemExit, match="could be compiled"):
            assembly.compiled(tmp_path, "/usr")

    def test_of_the_standard_library_only_bytecode_is_added(self, site: Path) -> None:
        assembly.compiled(site, "/usr")
        (site / "some/link.py").symlink_to("kept.py")
        assembly.only_compiled(site)
        left = {path.parent.name for path in site.rglob("*") if not path.is_dir()}
        assert left == {"__pycache__"}
        assert all(any(path.iterdir()) for path in site.rglob("*") if path.is_dir())

    def test_gives_one_time_and_plain_modes(self, tmp_path: Path) -> None:
        tree = tmp_path / "tree"
        (tree / "usr/local/bin").mkdir(parents=True, mode=0o700)
        command, module = tree / "usr/local/bin/warmpod", tree / "usr/module.so"
        for path in (command, module):
            path.touch()
            path.chmod(0o4770)
        assembly.date(tree, 1_700_000_000)
        assert {path.stat().st_mtime for path in (tree, *tree.rglob("*"))} == {1_700_000_000}
        modes = [path.stat().st_mode & 0o7777 for path in (tree, command, module)]
        assert modes == [0o755, 0o755, 0o644]
        assert os.access(command, os.X_OK)
