"""Which expressions cannot tell a pod from what we make of it: a second review need not ask them again.

We write to a few fields only (`laws` holds us to them). An expression that reads no such field has the same answer
before and after, and need not be shown them. This is judged once for each policy, by the tokens of its expressions:
whatever is not plainly blind counts as seeing, is shown everything, and is evaluated again.
"""

from __future__ import annotations

import re
from enum import IntEnum
from itertools import pairwise

from webhook.kube import names
from webhook.policy.model import Policy

# One string, one identifier, one number, or one sign. Anything else (comments, raw or triple quotes) is not read.
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"[^"\\\n]*"|'[^'\\\n]*')|(?P<word>[A-Za-z_]\w*)|(?P<number>\d+)|(?P<sign>&&|\|\||[=!<>]=|[-+*%?:!<>.,()\[\]{}]))"""
)
WRITTEN = ("affinity", "args", "command", "env", "initContainers", "volumeMounts", "volumes")
"""The fields of a pod's spec and of its containers that we write to, besides two annotations."""

_OURS = frozenset({names.ANNOTATION_DECISION, names.ANNOTATION_AWS_CONFIG})
_ROOTS = frozenset({"request", "namespaceObject", "variables", "inventory", "oldObject"})
_WORDS = frozenset({"true", "false", "null", "in"})
_OVER_CONTAINERS = frozenset({"exists", "all", "exists_one", "map", "size"})
_MACROS = frozenset({"exists", "all", "exists_one", "map", "filter"})


class Blindness(IntEnum):
    """Under which condition a policy's match cannot have changed."""

    SEEING = 0
    WITH_ANNOTATIONS = 1  # the pod had annotations of its own, so that having any is nothing new
    BLIND = 2


def of_policy(policy: Policy) -> Blindness:
    """How blind the conditions of a policy are, and the variables they may read."""
    expressions = [each.expression for each in policy.conditions] + [each.expression for each in policy.variables]
    return min((of_expression(each.source) for each in expressions), default=Blindness.BLIND)


def of_expression(text: str) -> Blindness:
    """How blind one expression is."""
    tokens = _tokens(text)
    if tokens is None:
        return Blindness.SEEING
    # A sentinel at both ends, so that every token has neighbours.
    padded = ["", "", "", *tokens, "", "", "", "", "", ""]
    annotated = False
    for index in range(3, len(padded) - 6):
        token = padded[index]
        if any(word in token for word in WRITTEN):
            return Blindness.SEEING
        if token == "annotations":  # noqa: S105  a token of a language
            if not _reads_one_annotation(padded, index):
                return Blindness.SEEING
            annotated = True
        elif "annotations" in token or not _is_harmless(padded, index):
            return Blindness.SEEING
    return Blindness.WITH_ANNOTATIONS if annotated else Blindness.BLIND


def _tokens(text: str) -> list[str] | None:
    found, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        found.append(match.group().strip())
        position = match.end()
    # A string right after a word is a raw or a bytes literal, except after `in`.
    if any(_is_word(left) and left != "in" and right[0] in "\"'" for left, right in pairwise(found)):
        return None
    return found


def _is_word(token: str) -> bool:
    return token[:1].isalpha() or token[:1] == "_"


def _is_harmless(tokens: list[str], index: int) -> bool:
    """Tell whether a word stands for something that is the same before and after."""
    token, before, after = tokens[index], tokens[index - 1], tokens[index + 1]
    if token == "containers":  # noqa: S105  a token of a language
        return _looks_into(tokens, index)
    if not _is_word(token) or before == "." or token in _WORDS:
        return True
    if token == "object":  # noqa: S105  a token of a language
        path = tokens[index + 1 : index + 6]
        return path[0] == path[2] == "." and path[1] in {"metadata", "spec"} and _is_word(path[3]) and path[4] != "("
    if token in _ROOTS:
        return after == "."
    if after == "(":
        return True  # a function; its arguments are tokens of their own
    if after == "." and tokens[index + 3] != "(":
        return True  # a field of a loop's variable
    return before == "(" and after == "," and tokens[index - 2] in _MACROS  # where a macro names its variable


def _looks_into(tokens: list[str], index: int) -> bool:
    """Tell whether `containers` is only looped over, counted, or asked for a field of one of them."""
    rest = tokens[index + 1 : index + 6]
    if rest[0] == ".":
        return rest[1] in _OVER_CONTAINERS and rest[2] == "("
    return rest[0] == "[" and rest[1].isdecimal() and rest[2] == "]" and rest[3] == "." and _is_word(rest[4])


def _reads_one_annotation(tokens: list[str], index: int) -> bool:
    """Tell whether `object.metadata.annotations` is asked whether it is there, or for one key that is not ours."""
    start, after = index - 4, tokens[index + 1]
    if tokens[start:index] != ["object", ".", "metadata", "."]:
        return False
    if after == "[":
        return _is_other(tokens[index + 2]) and tokens[index + 3] == "]"
    if tokens[start - 1] == "in":
        return _is_other(tokens[start - 2])
    return tokens[start - 2 : start] == ["has", "("] and after == ")"


def _is_other(token: str) -> bool:
    return token[:1] in {'"', "'"} and token[1:-1] not in _OURS
