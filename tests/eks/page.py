"""Writes docs/eks.md from the techniques: `python -m tests.eks.page > docs/eks.md`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.eks.definitions import PINS
from tests.eks.recipes import FILES, RECIPES

TECHNIQUES = Path(__file__).with_name("techniques.yaml")
MODULE = PINS / "go.mod"
TITLES = {"image": "Getting the image onto the node", "model": "Getting the model onto the node"}

_INTRODUCTION = """# Warm pods on EKS

For each way to have images and models near a pod on EKS there is a directory to copy, `manifests/eks/<recipe>`: node
class and node pool of Karpenter, volumes and claims, a policy, pods with what becomes of them, and a page on when it is
right, what it costs, where it ends and how to check it. This page is written by `python -m tests.eks.page` from
`tests/eks/techniques.yaml`; mend that file.

## Recipes

"""

_BETWEEN = """
Which one? Begin with al2023-raid0-soci. Add a snapshot where the same large images meet many new nodes each day, an FSx
or Mountpoint recipe where models lie there anyway. [When it helps](when-it-helps.md) reckons what each technique is
worth; `warmpod estimate` does so for your sizes.

To use one: change what its page names under *Change first* (by GNU's `sed`), look at `kubectl kustomize
manifests/eks/<recipe>`, apply it, and put `policies/policy.yaml` to Warmpod's policies
([install](install.md#policies)). Policies are in mode Enforce and touch only pods that name a model by the annotation
`warmpod.dev/model`; with the overlay `audit`, or `mode: Audit`, nothing is changed and everything is told. Recipes for
other kinds of sources can be in force together: one for `s3://`, s3-express, fsx-lustre-static and image-volume.
(`warmpod lint` then warns of s3-express, W003: it cannot see that part of the source's name keeps the pods apart. A
test shows that it does.)

### What the files are held to

| what | by what |
| --- | --- |
| Karpenter takes every object | the definitions of Karpenter {version}, out of its own Go module, on a real API \
server that refuses unknown fields; their CEL rules run, and wrong objects show that they refuse |
| user data is what the node reads | MIME, NodeConfig by nodeadm's schema, Bottlerocket's settings: \
`warmpod lint --nodes` with `--strict` ([N001](lint.md#n001) and on) |
| the policy's cache lies on what the node class mounts | the same ([N060](lint.md#n060)) |
| pods become what the cases show | `warmpod test` on both CEL engines, with the laws; the resulting pods are taken by \
a real API server at their namespace's PodSecurity level |
| the pages' commands work | each is parsed; `lint`, `test`, `preview` and `estimate` are run; after the `sed` lines \
no placeholder is left, and lint and cases are as before |

**Nothing was booted on AWS.** Karpenter, nodeadm, Bottlerocket and the drivers were read as source, not run: that a
node comes up, mounts its disks in that order and pulls at that rate is what the commands under *Check* are for. What is
inferred says so on its page.

## Techniques

Where Warmpod does nothing, the row says why. Tests are below `tests/`.
"""


def page() -> str:
    """Return the page."""
    version = _first(r"^require \S+ (v\S+)$", MODULE.read_text(encoding="utf-8"))
    parts = [_INTRODUCTION, _recipes(), _BETWEEN.format(version=version)]
    parts += [f"\n### {TITLES[group]}\n\n{_techniques(rows)}" for group, rows in techniques().items()]
    parts += ["\n## What is often believed\n\n", _beliefs()]
    return "".join(parts)


def techniques() -> Mapping[str, list[dict[str, Any]]]:
    """The techniques by what they are for."""
    return {group: rows for group, rows in _data().items() if group in TITLES}


def beliefs() -> list[dict[str, Any]]:
    """What is often believed, what is true, by which source, and what of Warmpod knows it."""
    return _data()["beliefs"]


def _data() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = yaml.safe_load(TECHNIQUES.read_text(encoding="utf-8"))
    return found


def _beliefs() -> str:
    head = ("belief", "what is true", "source", "what knows it")
    return _table(head, [(e["belief"], e["truth"], e["source"], _linked(e["checked"])) for e in beliefs()])


def _recipes() -> str:
    rows = []
    for recipe in RECIPES:
        text = (recipe / "README.md").read_text(encoding="utf-8")
        title = _first(r"^# (.+)$", text)
        when = _first(r"^\*\*When\.\*\* (.+?)[.;:](?: |$)", text)
        rows.append((_link(recipe.name), title, when, _parts(recipe)))
    return _table(("directory", "what it is", "when", "parts"), rows)


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, pattern
    return found[1]


def _parts(recipe: Path) -> str:
    kinds = [
        document["kind"]
        for name in FILES
        if (recipe / name).is_file()
        for document in yaml.safe_load_all((recipe / name).read_text(encoding="utf-8"))
        if document["kind"] != "Namespace"
    ]
    bases = re.findall(r"- \.\./(\S+)", (recipe / "kustomization.yaml").read_text(encoding="utf-8"))
    return ", ".join([*kinds, *(f"nodes of {base}" for base in bases)])


def _techniques(rows: Iterable[Mapping[str, Any]]) -> str:
    return _table(
        ("technique", "what Warmpod does for it", "recipe", "shown by"),
        [
            (
                each["name"],
                _linked(each["does"]),
                _link(each["recipe"]) if "recipe" in each else "-",
                "<br>".join(f"`{test.removeprefix('tests/')}`" for test in each.get("shown", ())) or "-",
            )
            for each in rows
        ],
    )


def _linked(text: str) -> str:
    """The text, with codes of lint as links."""
    return re.sub(r"\b([NW]0\d\d)\b", lambda found: f"[{found[1]}](lint.md#{found[1].lower()})", text.strip())


def _link(recipe: str) -> str:
    return f"[{recipe}](../manifests/eks/{recipe}/README.md)"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
