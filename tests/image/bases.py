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
from collections.abc import Callable
from functools import cache
from pathlib import Path

from webhook.sandbox import binaries

BUILDER = "docker.io/library/python:3.13-slim-trixie"
RUNTIME = "gcr.io/distroless/python3-debian13:nonroot"

_RELEASE = "trixie"
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_RUNTIME_PACKAGES = """
    netbase tzdata tzdata-legacy media-types libc6 libssl3t64 libzstd1 zlib1g libgomp1 libstdc++6 libgcc-s1
    gcc-14-base libbz2-1.0 libdb5.3t64 libexpat1 liblzma5 libsqlite3-0 libuuid1 libncursesw6 libtinfo6 libcom-err2
    libcrypt1 libc-bin libgssapi-krb5-2 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libnsl2 libreadline8t64
    libtirpc3t64 libffi8 libpython3.13-minimal libpython3.13-stdlib python3.13-minimal python3.13-venv base-files
""".split()
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
    "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def missing() -> str:
    """Why no image can be built here, in plain words; "" where it can."""
    if os.geteuid() != 0:
        return "building an image takes root"
    if shutil.which("apt-get") is None or not _KEYS.exists():
        return "the bases are made of Debian's packages, which takes apt and Debian's keys"
    return ""


def install_tools() -> None:
    """Have buildah and mmdebstrap."""
    if not all(map(shutil.which, ("buildah", "mmdebstrap"))):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "-q", "update"], check=True, capture_output=True)
        command = ["apt-get", "-qy", "install", "--no-install-recommends", "buildah", "mmdebstrap"]
        subprocess.run(command, env=quiet, check=True, capture_output=True)


def builder() -> Path:
    """A tar of the builder's base."""

    def make(tar: Path) -> None:
        python = 'chroot "$1" python3 -m venv /usr/local'
        include = "--include=python3,python3-venv,ca-certificates"
        command = ["mmdebstrap", "--variant=minbase", include, f"--customize-hook={python}", _RELEASE, tar, "-"]
        subprocess.run(command, input=_sources(), text=True, check=True, capture_output=True)

    return _kept("builder", make)


def runtime() -> Path:
    """A tar of the image's base."""

    def make(tar: Path) -> None:
        work = tar.with_suffix(".work")
        shutil.rmtree(work, ignore_errors=True)
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
        for command in (["update"], ["download", *_RUNTIME_PACKAGES]):
            subprocess.run([*apt, *command], cwd=work, check=True, capture_output=True)
        # base-files brings the directories of a merged /usr.
        for package in sorted(work.glob("*.deb"), key=lambda path: not path.name.startswith("base-files")):
            unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True)
            subprocess.run(
                ["tar", "-x", "--keep-directory-symlink", "-C", root], input=unpacked.stdout, check=True
            )
        _configure(root)
        with tarfile.open(tar, "w") as archive:
            archive.add(root, ".")
        shutil.rmtree(work)

    return _kept("runtime", make)


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
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], check=True, capture_output=True, text=True
    )
    sites = dict(line.split("\t") for line in listed.stdout.splitlines())
    suites = {"Debian": _RELEASE, "Debian-Security": f"{_RELEASE}-security"}
    lines = [f"deb [signed-by={_KEYS}] {sites[label]} {suite} main\n" for label, suite in suites.items() if label in sites]
    return "".join(lines)


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """What `make` wrote once, for as long as this module says the same."""
    said = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    tar = binaries.cache_home() / "image" / f"{name}-{said}.tar"
    if not tar.exists():
        tar.parent.mkdir(parents=True, exist_ok=True)
        for old in tar.parent.glob(f"{name}-*.tar"):
            old.unlink()
        aside = tar.with_name(f".{name}-{os.getpid()}.tar")
        make(aside)
        aside.rename(tar)
    return tar
