"""`warmpod lint`, `warmpod test` and `warmpod schema` as people and scripts use them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from webhook.admission.decision import Decision
from webhook.cli import trial
from webhook.cli.main import main
from webhook.report import rehearsal

STEERING = Path(__file__).parents[2] / "policies" / "image-steering"
CASE = "cases/two-of-four-warm"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A copy of a shipped policy with two of its cases."""
    directory = tmp_path / "steering"
    (directory / "cases").mkdir(parents=True)
    shutil.copy(STEERING / "policy.yaml", directory)
    for name in ("two-of-four-warm", "cpu-pod"):
        shutil.copytree(STEERING / "cases" / name, directory / "cases" / name)
    return directory


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def results(*arguments: str | Path) -> dict[str, tuple[str, list[str]]]:
    output = json.loads(invoke("test", *arguments, "--output", "json").stdout)
    return {case["name"]: (case["result"], case["failures"]) for case in output["cases"]}


def edit(file: Path, change: Any) -> None:
    value = yaml.safe_load(file.read_text())
    change(value)
    file.write_text(yaml.safe_dump(value))


def test_lint_prints_problems_as_compilers_do(policy: Path) -> None:
    file = policy / "policy.yaml"
    file.write_text(file.read_text().replace("placement", "placment"))
    result = invoke("lint", policy)
    assert result.exit_code == 1
    assert result.stdout == (
        f'{file}:9:12: error P010 [*] spec.images.placment: unknown field "placment"\n'
        "    9 |   images: {placment: Prefer}\n"
        "      |            ^^^^^^^^\n"
        '    hint: did you mean "placement"?\n'
    )
    assert result.stderr == "note: 0 policies: 1 error, 0 warnings; --fix mends 1 of them [*]\n"
    (problem,) = json.loads(invoke("lint", policy, "--output", "json").stdout)["problems"]
    assert (problem["code"], problem["severity"], problem["line"], problem["column"]) == ("P010", "error", 9, 12)


@pytest.mark.parametrize("output", ["table", "json"])
def test_lint_with_nothing_to_do(output: str, tmp_path: Path) -> None:
    result = invoke("lint", tmp_path, "--output", output)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"note: {tmp_path}: no policy file")


def test_lint_without_a_directory() -> None:
    result = invoke("lint", "/nonexistent")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: /nonexistent: ")


def test_cases_pass(policy: Path) -> None:
    result = invoke("test", policy)
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["CASE", "RESULT"],
        ["steering/cpu-pod", "passed"],
        ["steering/two-of-four-warm", "passed"],
    ]
    assert result.stderr == "note: 2 passed, 0 failed\n"


@pytest.mark.parametrize("below", [".", "cases", CASE])
def test_cases_are_found_at_and_below(below: str, policy: Path) -> None:
    assert "steering/two-of-four-warm" in results(policy / below)


def test_each_case_runs_once_however_often_it_is_named(policy: Path) -> None:
    assert len(results(policy, policy / "cases", policy / CASE)) == 2


@pytest.mark.parametrize("name", ["input.yaml", "facts.yaml", "expected.yaml"])
def test_a_missing_file_fails(name: str, policy: Path) -> None:
    (policy / CASE / name).unlink()
    result, (failure,) = results(policy)["steering/two-of-four-warm"]
    assert result == "failed"
    assert failure.startswith(f"{policy / CASE / name}: missing")


def test_a_file_that_is_not_part_of_a_case_fails(policy: Path) -> None:
    (policy / CASE / "expected.yml").write_text("")
    (policy / "cases" / "notes.md").write_text("")
    found = results(policy)
    assert found["steering/two-of-four-warm"] == ("failed", [f"{policy / CASE / 'expected.yml'}: not part of a case"])
    assert found["steering/notes.md"][0] == "failed"
    assert invoke("test", policy).exit_code == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda expected: expected.update(allowed=1),
        lambda expected: expected.update(secondsSaved=1.0),
        lambda expected: expected.update(more=None),
        lambda expected: expected.pop("warnings"),
        lambda expected: expected["policies"][0].update(reason="another"),
        lambda expected: expected["patch"].pop(),
    ],
    ids=["true-is-not-1", "seconds", "more", "less", "reason", "patch"],
)
def test_another_decision_fails_with_the_difference(change: Any, policy: Path) -> None:
    file = policy / CASE / "expected.yaml"
    edit(file, change)
    result, (failure,) = results(policy)["steering/two-of-four-warm"]
    assert result == "failed"
    assert failure.startswith(f"{file}: the decision is another one\n")
    assert "--- expected" in failure


def test_update_writes_what_was_decided_and_only_where_it_differs(policy: Path) -> None:
    expected = policy / CASE / "expected.yaml"
    before = expected.read_bytes()
    edit(expected, lambda value: value.update(secondsSaved=0))
    result = invoke("test", policy, "--update")
    assert (result.exit_code, result.stderr) == (0, "note: 1 passed, 0 failed, 1 updated\n")
    assert expected.read_bytes() == before
    expected.unlink()
    assert results(policy, "--update")["steering/two-of-four-warm"][0] == "updated"
    assert expected.read_bytes() == before
    assert b"&" not in before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("facts.yaml", "namespace: [a]", "namespace must be a string"),
        ("facts.yaml", "namespaceLabels: {a: 1}", "namespaceLabels a map of strings"),
        ("facts.yaml", "inventry: {}", "unknown field 'inventry'"),
        ("facts.yaml", "[]", "not a map"),
        ("facts.yaml", "inventory: {schema: 3}", "inventory: its schema is 3"),
        ("facts.yaml", "inventory: [", "not YAML"),
        ("facts.yaml", "settings: {image: x}", "settings: unknown field 'image'"),
        ("facts.yaml", "settings: {defaultPodSecurityLevel: low}", "'low' is not a valid Level"),
        ("facts.yaml", "settings: {imageVolumes: maybe}", "imageVolumes must be auto, on or off"),
        ("facts.yaml", "a: 1\n---\nb: 2", "facts.yaml:3: a second document"),
        ("input.yaml", "kind: Service", "no pod in it"),
        ("input.yaml", "\x1b", "control characters are not allowed"),
        ("expected.yaml", "a: {", "not YAML"),
    ],
)
def test_a_file_at_fault_is_named(name: str, text: str, message: str, policy: Path) -> None:
    (policy / CASE / name).write_text(text)
    result, (failure,) = results(policy)["steering/two-of-four-warm"]
    assert result == "failed"
    assert failure.startswith(str(policy / CASE / name))
    assert message in failure
    assert results(policy)["steering/cpu-pod"] == ("passed", [])


def test_a_policy_at_fault_fails_its_cases_and_is_told_once(policy: Path) -> None:
    file = policy / "policy.yaml"
    file.write_text(file.read_text().replace("placement", "placment"))
    result = invoke("test", policy)
    assert result.exit_code == 1
    assert result.stdout.count("unknown field") == 1
    assert "steering/cpu-pod, steering/two-of-four-warm:\n" in result.stdout


def test_a_decision_that_breaks_a_law_is_never_written(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"metadata": {}, "spec": {"containers": [], "nodeName": "elsewhere"}}
    remove = [{"op": "remove", "path": "/metadata/name"}]
    for module in (trial, rehearsal):
        decided = Decision(patch=remove, pod=other, violations=("nodes widened",))
        monkeypatch.setattr(module, "admit", lambda *_, decided=decided: decided)
    expected = policy / CASE / "expected.yaml"
    before = expected.read_bytes()
    result, failures = results(policy, "--update")["steering/two-of-four-warm"]
    assert result == "failed"
    assert failures[0] == "law broken: nodes widened"
    assert failures[1].startswith("patch does not make the pod that was decided: ")
    assert failures[2].startswith("a second review of the result of patch changes it again: ")
    assert expected.read_bytes() == before


def test_no_case_found(tmp_path: Path) -> None:
    assert invoke("test", tmp_path).exit_code == 3
    assert invoke("test", tmp_path / "absent").exit_code == 2


def test_schema_goes_to_stdout_or_to_a_file(tmp_path: Path) -> None:
    text = invoke("schema").stdout
    assert json.loads(text)["title"] == "Warmpod policy document"
    assert invoke("schema", "--output", tmp_path / "schema.json").stdout == ""
    assert (tmp_path / "schema.json").read_text() == text
    refused = invoke("schema", "--output", tmp_path / "absent" / "schema.json")
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"error: {tmp_path}/absent/schema.json: No such file or directory\n",
    )


def test_a_link_that_leads_out_is_a_finding_and_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("token: hunter2\n")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "link.yaml").symlink_to(secret)
    result = invoke("lint", tmp_path / "policies")
    assert result.exit_code == 1
    assert "link.yaml:1:1: error P007" in result.stdout
    assert "hunter2" not in result.output
