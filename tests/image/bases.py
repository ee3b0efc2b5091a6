"""The two bases of the Dockerfile, made on this machine under their public names from Debian's packages.

The builder is an installed Debian with Python and pip in /usr/local, as `python:3.13-slim-trixie` has them. The base
of the image holds the packages that distroless' python3-debian13 lists (its repository: static, base, cc and python3
config.bzl), each unpacked and none configured: no shell, no bytecode, as there. Its authorities are the machine's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests import debian
from webhook.sandbox import binaries

BUILDER = "docker.io/library/python:3.13-slim-trixie"
RUNTIME = "gcr.io/distroless/python3-debian13:nonroot"

_RELEASE = "trixie"
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PACKAGES: Final = [
    "netbase",
    "tzdata",
    "tzdata-legacy",
    "media-types",
    "libc6",
    "libssl3t64",
    "libzstd1",
    "zlib1g",
    "libgomp1",
    "libstdc++6",
    "libgcc-s1",
    "gcc-14-base",
    "libbz2-1.0",
    "libdb5.3t64",
    "libexpat1",
    "liblzma5",
    "libsqlite3-0",
    "libuuid1",
    "libncursesw6",
    "libtinfo6",
    "libcom-err2",
    "libcrypt1",
    "libc-bin",
    "libgssapi-krb5-2",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libnsl2",
    "libreadline8t64",
    "libtirpc3t64",
    "libffi8",
    "libpython3.13-minimal",
    "libpython3.13-stdlib",
    "python3.13-minimal",
    "python3.13-venv",
    "base-files",
]
_ACCOUNTS: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
    "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}

_IMAGES: Final = {
    "builder": (BUILDER, ["--env", "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"]),
    "runtime": (
        RUNTIME,
        [
            "--env",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "--env",
            "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
            "--env",
            "LANG=C.UTF-8",
            "--user",
            "65532",
            "--workingdir",
            "/home/nonroot",
            "--entrypoint",
            '["/usr/bin/python3.13"]',
        ],
    ),
}
"""Their public names, and the settings that come with them."""


def need() -> None:
    """Skips the test, in plain words, where no image can be built."""
    if os.geteuid() != 0:
        pytest.skip("building an image takes root")
    if shutil.which("apt-get") is None or not _KEYS.exists():
        pytest.skip("the bases are made of Debian's packages, which takes apt and Debian's keys")
    debian.need("buildah", "mmdebstrap", programs=("buildah", "mmdebstrap"))


def store() -> Path:
    """Storage of buildah that holds both bases, made once for as long as this module says the same. Copy it."""
    said = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    kept = binaries.cache_home() / "image" / said
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.iterdir():
            shutil.rmtree(old)
        work = Path(tempfile.mkdtemp(dir=kept.parent))
        _builder(work)
        _runtime(work)
        for name, (image, settings) in _IMAGES.items():
            [container] = buildah(work / "store", "from", "scratch").split()
            buildah(work / "store", "add", "--quiet", container, str(work / f"{name}.tar"), "/")
            buildah(work / "store", "config", *settings, container)
            buildah(work / "store", "commit", "--quiet", "--rm", container, image)
        (work / "store").rename(kept)
        shutil.rmtree(work)
    return kept


def buildah(store: Path, *arguments: str) -> str:
    """Run buildah on a storage of its own; what it wrote to stdout. Needs no daemon, and no privilege but root's."""
    run = store.with_name(f"{store.name}.run")
    command = ["buildah", "--storage-driver", "vfs", "--root", str(store), "--runroot", str(run), *arguments]
    done = subprocess.run(
        command, env={**os.environ, "BUILDAH_ISOLATION": "chroot"}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
    return done.stdout


def _builder(work: Path) -> None:
    python = 'chroot "$1" python3 -m venv /usr/local'
    include = "--include=python3,python3-venv,ca-certificates"
    command = ["mmdebstrap", "--variant=minbase", include, f"--customize-hook={python}", _RELEASE, "builder.tar", "-"]
    subprocess.run(command, cwd=work, input=_sources(), text=True, check=True, capture_output=True)


def _runtime(work: Path) -> None:
    root = work / "root"
    for directory in ("lists/partial", "cache/archives/partial", "root"):
        (work / directory).mkdir(parents=True)
    (work / "sources.list").write_text(_sources(), encoding="utf-8")
    (work / "status").touch()
    options = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": work / "lists",
        "Dir::State::Status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    for command in (["update"], ["download", *_PACKAGES]):
        subprocess.run([*apt, *command], cwd=work, check=True, capture_output=True)
    # base-files brings the directories of a merged /usr: the others follow its links.
    for package in sorted(work.glob("*.deb"), key=lambda path: not path.name.startswith("base-files")):
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], input=unpacked.stdout, check=True)
    _configure(root)
    with tarfile.open(work / "runtime.tar", "w") as archive:
        archive.add(root, ".")


def _configure(root: Path) -> None:
    for name, text in _ACCOUNTS.items():
        (root / name).write_text(text, encoding="utf-8")
    home = root / "home/nonroot"
    home.mkdir(mode=0o700, parents=True)
    os.chown(home, 65532, 65532)
    authorities = root / "etc/ssl/certs"
    authorities.mkdir(parents=True, exist_ok=True)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", authorities)
    (root / "usr/bin/python3").symlink_to("python3.13")
    (root / "usr/bin/python").symlink_to("python3.13")


@cache
def _sources() -> str:
    """Where this machine has its Debian from, one release later or not."""
    form = "$(LABEL)\t$(REPO_URI)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    )
    sites = dict(line.split("\t") for line in listed.stdout.splitlines())
    suites = {"Debian": _RELEASE, "Debian-Security": f"{_RELEASE}-security"}
    lines = [
        f"deb [signed-by={_KEYS}] {sites[label]} {suite} main\n" for label, suite in suites.items() if label in sites
    ]
    return "".join(lines)
