"""What a change is said to be, of real decisions and of pods no decision made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from webhook.admission import admit
from webhook.admission.changes import PARTS, Changes, changes
from webhook.cli.cases import Case, find, situation
from webhook.cli.world import read_policies
from webhook.kube import names
from webhook.policy.parse import parse
from webhook.policy.problem import Source

POLICIES = Path(__file__).parents[2] / "policies"
CASES = find([str(POLICIES)])


def told(case: Case) -> Changes:
    request, facts = situation(case, read_policies(str(case.policies)))
    assert request.object is not None
    decision = admit(request, facts)
    return changes(request.object, decision.would_pod)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_there_are_changes_where_there_is_a_patch(case: Case) -> None:
    request, facts = situation(case, read_policies(str(case.policies)))
    decision = admit(request, facts)
    assert request.object is not None
    found = changes(request.object, decision.would_pod)
    assert bool(found.parts) == bool(decision.patch or decision.would_patch)
    assert bool(found.text) == bool(found.parts)


def test_every_part_is_found_in_some_shipped_case() -> None:
    assert {part for case in CASES for part in told(case).parts} == set(PARTS)


def named(name: str) -> Case:
    return next(each for each in CASES if each.name == name)


def test_a_whole_change_in_one_line() -> None:
    assert told(named("vllm-s3-nvme/hub-model")).text == (
        "prefers warm nodes by 2 terms; hydrates weights; mounts /hub-cache; "
        "sets HF_HUB_CACHE, HF_HUB_OFFLINE, AWS_MAX_ATTEMPTS and 2 more"
    )
    assert told(named("vllm-s3-nvme/annotated")).redirected == ("vllm",)


def test_a_place_that_the_author_has_is_a_conflict() -> None:
    case = named("vllm-s3-nvme/clash")
    decision = admit(*situation(case, read_policies(str(case.policies))))
    assert [verdict.conflicts for verdict in decision.policies] == [("weights: vllm mounts its own at /models",), ()]
    assert decision.audit_annotations["conflicts"] == "1"


def test_a_variable_that_an_earlier_policy_set_is_a_conflict() -> None:
    text = "---\n".join(
        f"apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {{name: {name}}}\n"
        f"spec: {{mode: Enforce, env: [{{name: A, value: {value}}}, {{name: B, value: same}}]}}\n"
        for name, value in (("first", "one"), ("second", "two"))
    )
    case = named("s3-tuning/no-label")
    decision = admit(*situation(case, parse([Source("p.yaml", text)])))
    assert [verdict.conflicts for verdict in decision.policies] == [
        (),
        ("env A: a policy before this one sets another value",),
    ]


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app"}], **spec}}


CONFIG = {
    "metadata": {"annotations": {names.ANNOTATION_AWS_CONFIG: "[default]"}},
    "spec": {
        "containers": [
            {
                "name": "app",
                "env": [{"name": "AWS_CONFIG_FILE", "value": names.AWS_CONFIG_FILE}],
                "volumeMounts": [{"name": names.VOLUME_AWS_CONFIG, "mountPath": names.AWS_CONFIG_DIRECTORY}],
            }
        ],
        "volumes": [{"name": names.VOLUME_AWS_CONFIG, "downwardAPI": {}}],
    },
}


def test_the_cli_configuration_is_one_part() -> None:
    found = changes(pod(), CONFIG)
    assert found == Changes(aws_config=True)
    assert (found.parts, found.text) == (("awsConfig",), "gives an AWS CLI configuration")


@pytest.mark.parametrize(
    ("container", "after"),
    [
        ({"args": ["--model", "s3://a/b"]}, {"args": ["--model", "/models"]}),
        ({"env": [{"name": "MODEL", "value": "s3://a/b"}]}, {"env": [{"name": "MODEL", "value": "/models"}]}),
    ],
    ids=["argument", "variable"],
)
def test_redirects(container: dict[str, Any], after: dict[str, Any]) -> None:
    found = changes(pod(containers=[{"name": "app", **container}]), pod(containers=[{"name": "app", **after}]))
    assert found == Changes(redirected=("app",))
    assert found.text == "redirects app to the mounted model"


@pytest.mark.parametrize(
    "after",
    [
        {},
        {"spec": None},
        {"spec": {"containers": [None, {"name": 3}, {"name": "x", "env": "y", "args": 4, "volumeMounts": [{}]}]}},
        {"spec": {"initContainers": [{"name": names.INIT_CONTAINER, "args": [3, "--model={", "--model=[]"]}]}},
        {"spec": {"affinity": {"nodeAffinity": []}}},
    ],
    ids=["empty", "null", "containers", "init", "affinity"],
)
def test_any_object_is_borne(after: dict[str, Any]) -> None:
    assert changes(pod(), after).preferred == changes(after, pod()).preferred == 0
    assert changes(after, after) == Changes()
