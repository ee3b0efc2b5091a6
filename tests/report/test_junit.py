"""The JUnit report: valid by its schema, whatever the cases are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from webhook.report.junit import junit_text

# jenkinsci/xunit-plugin, junit-10.xsd: attributes (required first, up to the bar) and children of each element.
SCHEMA: Mapping[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": ({"name"}, {"time", "classname", "group"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "failure": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


@dataclass(frozen=True)
class Case:
    suite: str
    case: str
    file: str = "a.test.yaml"
    seconds: float = 0.0125
    failures: Sequence[str] = ()
    notes: Sequence[str] = ()


def checked(text: str) -> ET.Element:
    root = ET.fromstring(text.encode())
    for element in root.iter():
        required, optional, children = SCHEMA[element.tag]
        assert required <= element.attrib.keys() <= required | optional
        assert {child.tag for child in element} <= children
        assert TIME.fullmatch(element.get("time", "0"))
    return root


def test_it_counts_and_says_what_failed() -> None:
    cases = [
        Case("vllm", "one"),
        Case("vllm", "two", failures=("a.yaml:3:1: env: X <is> wrong\n    + diff",), notes=("a note",), seconds=1.5),
        Case("triton", "one", file="b.test.yaml"),
    ]
    root = checked(junit_text(cases))
    assert dict(root.attrib) == {"name": "warmpod test", "tests": "3", "failures": "1", "errors": "0", "time": "1.525"}
    vllm, triton = root
    assert (vllm.get("name"), vllm.get("tests"), vllm.get("failures")) == ("vllm", "2", "1")
    assert triton.get("file") == "b.test.yaml"
    failure = vllm[1].find("failure")
    assert failure is not None
    assert failure.get("message") == "a.yaml:3:1: env: X <is> wrong"
    assert failure.text == "a.yaml:3:1: env: X <is> wrong\n    + diff"
    assert vllm[1].findtext("system-out") == "a note"


@given(st.lists(st.builds(Case, st.text(), st.text(), st.text(), failures=st.lists(st.text(), max_size=2)), max_size=4))
def test_whatever_names_hold_it_is_xml(cases: list[Case]) -> None:
    root = checked(junit_text(cases))
    assert [len(suite.findall("testcase")) for suite in root] or not cases
    names = [case.get("name") or "" for case in root.iter("testcase")]
    for case, name in zip(cases, names, strict=True):
        if case.case.isprintable():
            assert name == case.case


def test_what_xml_cannot_hold_is_escaped() -> None:
    (suite,) = checked(junit_text([Case("s", "\x1b[31m]]>&<\ud800\ufffe\n\t", failures=["]]> \x00"])]))
    assert suite[0].get("name") == "\\x1b[31m]]>&<\\ud800\\ufffe\n\t"
    assert suite[0].findtext("failure") == "]]> \\x00"
