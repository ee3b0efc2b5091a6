"""The findings that can be mended for certain, and the edit that mends each."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from webhook.lint.edits import Edit, Place, steps_of
from webhook.lint.spans import Span, spans
from webhook.policy.problem import Problem, Source
from webhook.policy.yaml_tree import Document, Node, read

_MEANT: Final = re.compile(r'did you mean "([^"\\]+)"\?')
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:*+-]+")
_BYTE_ORDER_MARK: Final = "\ufeff"


def fix(problem: Problem, source: Source) -> Edit | None:
    """Return the edit of the file that mends the problem; None where no edit is certain to."""
    text = source.text
    if problem.code == "P001" and text.startswith(_BYTE_ORDER_MARK):
        return Edit(0, 1, "")
    if problem.code == "W020":
        return _comment(problem, text)
    mend = _MENDS.get(problem.code)
    place = _place(problem, source) if mend is not None else None
    return mend(problem, place) if mend is not None and place is not None else None


def _place(problem: Problem, source: Source) -> Place | None:
    documents, roots = _parsed(source)
    found: tuple[Document, Span] | None = None
    for document, span in zip(documents, roots, strict=False):
        if document.root.line <= problem.line:
            found = document, span
    if found is None or found[0].root.line != found[1].line:
        return None
    root = found[0].root
    path = steps_of(root, problem.path)
    return None if not path else Place(source.text, root, found[1], path)


@lru_cache(maxsize=64)
def _parsed(source: Source) -> tuple[list[Document], list[Span]]:
    """The documents of a file, and their spans."""
    return read(source)[0], [each for each in spans(source.text) if each.end > each.start]


def _comment(problem: Problem, text: str) -> Edit | None:
    lines = text.split("\n")
    start = sum(len(line) + 1 for line in lines[: problem.line - 1])
    line = lines[problem.line - 1]
    before = line[: problem.column - 1]
    if not before.strip():
        return Edit(start, min(start + len(line) + 1, len(text)), "")
    end = start + len(line.rstrip("\r"))
    return Edit(start + len(before.rstrip()), end, "")


def _misspelt_field(problem: Problem, place: Place) -> Edit | None:
    meant = _meant(problem, str(place.path[-1]))
    return place.renaming(meant) if meant else None


def _misspelt_word(problem: Problem, place: Place) -> Edit | None:
    value = _value(place)
    meant = _meant(problem, value) if isinstance(value, str) else ""
    span = place.value_span()
    if not meant or span is None:
        return None
    raw = place.text[span.start : span.end]
    quote = raw[:1] if raw[:1] in "'\"" else ""
    # `Off` and its like are booleans to readers of YAML 1.1.
    quote = quote or ('"' if meant.lower() in ("on", "off", "yes", "no") and raw != value else "")
    return place.setting(f"{quote}{meant}{quote}", meant)


def _meant(problem: Problem, word: str) -> str:
    """The one word that can be meant: the same but for capitals and dashes, or for one slip in a long word."""
    found = _MEANT.search(problem.hint)
    if found is None:
        return ""
    meant = found.group(1)
    same = _letters(word) == _letters(meant)
    return meant if same or (len(meant) > 4 and _is_one_slip(word, meant)) else ""


def _letters(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()


def _is_one_slip(a: str, b: str) -> bool:
    """Whether one letter is missing, too many, another, or swapped with its neighbour."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = next(
        (index for index, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), min(len(a), len(b))
    )
    rests = a[start:], b[start:]
    return (
        rests[0][1:] == rests[1][1:]
        or rests[0][1:] == rests[1]
        or rests[0] == rests[1][1:]
        or (rests[0][:2] == rests[1][:2][::-1] and rests[0][2:] == rests[1][2:])
    )


def _wrong_type(problem: Problem, place: Place) -> Edit | None:
    node = _node(place)
    if problem.hint.startswith("quote it") and _PLAIN.fullmatch(node.raw):
        return place.setting(f'"{node.raw}"', node.raw)
    if problem.hint.startswith("write true or false") and node.value in ("true", "false"):
        return place.setting(node.value, node.value == "true")
    if problem.hint.startswith("write [") and isinstance(node.value, str) and _PLAIN.fullmatch(node.value):
        return place.setting(f"[{node.raw}]", [node.value])
    return None


def _listed_twice(problem: Problem, place: Place) -> Edit | None:
    return place.removal() if "is listed twice" in problem.message else None


def _needless(_: Problem, place: Place) -> Edit | None:
    return place.removal()


def _entry(_: Problem, place: Place) -> Edit | None:
    """Remove the entry of a list that the field is part of."""
    path = place.path
    while path and not isinstance(path[-1], int):
        path = path[:-1]
    return Place(place.text, place.root, place.span, path).removal() if path else None


def _node(place: Place) -> Node:
    node = place.root
    for step in place.path:
        node = node.value[step]
    return node


def _value(place: Place) -> object:
    return _node(place).value


_MENDS: Final[dict[str, Callable[[Problem, Place], Edit | None]]] = {
    "P010": _misspelt_field,
    "P012": _wrong_type,
    "P013": _misspelt_word,
    "P015": _listed_twice,
    "W010": _needless,
    "W013": _needless,
    "W029": _entry,
    "W030": _needless,
    "W031": _entry,
    "W032": _entry,
    "W033": _needless,
}


FIXABLE: Final = frozenset((*_MENDS, "P001", "W020"))
"""Codes of which some findings can be mended."""
