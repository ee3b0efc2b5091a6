"""What a decision says of a pod, without what the pod said: fit to be counted, logged and shown to others."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

LONGEST: Final = 512
"""Characters of a reason that anybody reads."""

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


def unquoted(text: str) -> str:
    """The text without what stands in quotes: names and values of others, wherever a message of ours has them."""
    return _QUOTED.sub('"..."', text)


@lru_cache(maxsize=4096)
def told(text: str) -> str:
    """A reason on one line of bounded length, without what stands in quotes."""
    line = " ".join(unquoted(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
