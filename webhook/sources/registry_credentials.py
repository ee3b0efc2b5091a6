"""Who we are to a registry: the file that `docker login` keeps, and the programs it names.

Format: docker/cli, cli/config/configfile; the programs speak the protocol of docker/docker-credential-helpers: the
registry's name comes in on stdin of `docker-credential-NAME get`, and JSON goes out.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

_PROGRAM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATIENCE_SECONDS: Final = 30.0
_MOST_BYTES: Final = 4 * 2**20
# The key under which Docker Hub stands (docker/cli), whatever name its registry answers by.
_HUB: Final = "https://index.docker.io/v1/"
_HUB_NAMES: Final = ("docker.io", "index.docker.io", "registry-1.docker.io")
_TOKEN_USER: Final = "<token>"  # noqa: S105  what stands for a user where the secret is an identity token


class UnreadableCredentials(Exception):
    """The file cannot be used. The text names it and says why; it quotes nothing of it."""


class Login(NamedTuple):
    """A user and a password; or, with an empty user, a token to be exchanged for others."""

    user: str
    secret: str

    def __repr__(self) -> str:
        return "Login(...)"


class Credentials:
    """What one file knows. Nothing is asked of anybody before a registry wants to know who we are."""

    def __init__(self, document: dict[str, Any] | None = None, name: str = "") -> None:
        self._document = document or {}
        self._name = name

    @classmethod
    def read(cls, path: Path) -> Credentials:
        """The file's. Raises UnreadableCredentials."""
        try:
            with path.open("rb") as stream:
                data = stream.read(_MOST_BYTES + 1)
        except OSError as error:
            raise UnreadableCredentials(f"{path}: {error.strerror or error}") from None
        try:
            if len(data) > _MOST_BYTES:
                raise UnreadableCredentials(f"{path}: more than {_MOST_BYTES >> 20} MiB")
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise UnreadableCredentials(f"{path}: it is no JSON, as docker's config.json is") from None
        if not isinstance(document, dict):
            raise UnreadableCredentials(f"{path}: it is no JSON object, as docker's config.json is")
        return cls(document, str(path))

    def of(self, registry: str) -> Login | None:
        """Who we are to a registry; None for nobody. Raises UnreadableCredentials where a program fails."""
        keys = (
            [_HUB, *_HUB_NAMES] if registry in _HUB_NAMES else [registry, f"https://{registry}", f"http://{registry}"]
        )
        programs = _object(self._document.get("credHelpers"))
        for key in keys:
            program = programs.get(key)
            if isinstance(program, str):
                return self._asked(program, key)
        entries = _object(self._document.get("auths"))
        for key in keys:
            for spelling in (key, key.rstrip("/"), f"{key}/", f"{key}/v1/", f"{key}/v2/"):
                found = self._written(_object(entries.get(spelling)))
                if found is not None:
                    return found
        store = self._document.get("credsStore")
        return self._asked(store, keys[0]) if isinstance(store, str) and store else None

    def _written(self, entry: dict[str, Any]) -> Login | None:
        token = entry.get("identitytoken")
        if isinstance(token, str) and token:
            return Login("", token)
        text = entry.get("auth")
        if isinstance(text, str) and text:
            try:
                user, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                raise UnreadableCredentials(f"{self._name}: an `auth` in it is not base64 of USER:PASSWORD") from None
            return Login(user, secret.rstrip("\0")) if colon else None
        name, password = entry.get("username"), entry.get("password")
        return Login(name, password) if isinstance(name, str) and isinstance(password, str) and name else None

    def _asked(self, program: str, registry: str) -> Login | None:
        """What a program answers; None where it knows nobody."""
        name = f"docker-credential-{program}"
        found = shutil.which(name) if _PROGRAM.fullmatch(program) else None
        if found is None:
            raise UnreadableCredentials(f"{self._name} names {name[:100]!r}, which is not in PATH")
        try:
            done = subprocess.run(  # noqa: S603  a list and no shell; the program is the user's own configuration
                [found, "get"], input=registry.encode(), capture_output=True, timeout=_PATIENCE_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = "it does not end" if isinstance(error, subprocess.TimeoutExpired) else "it cannot be started"
            raise UnreadableCredentials(f"{name}: {reason}") from None
        if done.returncode:
            if b"credentials not found" in done.stdout + done.stderr:
                return None
            raise UnreadableCredentials(f"{name} get: it ended with code {done.returncode} for {registry}")
        try:
            answer = _object(json.loads(done.stdout))
        except (ValueError, RecursionError):
            answer = {}
        user, secret = answer.get("Username"), answer.get("Secret")
        if not isinstance(user, str) or not isinstance(secret, str):
            raise UnreadableCredentials(f"{name} get: what it wrote for {registry} are no credentials")
        return Login("" if user == _TOKEN_USER else user, secret)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
