"""The outcome of a test run as JUnit's XML, valid by the schema that Jenkins' xunit plugin publishes (junit-10.xsd).

A test's name, file and message may hold anything; what XML 1.0 cannot hold is written as an escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Protocol
from xml.sax.saxutils import escape, quoteattr

# XML 1.0, section 2.2: all but most control characters, lone surrogates and two non-characters.
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]")


class Case(Protocol):
    """What a report needs of a case. `seconds` is how long it took; no `failures`: it passed."""

    @property
    def suite(self) -> str:
        """What it is part of."""

    @property
    def case(self) -> str:
        """Its name there."""

    @property
    def file(self) -> str:
        """Where it stands."""

    @property
    def seconds(self) -> float:
        """How long it took."""

    @property
    def failures(self) -> Sequence[str]:
        """What it failed on."""

    @property
    def notes(self) -> Sequence[str]:
        """What else there is to say."""


def junit_text(cases: Iterable[Case]) -> str:
    """The report: a test suite for each run of cases of one suite, in their order."""
    groups = [(suite, list(members)) for suite, members in groupby(cases, key=lambda case: case.suite)]
    everything = [case for _, members in groups for case in members]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites{_counts('warmpod test', everything)}>"]
    for suite, members in groups:
        files = {case.file for case in members}
        file = _attributes(file=files.pop()) if len(files) == 1 else ""
        lines.append(f"  <testsuite{_counts(suite, members)}{file}>")
        for case in members:
            lines += _case(suite, case)
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _counts(name: str, cases: Sequence[Case]) -> str:
    failed = sum(bool(case.failures) for case in cases)
    seconds = sum(case.seconds for case in cases)
    return _attributes(name=name, tests=len(cases), failures=failed, errors=0, time=f"{seconds:.3f}")


def _case(suite: str, case: Case) -> Iterable[str]:
    head = _attributes(name=case.case, classname=suite, time=f"{case.seconds:.3f}")
    if not case.failures and not case.notes:
        yield f"    <testcase{head}/>"
        return
    yield f"    <testcase{head}>"
    if case.failures:
        # One element: readers disagree about several.
        text = "\n\n".join(case.failures)
        message = text.partition("\n")[0]
        yield f"      <failure{_attributes(message=message, type='failure')}>{_clean(escape(text))}</failure>"
    if case.notes:
        notes = "\n".join(case.notes)
        yield f"      <system-out>{_clean(escape(notes))}</system-out>"
    yield "    </testcase>"


def _attributes(**values: object) -> str:
    return "".join(f" {name}={_quoted(str(value))}" for name, value in values.items())


def _quoted(text: str) -> str:
    return quoteattr(_clean(text), {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def _clean(text: str) -> str:
    return _UNREADABLE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)
