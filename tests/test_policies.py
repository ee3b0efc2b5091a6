"""The shipped policies: they lint clean, their cases hold on both CEL engines, and they say what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from webhook import cel
from webhook.admission import admit
from webhook.cli import cases, documents, world
from webhook.cli.main import main
from webhook.cli.previews import decision_json, previews, reviews
from webhook.cli.render import json_text
from webhook.policy.schema import json_schema

POLICIES = Path(__file__).parents[1] / "policies"
DIRECTORIES = sorted(path.parent for path in POLICIES.glob("*/policy.yaml"))
CASES = cases.find([str(POLICIES)])
PUBLIC_VLLM = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: gemma}
spec:
  template:
    spec:
      containers:
        - name: inference-server
          image: vllm/vllm-openai:v0.11.0
          command: [python3, -m, vllm.entrypoints.openai.api_server]
          args: [--model=$(MODEL_ID), --port=8080]
          env: [{name: MODEL_ID, value: google/gemma-3-1b-it}]
          resources: {limits: {nvidia.com/gpu: "1"}}
"""


def of(directory: Path) -> list[cases.Case]:
    return [case for case in CASES if case.policies == directory]


def test_there_are_policies_to_start_from() -> None:
    assert len(DIRECTORIES) >= 6


@pytest.mark.parametrize("engine", list(cel.ENGINES))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: cases.Case, engine: str) -> None:
    outcome = cases.run(case, environment=cel.environment(engine))
    assert outcome.failures == ()
    assert outcome.result == "passed"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_engines_decide_the_same_under_all_policies_together(case: cases.Case) -> None:
    decisions = []
    for engine in cel.ENGINES:
        request, facts = cases.situation(case, world.read_policies(str(POLICIES), cel.environment(engine)))
        decisions.append(decision_json(admit(request, facts)))
    assert decisions[0] == decisions[1]


@pytest.mark.parametrize("directory", [POLICIES, *DIRECTORIES], ids=lambda path: path.name)
def test_lints_clean(directory: Path) -> None:
    result = CliRunner().invoke(main, ["lint", str(directory)])
    assert result.output.endswith("no problems\n"), result.output
    assert result.exit_code == 0


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: path.name)
def test_has_cases_that_match_and_that_do_not(directory: Path) -> None:
    expected = [yaml.safe_load((case.directory / "expected.yaml").read_text()) for case in of(directory)]
    assert len(expected) >= 3
    assert any(decision["patch"] or decision["wouldPatch"] for decision in expected)
    assert any(not decision["patch"] and not decision["wouldPatch"] for decision in expected)


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: path.name)
def test_page_says_when_what_and_what_to_change(directory: Path) -> None:
    page = (directory / "README.md").read_text()
    assert all(f"**{word}.**" in page for word in ("When", "What it does", "Change first", "Mind"))
    assert f"({directory.name}/README.md)" in (POLICIES / "README.md").read_text()


def test_schema_is_current() -> None:
    assert (POLICIES / "schema.json").read_text() == json_text(json_schema(None)), (
        "warmpod schema --output policies/schema.json"
    )


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: path.name)
def test_names_the_schema_in_its_first_line(directory: Path) -> None:
    first, _, _ = (directory / "policy.yaml").read_text().partition("\n")
    assert first == "# yaml-language-server: $schema=../schema.json"
    assert (directory / "../schema.json").resolve() == POLICIES / "schema.json"


def test_a_public_vllm_deployment_is_helped_unchanged() -> None:
    parsed = documents.parse(PUBLIC_VLLM.encode(), "public.yaml")
    (found,) = previews(
        reviews(parsed, namespace="default", labels={}, known={}),
        world.installation(world.read_policies(str(POLICIES)), "warmpod:test", "baseline"),
    )
    assert found.decision.pod is not None
    (init,) = found.decision.pod["spec"]["initContainers"]
    assert '"source":"s3://acme-models/google/gemma-3-1b-it/"' in init["args"][1]
    (server,) = found.decision.pod["spec"]["containers"]
    environment = {variable["name"]: variable["value"] for variable in server["env"]}
    mounts = {mount["mountPath"]: mount for mount in server["volumeMounts"]}
    assert mounts[environment["HF_HUB_CACHE"]]["readOnly"] is True
    assert server["args"] == ["--model=$(MODEL_ID)", "--port=8080"]
