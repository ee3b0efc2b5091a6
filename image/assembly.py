"""Turns a directory of installed packages into what the image carries: less of it, and compiled.

It runs in the Dockerfile's builder, on the builder's own processor, and treats files of another one just as well.
It needs nothing but the standard library of the Python that the image carries (the same minor version).
"""

from __future__ import annotations

import argparse
import base64
import compileall
import csv
import hashlib
import io
import os
import py_compile
import re
import shutil
import struct
from pathlib import Path

SURPLUS = (
    ".lock",  # what the installer notes: when it was, and from which place of the builder
    "*.dist-info/uv_cache.json",
    "*.dist-info/direct_url.json",
    "bin/*",  # the packages' own commands; the image has one entry point
    "bazel-project",  # the wheel of cel-expr-python carries the tree that built it
    "cel_expr_python/ext/ext_proto.*",  # extensions of CEL that webhook/cel/native.py does not open to policies
    "cel_expr_python/ext/ext_encoders.*",
    # Classes for every kind and call of the Kubernetes API, loaded when named. We speak to the API in plain JSON and
    # name none of them but in the sandbox, whose control plane is not in the image either.
    "kubernetes/client/models/[!_]*.py",
    "kubernetes/client/api/[!_]*.py",
    "kubernetes/aio/client/models/[!_]*.py",
    "kubernetes/aio/client/api/[!_]*.py",
    "**/tests",
    "**/*_test.py",
    # Sources of what is compiled.
    "**/*.pxd",
    "**/*.pxi",
    "**/*.pyi",
    "**/*.pyx",
)
"""What an installed Warmpod never opens: globs below the directory of packages."""

UNCOMPILED = re.compile(r"/(pygments/(lexers|styles)|test|idlelib|lib2to3|ensurepip|pydoc_data|turtledemo)/")
"""Sources that no command of ours imports: they stay as they are."""

_LOADED = 1
"""PT_LOAD: a part of an ELF file that is mapped to run it."""


def drop(site: Path) -> None:
    """Delete what `SURPLUS` names. Raises `SystemExit` for a glob that finds nothing: a package has changed."""
    for pattern in SURPLUS:
        found = list(site.glob(pattern))
        if not found:
            raise SystemExit(f"nothing matches {pattern} in {site}: the packages have changed; look at SURPLUS again")
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def trimmed(library: bytes) -> bytes:
    """A 64-bit little-endian ELF file without what is not mapped to run it: symbols for debuggers, names of sections.

    The loader goes by program headers alone (System V ABI, "Program Header"), on every processor. Anything else
    comes back as it was.
    """
    if library[:6] != b"\x7fELF\x02\x01":
        return library
    (start,) = struct.unpack_from("<Q", library, 0x20)
    size, count = struct.unpack_from("<HH", library, 0x36)
    end = start + size * count
    for header in range(start, end, size):
        (kind,) = struct.unpack_from("<I", library, header)
        offset, length = (
            struct.unpack_from("<Q", library, header + 8)[0],
            struct.unpack_from("<Q", library, header + 32)[0],
        )
        if kind == _LOADED:
            end = max(end, offset + length)
    kept = bytearray(library[:end])
    struct.pack_into("<Q", kept, 0x28, 0)  # where the table of sections stood
    struct.pack_into("<HH", kept, 0x3C, 0, 0)  # how many they were, and which one held their names
    return bytes(kept)


def trim(site: Path) -> None:
    """Trim every library below `site`."""
    for path in sorted(site.rglob("*.so*")):
        less = trimmed(path.read_bytes())
        path.unlink()  # an installer may have linked it to its cache, which is not ours to change
        path.write_bytes(less)


def record(site: Path) -> None:
    """Let each package's RECORD say what is there now, so that who verifies the image finds it whole."""
    for path in sorted(site.glob("*.dist-info/RECORD")):
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        for name, digest, size in csv.reader(path.read_text(encoding="utf-8").splitlines()):
            file = site / name
            if file == path or (file.exists() and not digest):
                writer.writerow((name, digest, size))
            elif file.exists():
                content = file.read_bytes()
                sha256 = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                writer.writerow((name, f"sha256={sha256}", len(content)))
        path.write_text(rows.getvalue(), encoding="utf-8")


def compiled(tree: Path, place: str) -> None:
    """Compile Python sources below `tree`, which will stand at `place`.

    The root is read-only, so what is not compiled now is compiled anew at every start. Unchecked: the interpreter
    does not look at the source's time either, which differs from one unpacking to the next.
    """
    done = compileall.compile_dir(
        tree,
        quiet=1,
        rx=UNCOMPILED,
        stripdir=str(tree),
        prependdir=place,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        workers=1,  # bytecode depends on what its process compiled before; several share files out by chance
    )
    if not done:
        raise SystemExit(f"not everything below {tree} could be compiled")


def only_compiled(tree: Path) -> None:
    """Leave nothing but the bytecode: the sources come with the base image."""
    for path in sorted(tree.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.parent.name != "__pycache__":
            path.unlink()


def date(tree: Path, seconds: int) -> None:
    """Give every file and directory one time, and the same modes whatever the builder's umask."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or (os.access(path, os.X_OK) and path.parent.name == "bin") else 0o644)
        os.utime(path, (seconds, seconds), follow_symlinks=False)


def main() -> None:
    """Assemble the tree that the last stage copies over its base."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("root", type=Path, help="the tree, as it will be below /")
    parser.add_argument("--site", required=True, help="where in the tree packages are, such as usr/local/lib/...")
    parser.add_argument("--stdlib", required=True, help="where in the tree the base's standard library was copied to")
    parser.add_argument("--date", type=int, required=True, help="the time of every file, in seconds since 1970")
    options = parser.parse_args()
    site, stdlib = options.root / options.site, options.root / options.stdlib
    drop(site)
    trim(site)
    record(site)
    compiled(site, f"/{options.site}")
    compiled(stdlib, f"/{options.stdlib}")
    only_compiled(stdlib)
    date(options.root, options.date)


if __name__ == "__main__":
    main()
