"""Which documents of a file are read, and what of the others is told."""

from __future__ import annotations

import pytest

from webhook.nodeclass.documents import read
from webhook.policy.problem import Source

POOL = "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: gpu}\nspec: {}\n"
POLICY = "apiVersion: warmpod.dev/v1alpha1\nkind: NodeCache\nmetadata: {name: a}\nspec: {preset: emptydir}\n"
GANG = (
    "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: llm, namespace: serving}\n"
    "spec: {leaderWorkerTemplate: {workerTemplate: {spec: {containers: [{name: a, image: a}]}}}}\n"
)


def told(*texts: str) -> tuple[list[str], list[str]]:
    found = read([Source(f"{number}.yaml", text) for number, text in enumerate(texts)])
    kinds = [f"{each.file}:{each.root.line} {each.kind} {each.namespace}/{each.name}" for each in found.documents]
    return kinds, [f"{each.file}:{each.line} {each.code}" for each in found.problems]


def test_documents_of_several_files_in_their_order() -> None:
    kinds, problems = told(f"{POLICY}---\n{POOL}", "", GANG)
    assert kinds == ["0.yaml:6 NodePool /gpu", "2.yaml:1 LeaderWorkerSet serving/llm"]
    assert problems == []
    (_, pod) = next(read([Source("a", GANG)]).pods())
    assert pod.path == "spec.leaderWorkerTemplate.workerTemplate"


@pytest.mark.parametrize(
    ("other", "problems"),
    [
        ("kind: Thing\na: 1\na: 2\n", []),
        ("kind: Thing\na: [\n", []),
        ("{{- if .Values.x }}\n", []),
        (f"kind: Thing\nlist: [{'1, ' * 20_001}]\n", []),
        ("kind: NodePool\na: [\n", ["0.yaml:8 P002"]),
        ("apiVersion: karpenter.sh/v1\nkind: NodePool\na: 1\na: 2\n", ["0.yaml:9 P003"]),
    ],
    ids=["twice", "open", "template", "large", "ours, open", "ours, twice"],
)
def test_problems_of_other_documents_are_passed_over(other: str, problems: list[str]) -> None:
    kinds, found = told(f"{POOL}---\n{other}---\n{POOL}")
    assert found == problems
    assert kinds[0] == "0.yaml:1 NodePool /gpu"
    assert kinds[-1].endswith("NodePool /gpu")
    assert len(kinds) >= 2


@pytest.mark.parametrize(
    ("before", "problems"),
    [
        (f"kind: Thing\na: {'x' * (1 << 20)}\n", ["0.yaml:1 P005"]),
        ("kind: Thing\n---\n" * 600, ["0.yaml:1002 P005"]),
        ("kind: Thing\n---\n" * 1200, ["0.yaml:1002 P005"]),
    ],
    ids=["large", "hundreds", "more than a thousand"],
)
def test_a_limit_of_the_file_is_told_where_it_hides_one_of_ours(before: str, problems: list[str]) -> None:
    assert told(f"{before}---\n{POOL}") == ([], problems)
    assert told(before) == ([], [])


def test_a_file_that_is_no_text_is_told() -> None:
    assert told("\ufeffa: 1\n")[1] == ["0.yaml:1 P001"]
    found = read([Source("a.yaml", "", "the link leads nowhere")])
    assert [each.message for each in found.problems] == ["the link leads nowhere"]


@pytest.mark.parametrize(
    "text", ["kind: List\n", "kind: List\nitems: 1\n", "kind: PodList\nitems: []\n", "- 1\n", "a\n"]
)
def test_documents_without_anything(text: str) -> None:
    assert told(text) == ([], [])


def test_thousands_of_documents() -> None:
    kinds, problems = told("---\na: 1\n" * 5000)
    assert kinds == []
    assert problems in ([], ["0.yaml:1001 P005"], ["0.yaml:1002 P005"])
