"""Comments that silence a finding, each with a reason: `# warmpod-lint: ignore W015 -- why`.

A comment behind something speaks of its own line, one on a line of its own of the next that holds anything; and of all
lines of a text that begins there. What is silenced is still told to machines, with the reason. A comment that does not
work is a finding: one that is believed to work is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from webhook.lint.check import Codes
from webhook.lint.texts import Texts
from webhook.policy.finding import suggestion
from webhook.policy.legibility import shown
from webhook.policy.problem import CODES as READING_CODES
from webhook.policy.problem import Problem, Severity
from webhook.policy.yaml_tree import Node

CODES: Codes = {
    "W019": ("warning", "a comment to lint that it cannot follow"),
    "W020": ("warning", "a comment to lint that silences nothing"),
}
CHECKS = ()

_MARK = "warmpod-lint"
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#[ \t]*warmpod-lint\b(?P<rest>[^\r\n]*)")
_REST = re.compile(r"\s*:\s*ignore\s+(?P<codes>[A-Za-z0-9, \t]+?)\s*--\s*(?P<reason>\S.*?)\s*")
_HINT = "write # warmpod-lint: ignore W015 -- and the reason"


@dataclass(frozen=True, slots=True)
class Ignored:
    """A finding that a comment silences, and why."""

    problem: Problem
    reason: str


@dataclass(slots=True)
class _Comment:
    file: str
    line: int
    column: int
    codes: tuple[str, ...]
    reason: str
    lines: range
    used: set[str] = field(default_factory=set)

    def covers(self, problem: Problem) -> bool:
        return problem.line in self.lines and problem.file == self.file and problem.code in self.codes


def silenced(problems: Sequence[Problem], texts: Texts, known: Collection[str]) -> tuple[list[Problem], list[Ignored]]:
    """Return the findings that are left, with those about comments, and the findings that comments silence.

    `known` are the codes that can be silenced. Only lint's own can: what keeps a policy from being read cannot.
    """
    comments: list[_Comment] = []
    said: list[Problem] = []
    for file, source in texts.sources.items():
        if _MARK in source.text:
            for found in _comments(file, source.text, texts, known):
                (comments if isinstance(found, _Comment) else said).append(found)  # type: ignore[arg-type]
    kept: list[Problem] = []
    ignored: list[Ignored] = []
    for problem in problems:
        comment = next((each for each in comments if each.covers(problem)), None)
        if comment is None:
            kept.append(problem)
        else:
            comment.used.add(problem.code)
            ignored.append(Ignored(problem, comment.reason))
    unread = {problem.file for problem in problems if problem.code in READING_CODES}
    kept.extend(said)
    kept.extend(problem for each in comments if each.file not in unread for problem in _unused(each))
    return sorted(kept, key=lambda each: (each.file, each.line, each.column, each.code, each.message)), ignored


def _comments(file: str, text: str, texts: Texts, known: Collection[str]) -> Iterator[_Comment | Problem]:
    lines = text.split("\n")
    scalars = [node for document in texts.documents(file) for node in _scalars(document.root)]
    keys = {
        line: child.line
        for document in texts.documents(file)
        for node in _nodes(document.root)
        for (line, _), child in zip(node.keys.values(), node.value.values() if node.keys else (), strict=False)
    }
    for number, line in enumerate(lines, 1):
        if _MARK not in line:
            continue
        for match in _COMMENT.finditer(line):
            column = match.start() + 1
            if any(_holds(node, number, column) for node in scalars):
                continue
            alone = not line[: match.start()].strip()
            target = _next(lines, number) if alone else number
            read = _read(match.group("rest"), known)
            if isinstance(read, str):
                yield _problem("W019", (file, number, column), read)
                break
            codes, reason = read
            value = keys.get(target, target)  # where the value of the field begins that this line names
            ends = [node.line + node.raw.count("\n") for node in scalars if node.line in (target, value)]
            yield _Comment(file, number, column, codes, reason, range(target, max([target, value, *ends]) + 1))
            break


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    children: Iterable[Node] = ()
    if isinstance(node.value, dict):
        children = node.value.values()
    elif isinstance(node.value, list):
        children = node.value
    for child in children:
        yield from _nodes(child)


def _scalars(node: Node) -> Iterator[Node]:
    return (each for each in _nodes(node) if not isinstance(each.value, dict | list))


def _holds(node: Node, line: int, column: int) -> bool:
    """Whether a place lies within a scalar: what looks like a comment there is text."""
    last = node.line + node.raw.rstrip().count("\n")
    if last == node.line:
        return line == node.line and node.column <= column < node.column + len(node.raw)
    head = node.raw.partition("\n")[0]
    if line == node.line:  # the head of a block scalar may have a comment of its own
        return node.raw[:1] not in "|>" and column >= node.column and column < node.column + len(head)
    return node.line < line <= last


def _next(lines: Sequence[str], number: int) -> int:
    """The next line that is neither empty nor a comment; the line itself where there is none."""
    for index in range(number, len(lines)):
        if lines[index].strip() and not lines[index].lstrip().startswith("#"):
            return index + 1
    return number


def _read(rest: str, known: Collection[str]) -> tuple[tuple[str, ...], str] | str:
    """Codes and reason; or what is wrong with the comment."""
    match = _REST.fullmatch(rest)
    if match is None:
        words = rest.replace(":", " ").split()
        if not words or words[0] != "ignore":
            return f'"{shown(rest.strip())}" is nothing that lint can be told'
        return (
            "a comment that silences a finding gives the reason" if "--" not in rest else "a code and a reason wanted"
        )
    codes = tuple(match.group("codes").replace(",", " ").split())
    for code in codes:
        if code in READING_CODES:
            return f"{code} cannot be silenced: the policy is not read at all"
        if code not in known:
            near = suggestion(code, known) if code[:1] == "W" else ""
            return f'there is no code "{shown(code)}"{f": {near}" if near.startswith("did") else ""}'
        if code in CODES:
            return f"{code} cannot be silenced: mend the comment"
    return codes, match.group("reason")


def _unused(comment: _Comment) -> Iterator[Problem]:
    unused = [code for code in comment.codes if code not in comment.used]
    if unused:
        message = f"no {' and no '.join(unused)} is found here, so this silences nothing"
        yield _problem("W020", (comment.file, comment.line, comment.column), message, "remove it")


def _problem(code: str, place: tuple[str, int, int], message: str, hint: str = _HINT) -> Problem:
    severity: Severity = CODES[code][0]
    return Problem(code, severity, *place, "", message, hint)
