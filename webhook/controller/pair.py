"""The serving pair in the pod's own directory, laid out as the kubelet lays out a mounted Secret.

`tls.crt` and `tls.key` are links through `..data`, which one rename points at the next version. So whoever resolves
`..data` first (the webhook does) never reads the certificate of one version with the key of another.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from certs.contents import LEAF
from certs.issue import Served, UnusablePair, check_pair

_LINK = "..data"
_VERSION = "..pair-"


class NotWritten(Exception):
    """The pair cannot be written; the text says why."""


class PairDirectory:
    """The directory that the webhook reads its pair from. One writer at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: Mapping[str, bytes] | None = None
        self._before: str | None = None
        self.served: Served | None = None
        """What the pair that this process wrote last will serve."""

    def write(self, secret: Mapping[str, bytes], now: datetime) -> bool:
        """Put the Secret's pair in place; whether it is another one than before. NotWritten, OSError.

        A pair that could not serve replaces none that may. A Secret without a pair changes nothing.
        """
        pair = {key: secret[key] for key in LEAF if key in secret}
        if not pair or (pair == self._written and self._in_place()):
            return False
        if len(pair) < len(LEAF):
            raise NotWritten(f"the Secret holds {next(iter(pair))} without its other half")
        try:
            served = check_pair(pair[LEAF[0]], pair[LEAF[1]], now)
        except UnusablePair as error:
            raise NotWritten(f"the Secret's pair cannot serve, and the one before stays: {error}") from error
        self._put(pair)
        self._written, self.served = pair, served
        return True

    def _in_place(self) -> bool:
        return all((self._directory / name).exists() for name in LEAF)

    def _put(self, pair: Mapping[str, bytes]) -> None:
        version = f"{_VERSION}{secrets.token_hex(6)}"
        made = self._directory / version
        try:
            made.mkdir(mode=0o755)
            for name, mode in zip(LEAF, (0o644, 0o600), strict=True):
                _write(made / name, pair[name], mode)
            link = self._directory / _LINK
            current = link.readlink().name if link.is_symlink() else None
            self._link(_LINK, version)
            for name in reversed(LEAF):  # a certificate without its key would be read as a mistake
                self._link(name, f"{_LINK}/{name}")
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        # The version before stays once more: somebody may have resolved the link just now.
        self._clear({version, current})

    def _link(self, name: str, target: str) -> None:
        path = self._directory / name
        if path.is_symlink() and str(path.readlink()) == target:
            return
        aside = self._directory / f"{_VERSION}{secrets.token_hex(6)}.link"
        aside.symlink_to(target)
        aside.replace(path)

    def _clear(self, kept: set[str | None]) -> None:
        """Remove older versions, and what a killed writer left."""
        for found in self._directory.glob(f"{_VERSION}*"):
            if found.name in kept:
                continue
            if found.is_symlink():
                found.unlink(missing_ok=True)
            else:
                shutil.rmtree(found, ignore_errors=True)


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(data)
