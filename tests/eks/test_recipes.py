"""The recipes of manifests/eks: what their pages say to do works, and what their cases show holds."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.eks.recipes import EKS, FILES, OBJECTS, RECIPES
from webhook import cel
from webhook.admission import admit
from webhook.cli import cases, world
from webhook.cli.main import main
from webhook.kube import names
from webhook.sandbox import binaries

ROOT = EKS.parents[1]
WORDS = ("When", "What it does", "Cost", "Limits", "Change first", "Check", "Not shown")
PLACEHOLDERS = re.compile(r"CLUSTER|acme|0123456789abcdef0|mntname1|us-east-1|use1-az4")
"""What a file holds for its reader's own account. Zones and regions may stay where they are right."""

recipes = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)


def commands(recipe: Path, program: str) -> list[list[str]]:
    """The commands of this program in the blocks of a recipe's page."""
    blocks = re.findall(r"^```\n(.*?)^```", (recipe / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.split(" ")[0] == program]
    return [shlex.split(line)[1:] for line in lines]


def read(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def test_there_is_a_recipe_for_every_directory() -> None:
    assert len(RECIPES) >= 10
    assert {path for path in EKS.iterdir() if path.is_dir()} == set(RECIPES)


@recipes
def test_page_says_when_what_it_costs_and_what_was_not_shown(recipe: Path) -> None:
    page = (recipe / "README.md").read_text()
    assert [word for word in WORDS if page.count(f"**{word}.**") != 1] == []
    for target in re.findall(r"\]\(([^)#]+)", page):
        assert (recipe / target).exists(), target


@recipes
def test_its_cases_match_and_do_not(recipe: Path) -> None:
    found = [yaml.safe_load(path.read_text()) for path in recipe.glob("policies/cases/*/expected.yaml")]
    assert len(found) >= 3
    assert any(one["patch"] for one in found)
    assert any(not one["patch"] for one in found)


@pytest.mark.parametrize("engine", list(cel.ENGINES))
@recipes
def test_its_cases_hold(recipe: Path, engine: str) -> None:
    environment = cel.environment(engine)
    outcomes = {case.directory.name: cases.run(case, environment=environment) for case in cases.find([str(recipe)])}
    assert {name: outcome.failures for name, outcome in outcomes.items() if outcome.failures} == {}
    assert {outcome.result for outcome in outcomes.values()} == {"passed"}


@recipes
def test_commands_of_its_page_find_nothing_wrong(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe)
    ran = []
    for words in commands(recipe, "warmpod"):
        if words[0] not in {"estimate", "lint", "test", "preview"} or "--update" in words:
            continue  # the others look at a cluster, or write
        strict = ["--strict"] if words[0] == "lint" else []
        result = CliRunner().invoke(main, [*words, *strict])
        assert result.exit_code == 0, result.output
        ran.append(words[0])
    assert ran == ["estimate", "lint", "test", "preview"]


@recipes
def test_every_command_of_its_page_is_one(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe)
    found = commands(recipe, "warmpod")
    assert found
    for words in found:
        command = main.get_command(main.make_context("warmpod", [], resilient_parsing=True), words[0])
        assert command is not None, words
        command.make_context(words[0], words[1:])


def decisions(recipe: Path) -> dict[str, Any]:
    """By case, what is decided, but for what is made from the names of sources."""
    found = {}
    for file in recipe.glob("policies/cases/*/expected.yaml"):
        decision = yaml.safe_load(file.read_text())
        patch = [(each["op"], each["path"]) for each in decision["patch"]]
        results = [each["result"] for each in decision["policies"]]
        found[file.parent.name] = (results, patch, decision["secondsSaved"], len(decision["warnings"]))
    return found


@recipes
def test_what_to_change_first_changes_all_that_is_anybody_elses_and_nothing_more(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "manifests" / "eks", tmp_path / "eks")
    copy = tmp_path / "eks" / recipe.name
    monkeypatch.chdir(copy)
    for words in commands(recipe, "sed"):
        assert words[0] == "-i"
        files = [file for word in words[2:] for file in (copy.glob(word) if "*" in word else [word])]
        subprocess.run(["sed", *words[:2], *files], check=True)
    used = [copy / resource for resource in read(copy / "kustomization.yaml")[0]["resources"]]
    used = [file if file.is_file() else file / "nodes.yaml" for file in used]
    for file in [*used, copy / "policies" / "policy.yaml"]:
        text = re.sub(r"#.*", "", file.read_text())
        assert PLACEHOLDERS.findall(text) == [], file
    [lint] = [words for words in commands(recipe, "warmpod") if words[0] == "lint"]
    for words in (["test", "policies", "--update"], ["test", "policies"], [*lint, "--strict"]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
    assert decisions(copy) == decisions(recipe)


@recipes
def test_its_kustomization_holds_its_files(recipe: Path) -> None:
    [kustomization] = read(recipe / "kustomization.yaml")
    own = [name for name in FILES if (recipe / name).is_file()]
    assert [name for name in kustomization["resources"] if not name.startswith("../")] == own
    assert own or len(kustomization["resources"]) == 1


@pytest.mark.cluster
@recipes
def test_kubectl_renders_it(recipe: Path) -> None:
    done = subprocess.run([binaries.find().kubectl, "kustomize", recipe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    rendered = [(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(done.stdout)]
    written = [
        (each.document["kind"], each.document["metadata"]["name"]) for each in OBJECTS if each.recipe == recipe.name
    ]
    assert set(written) <= set(rendered)


@recipes
def test_its_policy_names_the_schema_and_itself(recipe: Path) -> None:
    file = recipe / "policies" / "policy.yaml"
    found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text())
    assert found
    assert (file.parent / found[1]).resolve() == ROOT / "policies" / "schema.json"
    assert {one["metadata"]["name"] for one in read(file)} == {recipe.name}, "several recipes can be loaded together"


def test_node_pools_use_the_class_beside_them_and_declare_no_label_of_ours() -> None:
    pools = [each for each in OBJECTS if each.document["kind"] == "NodePool"]
    assert len(pools) >= 5
    for pool in pools:
        spec = pool.document["spec"]["template"]["spec"]
        classes = [
            e.document["metadata"]["name"]
            for e in OBJECTS
            if (e.recipe, e.document["kind"]) == (pool.recipe, "EC2NodeClass")
        ]
        assert [spec["nodeClassRef"]["name"]] == classes
        # Karpenter would put it on every node that it makes: each would count as warm.
        assert names.NODE_LABEL_PREFIX not in str(pool.document)


TOGETHER = ("al2023-raid0-soci", "fsx-lustre-static", "image-volume", "s3-express")
"""One for each kind of sources."""


@pytest.mark.parametrize("recipe", TOGETHER)
def test_recipes_for_other_kinds_of_sources_stay_out_of_its_way(recipe: str, tmp_path: Path) -> None:
    for name in TOGETHER:
        shutil.copy(EKS / name / "policies" / "policy.yaml", tmp_path / f"{name}.yaml")
    together = world.read_policies(str(tmp_path))
    compared = 0
    for case in cases.find([str(EKS / recipe)]):
        alone = world.read_policies(str(case.policies))
        one, all_of_them = (admit(*cases.situation(case, policies)) for policies in (alone, together))
        assert all_of_them.patch == one.patch, case.name
        assert all_of_them.warnings == one.warnings, case.name
        compared += bool(one.patch)
    assert compared > 1
