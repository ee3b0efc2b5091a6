"""Mending files of policies: edits are tried, and kept only where reading the files again shows that they helped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from webhook.lint.check import Manifests
from webhook.lint.edits import Edit, changed
from webhook.lint.fixes import FIXABLE, fix
from webhook.lint.lint import Report, review
from webhook.policy.problem import Problem, Source
from webhook.policy.yaml_tree import read

_MOST_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Mended:
    """The files after mending, what was mended in them, and what is left."""

    sources: tuple[Source, ...]
    done: tuple[Problem, ...]
    report: Report


def fixable(report: Report, sources: Sequence[Source]) -> Iterator[tuple[Problem, Edit]]:
    """Yield the problems that an edit would mend, with the edit. Whether it does shows only when it is tried."""
    by_file = {source.file: source for source in sources}
    for problem in report.problems:
        if problem.code in FIXABLE and problem.file in by_file:
            edit = fix(problem, by_file[problem.file])
            if edit is not None:
                yield problem, edit


def mend(sources: Sequence[Source], manifests: Manifests = (), *, heed_comments: bool = True) -> Mended:
    """Mend what can be mended for certain.

    An edit is dropped unless the document says the same but for the field in question, the finding is gone, and nothing
    is found that was not before. A document that could not be read at all may show what is sound but not meant in it.
    """
    files = {source.file: source for source in sources}
    done: list[Problem] = []
    dropped: set[tuple[str, str, str, str]] = set()

    def reviewed(tried: dict[str, Source]) -> Report:
        return review(tuple(tried.values()), manifests, heed_comments=heed_comments)

    report = reviewed(files)
    for _ in range(_MOST_ROUNDS):
        found = [
            (problem, edit)
            for problem, edit in fixable(report, tuple(files.values()))
            if _key(problem) not in dropped and _means_the_same(files[problem.file], edit)
        ]
        # First what keeps documents from being read: mending it may show more.
        found = [each for each in found if each[0].code[0] == "P"] or found
        if not found:
            break
        batches = [found] if len(found) == 1 else [found, *([each] for each in found)]
        for batch in batches:
            chosen = _apart(batch)
            tried = _edited(files, chosen)
            after = reviewed(tried)
            if _is_better(report, after, [problem for problem, _ in chosen], tried.values()):
                files, report = tried, after
                done.extend(problem for problem, _ in chosen)
                break
            if len(batch) == 1:
                dropped.add(_key(batch[0][0]))
    return Mended(tuple(files.values()), tuple(done), report)


def _key(problem: Problem) -> tuple[str, str, str, str]:
    return problem.file, problem.code, problem.path, problem.message


def _apart(found: Sequence[tuple[Problem, Edit]]) -> list[tuple[Problem, Edit]]:
    """The edits that can be made at once: of each file those that do not touch."""
    chosen: list[tuple[Problem, Edit]] = []
    for problem, edit in found:
        if not any(other.file == problem.file and edit.overlaps(theirs) for other, theirs in chosen):
            chosen.append((problem, edit))
    return chosen


def _edited(files: dict[str, Source], chosen: Sequence[tuple[Problem, Edit]]) -> dict[str, Source]:
    tried = dict(files)
    for problem, edit in sorted(chosen, key=lambda each: -each[1].start):
        tried[problem.file] = _with(tried[problem.file], edit)
    return tried


def _with(source: Source, edit: Edit) -> Source:
    return replace(source, text=source.text[: edit.start] + edit.text + source.text[edit.end :])


def _means_the_same(source: Source, edit: Edit) -> bool:
    """Whether the documents say what they did, but for what the edit is to change."""
    wanted = [each.root.data() for each in read(source)[0]]
    found = [each.root.data() for each in read(_with(source, edit))[0]]
    if edit.path is None:
        return wanted == found or not wanted
    differing = [index for index, pair in enumerate(zip(wanted, found, strict=False)) if not _same(*pair)]
    if len(wanted) != len(found) or len(differing) != 1:
        return False
    return _same(changed(wanted[differing[0]], edit), found[differing[0]])


def _same(a: Any, b: Any) -> bool:
    """Whether two values are the same, types and the order of keys included."""
    return json.dumps(a) == json.dumps(b)


def _is_better(before: Report, after: Report, mended: Sequence[Problem], sources: Iterable[Source]) -> bool:
    old, new = (Counter(_words(each) for each in report.problems) for report in (before, after))
    if any(new[_words(each)] >= old[_words(each)] for each in mended):
        return False
    more = new - old
    if all(each.code[0] != "P" for each in mended):
        return not more
    # What was not known as a field was not judged: its value may be at fault, too, if that can be mended in turn.
    lines = {(each.file, each.line) for each in mended}
    files = {source.file: source for source in sources}
    fresh = [each for each in after.problems if each.code[0] == "P" and more[_words(each)]]
    return all((each.file, each.line) in lines and fix(each, files[each.file]) is not None for each in fresh)


def _words(problem: Problem) -> tuple[str, str, str]:
    """What is said of a file, wherever in it: places move."""
    return problem.file, problem.code, problem.message
