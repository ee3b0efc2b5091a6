"""What looks like a secret in text that others wrote, and the token that stands in its place.

There is no telling secrets from other text for sure. What is taken for one here: what a name in front of it says, the
forms that issuers give to theirs, and runs of letters and digits that nobody would have chosen.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from functools import lru_cache

from webhook.report.record import REDACTED

_NAMES = (
    r"secret|passw|passphrase|passcode|(?<![a-z])pwd|credential|bearer|cookie|signature|dsn(?![a-z])"
    # MAX_TOKENS and TOKENIZERS_PARALLELISM are no secrets, nor are an author and an authority.
    r"|token(?!iz)(?!s(?![a-z]))|auth(?!or(?!iz))"
    r"|(?:api|access|account|shared|private|encryption|signing|master|license|client|ssh)[-_. ]?key"
    r"|conn(?:ection)?[-_.]?str|webhook[-_.]?url|(?<![a-z])(?:pat|sas|otp|salt)(?![a-z])"
)
_NAME = re.compile(rf"(?:{_NAMES})|(?:^|[-_./])key$", re.IGNORECASE)
_FILE_NAME = re.compile(r"[-_](?:file|path|dir|directory|bundle)$", re.IGNORECASE)

# What a secret stands for: `$(NAME)` to the kubelet, `${NAME}` and `$NAME` to a shell.
_REFERENCE = re.compile(r"\$(?:\(|\{|[A-Za-z_])")
_ONLY_REFERENCES = re.compile(r"(?:\$\([A-Za-z_][A-Za-z0-9_.-]*\))+")

_ISSUED = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|nvapi-|npm_|pypi-|dop_v1_|whsec_|hvs\.|ya29\.|AIza|SG\.)[\w.-]{16,}",
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"\beyJ[A-Za-z0-9_-]{8,1024}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
    r"\bAGE-SECRET-KEY-[A-Z0-9]+",
    r"(?<![A-Za-z0-9/@:+])[0-9a-fA-F]{32,}(?![A-Za-z0-9/+])",
)
_WHOLE = re.compile("|".join(_ISSUED))
# A value in quotes, else up to the next space: rather too much than half of it. After some names a scheme comes first.
_VALUE = (
    r"""(?:"([^"\\]+)"|'([^'\\]+)'"""
    r"""|\\?["']?(?:(?:bearer|basic|token|apikey|digest|negotiate)\s+)?([^\s"'\\]+))"""
)
# The last group is the secret, what is around it stays.
_PARTS = (
    re.compile(rf"""(?:{_NAMES})[\w.-]{{0,64}}\\?["']?\s{{0,4}}(?:=>|:=|[=:])\s{{0,4}}{_VALUE}""", re.IGNORECASE),
    re.compile(rf"""(?:^|\s)--?[\w.-]{{0,64}}(?:{_NAMES})[\w.-]{{0,64}}\s+(?!-){_VALUE}""", re.IGNORECASE),
    re.compile(r"""\b(?:bearer|basic)\s+([A-Za-z0-9+/=._~-]{6,})""", re.IGNORECASE),
    re.compile(r"""://[^/\s:@"']*:([^/\s@"']+)@"""),
    re.compile(r"""[?&](?:x-amz-[a-z-]+|sig|se|code|key|token|access_token)=([^&\s"']+)""", re.IGNORECASE),
    re.compile(r"""(?:^|\s)(?:-u|--user)[ =]["']?[^\s:"']+:([^\s"']+)"""),
)
_RUN = re.compile(r"(?<![A-Za-z0-9/+_.:@-])[A-Za-z0-9+_-][A-Za-z0-9+/_-]{31,}={0,2}")
_MOST_JOINTS = 2  # names of things are words with joints between them
_LEAST_ENTROPY = 4.0  # bits a character; words of a language have some 3.5, random letters and digits 4.5 and more
# Most texts of a pod, told apart at once: too short for a secret by itself, and nothing in it assigns anything.
_SHORT_WORD = re.compile(r"(?!(?:sk|pk|rk|xox.|glpat|nvapi|npm|pypi|hv.)[-.])[a-z0-9./-]{0,31}|[^=:\s]{0,5}")
_SIGN = re.compile(r"[=:\s]")
# Searching takes its time, and nobody else's thread runs meanwhile: what is longer is replaced unread.
_LONGEST_SEARCHED = 16 * 1024
_MOST_SEARCHED = 256 * 1024  # in one review, of texts that are not short
_MOST_KEPT = 8192
_LONGEST_KEPT = 1024


class SecretText:
    """Replaces secrets by tokens. Within one process equal secrets have equal tokens; `found` has what was replaced.

    The tokens are a keyed digest of 32 bits: without the key, which dies with the process, nobody can try values.
    `innocent` is shared by the texts of many reviews, which mostly repeat each other: those with nothing to replace.
    """

    __slots__ = ("_innocent", "_key", "_left", "found")

    def __init__(self, key: bytes, innocent: set[str]) -> None:
        self._key = key
        self._innocent = innocent
        self._left = _MOST_SEARCHED
        self.found: dict[str, str] = {}

    def token(self, secret: str) -> str:
        """What stands in the place of this text."""
        known = self.found.get(secret)
        if known is None:
            data = secret.encode("utf-8", "surrogatepass")
            known = REDACTED + hashlib.blake2b(data, key=self._key, digest_size=4).hexdigest()
            self.found[secret] = known
        return known

    def clean(self, text: str) -> str:
        """The text with a token for everything in it that looks like a secret; the very text where nothing does."""
        if text in self._innocent or _SHORT_WORD.fullmatch(text):
            return text
        if len(text) > _LONGEST_KEPT:
            self._left -= len(text)
            if len(text) > _LONGEST_SEARCHED or self._left < 0:
                return self.token(text)
        cleaned = _WHOLE.sub(lambda match: self.token(match[0]), text)
        if _SIGN.search(cleaned):
            for part in _PARTS:
                cleaned = part.sub(self._within, cleaned)
        cleaned = _RUN.sub(self._unless_word, cleaned)
        if cleaned == text and len(text) <= _LONGEST_KEPT:
            if len(self._innocent) >= _MOST_KEPT:
                self._innocent.clear()
            self._innocent.add(text)
        return cleaned

    def _within(self, match: re.Match[str]) -> str:
        which = match.lastindex or 0
        secret = match[which]
        if secret.startswith(REDACTED) or _REFERENCE.match(secret):
            return match[0]
        start = match.start(which) - match.start()
        return match[0][:start] + self.token(secret) + match[0][start + len(secret) :]

    def _unless_word(self, match: re.Match[str]) -> str:
        run = match[0]
        kinds = sum(any(map(kind, run)) for kind in (str.islower, str.isupper, str.isdigit))
        joints = sum(run.count(joint) for joint in "/_-")
        if kinds < 3 or joints > _MOST_JOINTS or _entropy(run) < _LEAST_ENTROPY:
            return run
        return self.token(run)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether what has this name is taken for a secret whatever it is."""
    return _NAME.search(name) is not None


def names_a_file(name: str, value: str) -> bool:
    """Whether this says where a secret lies, which is none: `AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/...`."""
    return value.startswith("/") and _FILE_NAME.search(name) is not None


def is_reference(value: str) -> bool:
    """Whether this is nothing but names of other variables, for the kubelet to put in."""
    return _ONLY_REFERENCES.fullmatch(value) is not None


def _entropy(text: str) -> float:
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values())
