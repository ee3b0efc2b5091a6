"""The tokens by which a caller may show who it is, followed as their file changes.

Kept as digests: what a caller sends is hashed and held against every one of them, so that the time it takes says
nothing about how much of a guess was right, and no token lies in memory longer than it takes to read the file.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from pathlib import Path

MAX_BYTES = 64 * 1024
MAX_TOKENS = 64
SHORTEST = 16
"""Characters; shorter ones can be guessed."""

_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, b64token


class BearerTokens:
    """A file with one token a line, so that the next can be let in before the last one leaves.

    A file that is missing, empty or too large lets nobody pass: who takes a token away means it. Lines that are no
    tokens are passed over. `problem` says what is wrong with the file, or is None.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: tuple[bytes, ...] = ()
        self.problem: str | None = f"{path}: it was not read yet"

    @property
    def count(self) -> int:
        """How many tokens are accepted."""
        return len(self._digests)

    def refresh(self) -> bool:
        """Look at the file; True when other tokens are accepted from now on. Never raises."""
        before = self._digests
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            self._digests, problem = (), error.strerror or str(error)
        else:
            self._digests, problem = _read(content)
        nobody = "" if self._digests else "; until it is mended every caller is refused"
        self.problem = f"{self._path}: {problem}{nobody}" if problem else None
        return self._digests != before

    def accept(self, presented: bytes) -> bool:
        """Whether this is one of the tokens. Takes as long for every answer."""
        digest = sha256(presented).digest()
        found = False
        for one in self._digests:
            found |= hmac.compare_digest(digest, one)
        return found


def _read(content: bytes) -> tuple[tuple[bytes, ...], str]:
    """The digests of the tokens, and what is wrong with the file. No text of the file is in the latter."""
    if len(content) > MAX_BYTES:
        return (), f"it is larger than {MAX_BYTES} bytes; write one token a line"
    digests: dict[bytes, None] = {}
    problem = ""
    for number, line in enumerate(content.splitlines(), 1):
        token = line.strip()
        if not token:
            continue
        if len(token) < SHORTEST:
            problem = problem or f"line {number} is shorter than {SHORTEST} characters and is not accepted"
        elif not _TOKEN.fullmatch(token):
            problem = problem or f"line {number} is no bearer token and is not accepted"
        else:
            digests[sha256(token).digest()] = None
    if len(digests) > MAX_TOKENS:
        return (), f"it holds more than {MAX_TOKENS} tokens; take the old ones out"
    return tuple(digests), problem or ("" if digests else "it holds no token; write one a line")
