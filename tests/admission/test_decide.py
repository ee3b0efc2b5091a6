"""The rules of the decision, one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest

from tests import builders
from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.inventory.model import EMPTY
from webhook.kube import Object, names
from webhook.kube.podsecurity import Level
from webhook.policy.model import Mode

IMAGES = "  images: {placement: Prefer}\n"
REQUIRED = "  acknowledge: [RequireBlocksScaleFromZero]\n  images: {placement: Require}\n"
FACTS = builders.facts()


def model(source: str = "{annotation: warmpod.dev/model}", *, path: str = "/models", extra: str = "") -> str:
    """A spec with one model."""
    return f"""
  models:
    - name: weights
      source: {source}
      allow: ["s3://acme-models/*"]
      cache: nvme
      mountPath: {path}
{extra}"""


def decide(sent: Object, facts: Facts = FACTS) -> Decision:
    decision = admit(builders.request(sent), facts)
    assert decision.violations == ()
    return decision


def reason(decision: Decision, name: str = "llm-serving") -> str:
    return next(verdict.reason for verdict in decision.policies if verdict.name == name)


def hydrator(decision: Decision) -> Object | None:
    assert decision.pod is not None
    found = [c for c in decision.pod["spec"].get("initContainers", []) if c["name"] == names.INIT_CONTAINER]
    return found[0] if found else None


def sources(decision: Decision) -> list[str]:
    made = hydrator(decision)
    return [] if made is None else [json.loads(a.removeprefix("--model="))["source"] for a in made["args"][1:]]


def test_the_whole_of_it_in_one_line() -> None:
    decision = decide(builders.gpu_pod(args=["--model", "s3://acme-models/llama"]))
    assert reason(decision) == (
        "prefers nodes that hold docker.io/vllm/vllm-openai:v0.11.0: on 2 of 4 candidates, 2 with room, 128 s saved; "
        "prefers nodes that hold s3://acme-models/llama/: on 2 of 4 candidates, 2 with room, 40 s saved; "
        "hydrates weights from s3://acme-models/llama/ to /models; mounts dshm at /dev/shm; "
        "sets 3 env on 1 container; gives vllm an AWS CLI configuration"
    )
    assert decision.pod is not None
    assert decision.pod["metadata"]["annotations"][names.ANNOTATION_DECISION] == (
        "policies=llm-serving seconds=168 inventory=test"
    )
    assert decision.pod["spec"]["containers"][0]["args"] == ["--model", "/models"]
    assert decision.seconds_saved == pytest.approx(builders.IMAGE_BYTES / 70e6 + builders.MODEL_BYTES / 400e6)
    assert decision.audit_annotations == {
        "enforced": "llm-serving",
        "operations": str(len(decision.patch)),
        "changes": "placement,hydration,volumes,env,redirect,awsConfig",
        "seconds": str(int(decision.seconds_saved)),
    }


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"operation": "UPDATE"}, id="update"),
        pytest.param({"subresource": "ephemeralcontainers"}, id="subresource"),
        pytest.param({"kind": ("apps", "v1", "Deployment")}, id="another kind"),
        pytest.param({"kind": ("example.com", "v1", "Pod")}, id="a stranger's Pod"),
        pytest.param({"object": None}, id="no object"),
    ],
)
def test_anything_but_a_pods_creation_passes_unseen(fields: dict[str, Any]) -> None:
    request = replace(builders.request(builders.gpu_pod()), **fields)
    assert admit(request, FACTS) == Decision()


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        pytest.param(builders.gpu_pod(annotations={names.ANNOTATION_SKIP: "true"}), "annotation", id="skip"),
        pytest.param(builders.gpu_pod(annotations={names.ANNOTATION_MIRROR_POD: "x"}), "mirror", id="mirror"),
        pytest.param(builders.edited(builders.gpu_pod(), os={"name": "windows"}), "Windows", id="windows"),
        pytest.param(builders.edited(builders.gpu_pod(), volumes=["x"]), "malformed", id="malformed"),
    ],
)
def test_some_pods_are_not_for_us(sent: Object, why: str) -> None:
    decision = decide(sent)
    assert decision.patch == []
    assert [verdict.result for verdict in decision.policies] == ["skipped"]
    assert why in reason(decision)


def test_skip_must_say_true() -> None:
    assert decide(builders.gpu_pod(annotations={names.ANNOTATION_SKIP: "yes"})).patch


@pytest.mark.parametrize(
    ("mode", "cap", "label", "effective", "why"),
    [
        pytest.param("Enforce", Mode.ENFORCE, None, Mode.ENFORCE, "prefers", id="enforce"),
        pytest.param("Enforce", Mode.AUDIT, None, Mode.AUDIT, "prefers", id="capped"),
        pytest.param("Enforce", Mode.ENFORCE, "Audit", Mode.AUDIT, "prefers", id="lowered by the namespace"),
        pytest.param("Audit", Mode.ENFORCE, "Enforce", Mode.AUDIT, "prefers", id="a namespace raises nothing"),
        pytest.param("Enforce", Mode.ENFORCE, "audit", Mode.ENFORCE, "prefers", id="an unknown word lowers nothing"),
        pytest.param("Off", Mode.ENFORCE, None, Mode.OFF, "mode is Off", id="off"),
        pytest.param("Audit", Mode.ENFORCE, "Off", Mode.OFF, "mode is Off in this namespace", id="off here"),
    ],
)
def test_the_lowest_mode_holds(mode: str, cap: Mode, label: str | None, effective: Mode, why: str) -> None:
    labels = builders.PRIVILEGED | ({names.LABEL_NAMESPACE_MODE: label} if label else {})
    decision = decide(
        builders.gpu_pod(), builders.facts(builders.policy(IMAGES, mode=mode), labels=labels, mode_cap=cap)
    )
    assert decision.policies[0].mode is effective
    assert decision.policies[0].reason.startswith(why)
    assert bool(decision.patch) == (effective is Mode.ENFORCE)
    assert bool(decision.would_patch) == (effective is Mode.AUDIT)


def test_audit_beside_enforce_shows_both_together() -> None:
    facts = builders.facts(
        builders.policy("  env: [{name: A, value: a}]", name="a", mode="Audit"),
        builders.policy("  env: [{name: A, value: b}, {name: B, value: b}]", name="b"),
    )
    decision = decide(builders.gpu_pod(), facts)
    assert decision.pod is not None
    assert decision.would_pod is not None
    assert decision.pod["spec"]["containers"][0]["env"] == [{"name": "A", "value": "b"}, {"name": "B", "value": "b"}]
    assert decision.would_pod["spec"]["containers"][0]["env"] == [
        {"name": "A", "value": "a"},
        {"name": "B", "value": "b"},
    ]
    assert [verdict.reason for verdict in decision.policies] == [
        "sets 1 env on 1 container",
        "sets 2 env on 1 container",
    ]


@pytest.mark.parametrize(
    ("sent", "inventory", "why"),
    [
        pytest.param(
            builders.gpu_pod(),
            builders.inventory(builders.model()),
            "image: no node is known to hold it (images under 1 GiB are not tracked)",
            id="no node warm",
        ),
        pytest.param(
            builders.gpu_pod(),
            builders.inventory(builders.image(size=2**29)),
            "image: too small to matter, 512 MiB",
            id="small",
        ),
        pytest.param(builders.gpu_pod(), EMPTY, "placement: no inventory that can be trusted", id="no inventory"),
        pytest.param(
            builders.edited(builders.gpu_pod(), nodeName="gpu-1"),
            None,
            "placement: pod names its node",
            id="named node",
        ),
        pytest.param(
            {
                **builders.gpu_pod(),
                "metadata": {"name": "x", "ownerReferences": [{"kind": "DaemonSet", "name": "d"}]},
            },
            None,
            "placement: pod belongs to a DaemonSet",
            id="daemonset",
        ),
        pytest.param(
            builders.gpu_pod(image="Not\nA Reference"),
            None,
            'image "Not\\nA Reference": not a valid reference',
            id="invalid reference",
        ),
    ],
)
@pytest.mark.parametrize("spec", [IMAGES, REQUIRED])
def test_what_is_left_out_is_said(sent: Object, inventory: Any, why: str, spec: str) -> None:
    decision = decide(sent, builders.facts(builders.policy(spec), inventory=inventory))
    assert decision.patch == []
    assert reason(decision) == why


def test_a_preference_that_every_node_meets_says_nothing() -> None:
    everywhere = builders.inventory(builders.image(nodes=range(4)))
    decision = decide(builders.gpu_pod(), builders.facts(builders.policy(IMAGES), inventory=everywhere))
    assert decision.patch == []
    assert reason(decision) == "image: every candidate holds it"
    required = decide(builders.gpu_pod(), builders.facts(builders.policy(REQUIRED), inventory=everywhere))
    assert required.patch  # it also keeps the pod from nodes that come later, and cold
    assert required.seconds_saved == 0


def test_require_narrows_every_term_that_selects_something() -> None:
    terms = [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, {}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    decision = decide(builders.edited(builders.gpu_pod(), affinity=affinity), builders.facts(builders.policy(REQUIRED)))
    assert decision.pod is not None
    required = decision.pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [len(term.get("matchExpressions", [])) for term in required["nodeSelectorTerms"]] == [2, 0]
    assert reason(decision) == (
        f"requires nodes that hold {builders.CANONICAL_IMAGE}: on 2 of 4 candidates, 2 with room, 128 s saved"
    )


def test_two_terms_at_most_those_that_save_most() -> None:
    images = [f"docker.io/library/image-{index}:1" for index in range(3)]
    held = [builders.image(name, size=(index + 1) * 2**31) for index, name in enumerate(images)]
    sent = builders.pod(*(builders.container(f"c{index}", name) for index, name in enumerate(images)))
    decision = decide(sent, builders.facts(builders.policy(IMAGES), inventory=builders.inventory(*held)))
    assert decision.pod is not None
    terms = decision.pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [(t["weight"], t["preference"]["matchExpressions"][0]["key"]) for t in terms] == [
        (100, held[2].label),
        (67, held[1].label),
    ]
    assert f"{images[0]}: a pod gets 2 terms, others save more" in reason(decision)


def test_policies_that_want_one_term_share_it() -> None:
    facts = builders.facts(builders.policy(IMAGES, name="a"), builders.policy(IMAGES, name="b"))
    decision = decide(builders.gpu_pod(), facts)
    assert decision.seconds_saved == pytest.approx(builders.IMAGE_BYTES / 70e6)
    assert reason(decision, "b") == f"shares the term for {builders.CANONICAL_IMAGE} with another policy"


def test_a_term_that_one_policy_wants_twice_is_not_shared_with_another() -> None:
    spec = model(extra="      placement: Prefer")
    again = spec.replace("\n  models:", "").replace("weights", "again").replace("/models", "/again")
    decision = decide(builders.gpu_pod(), builders.facts(builders.policy(spec + again)))
    assert f"shares the term for {builders.MODEL} of this policy" in reason(decision)


def test_a_term_that_was_not_to_be_had_is_shared_by_nobody() -> None:
    images = [f"docker.io/library/image-{index}:1" for index in range(3)]
    held = [builders.image(name, size=(index + 1) * 2**31) for index, name in enumerate(images)]
    sent = builders.pod(*(builders.container(f"c{index}", name) for index, name in enumerate(images)))
    both = builders.facts(
        builders.policy(IMAGES, name="a"), builders.policy(IMAGES, name="b"), inventory=builders.inventory(*held)
    )
    told = [reason(decide(sent, both), name) for name in "ab"]
    assert all(f"{images[0]}: a pod gets 2 terms, others save more" in each for each in told)
    assert "shares the term for docker.io/library/image-0:1" not in told[1]


def test_a_model_in_a_private_cache_is_no_reason_to_prefer_a_node() -> None:
    decision = decide(
        builders.gpu_pod(),
        builders.facts(
            builders.policy(model(extra="      placement: Prefer")), labels={}, default_level=Level.RESTRICTED
        ),
    )
    assert reason(decision) == (
        "hydrates weights from s3://acme-models/llama/ to /models; "
        "weights: its cache dies with the pod, no node stays warm"
    )


def test_models_of_several_policies_share_the_init_container() -> None:
    facts = builders.facts(
        builders.policy(model(path="/a"), name="a"),
        builders.policy(model("{value: s3://acme-models/other}", path="/b"), name="b"),
        builders.policy(model("{value: s3://acme-models/third}", path="/b"), name="c"),
        builders.policy(model(path="/d"), name="d"),
    )
    decision = decide(builders.gpu_pod(), facts)
    assert sources(decision) == ["s3://acme-models/llama/", "s3://acme-models/other/"]
    assert reason(decision, "c") == "weights: policy b mounts weights at /b"
    assert decision.pod is not None
    paths = [mount["mountPath"] for mount in decision.pod["spec"]["containers"][0]["volumeMounts"]]
    assert paths == ["/a", "/b", "/d"]


@pytest.mark.parametrize("failure", ["Ignore", "Fail"])
@pytest.mark.parametrize("mode", ["Enforce", "Audit"])
def test_an_error_denies_only_where_a_policy_says_so(failure: str, mode: str) -> None:
    broken = builders.policy(
        f"""
  failurePolicy: {failure}
  matchConditions: [{{name: reads-a-label, expression: "object.metadata.labels['x'] == 'y'"}}]
""",
        name="broken",
        mode=mode,
    )
    decision = decide(builders.gpu_pod(), builders.facts(builders.policy(IMAGES), broken))
    denied = failure == "Fail" and mode == "Enforce"
    assert decision.allowed is not denied
    assert [verdict.result for verdict in decision.policies] == ["errored", "matched"]
    assert "reads-a-label" in reason(decision, "broken")
    assert bool(decision.patch) is not denied
    assert ("broken" in decision.message and "reads-a-label" in decision.message) is denied
    assert bool(decision.warnings) == (failure == "Ignore" and mode == "Enforce")


def test_without_a_hydrator_there_is_no_hydration() -> None:
    decision = decide(builders.gpu_pod(), builders.facts(builders.policy(model()), hydrator_image=""))
    assert decision.patch == []
    assert reason(decision) == "weights: hydration is off, no hydrator image is set"


@pytest.mark.parametrize(
    "source",
    [
        "s3://evil/llama/",
        "s3://acme-models-evil/x/",
        "s3://acme-models/../evil/",
        "s3://acme-models/%2e%2e/evil/",
        "s3://acme-models/a//b",
        "s3://acme-models/$(AWS_SECRET_ACCESS_KEY)/",
        "s3://acme-models/a\nb/",
        's3://acme-models/a","source":"s3://evil/',
        "S3://acme-models/a/",
        "/etc",
        "",
        "s3://acme-models/" + "x" * 100_000,
        "\ud800",
    ],
)
def test_tenants_choose_among_what_is_allowed_and_nothing_more(source: str) -> None:
    sent = builders.gpu_pod(source, args=[source])
    decision = decide(sent, builders.facts(builders.policy(model(extra="      redirect: true"))))
    assert decision.patch == []
    assert reason(decision).startswith("weights: source ")
    assert reason(decision).endswith("(from annotation warmpod.dev/model) is not allowed")
    assert len(decision.warnings) == 1
    assert decision.warnings[0].startswith("warmpod: policy llm-serving: model weights: source ")
    assert decision.warnings[0].endswith("allowed: s3://acme-models/*")
    assert decision.warnings[0].isprintable()
    assert len(decision.warnings[0]) < 400


def test_a_name_like_ours_gives_nothing_away() -> None:
    foreign = {
        "name": names.INIT_CONTAINER,
        "image": builders.HYDRATOR,
        "args": ["hydrate", '--model={"cache":"/warmpod/cache/nvme","source":"s3://acme-models/secret/"}'],
        "env": [{"name": "LD_PRELOAD", "value": "/evil.so"}],
    }
    sent = builders.edited(builders.gpu_pod(), initContainers=[foreign])
    decision = decide(sent, builders.facts(builders.policy(model())))
    assert decision.patch == []
    assert reason(decision) == "weights: the pod has another init container warmpod-hydrate"


@pytest.mark.parametrize("field", ["containers", "ephemeralContainers"])
def test_a_container_of_our_name_elsewhere_stands_in_the_way(field: str) -> None:
    sent = builders.gpu_pod()
    other = {"name": names.INIT_CONTAINER, "image": "x"}
    sent = builders.edited(sent, **{field: [*sent["spec"].get(field, []), other]})
    decision = decide(sent, builders.facts(builders.policy(model())))
    assert decision.patch == []
    assert reason(decision) == "weights: the pod has a container warmpod-hydrate of its own"


def test_a_volume_of_our_name_is_left_and_not_used() -> None:
    volumes = [{"name": "warmpod-cache-nvme", "hostPath": {"path": "/etc"}}]
    decision = decide(builders.edited(builders.gpu_pod(), volumes=volumes), builders.facts(builders.policy(model())))
    assert decision.patch == []
    assert reason(decision) == "weights: the pod has another volume warmpod-cache-nvme"


def test_a_forged_configuration_is_left_and_not_used() -> None:
    forged = builders.gpu_pod(None, annotations={names.ANNOTATION_AWS_CONFIG: "[default]\ncredential_process = sh\n"})
    decision = decide(forged, builders.facts(builders.policy("  clientProfiles: [s3]")))
    assert reason(decision) == (
        "sets 2 env on 1 container; awsConfig: annotation warmpod.dev/aws-config has other text"
    )


def test_a_forged_decision_stays_and_is_believed_by_nobody() -> None:
    decision = decide(builders.gpu_pod(annotations={names.ANNOTATION_DECISION: "policies=all seconds=9999"}))
    assert decision.seconds_saved < 200
    assert "/metadata/annotations/warmpod.dev~1decision" not in {operation["path"] for operation in decision.patch}


@pytest.mark.parametrize(
    "namespace",
    ["", "..", "a/b", "A", "x" * 64, "kube system"],
    ids=["none", "dots", "slash", "upper", "long", "space"],
)
def test_a_namespace_that_is_no_name_is_no_directory(namespace: str) -> None:
    request = builders.request(builders.gpu_pod(), namespace=namespace)
    decision = admit(request, builders.facts(builders.policy(model())))
    assert decision.patch == []
    assert "is no name for a directory" in reason(decision)


def test_a_second_pass_remembers_what_a_redirect_has_overwritten() -> None:
    facts = builders.facts(
        builders.policy(model("{arg: --model}", path="/a", extra="      redirect: true"), name="a"),
        builders.policy(model("{env: MODEL_ID}", path="/b", extra="      redirect: true"), name="b"),
    )
    sent = builders.gpu_pod(
        None,
        args=["--model", "s3://acme-models/one/"],
        env=[{"name": "MODEL_ID", "value": "s3://acme-models/two"}],
    )
    first = decide(sent, facts)
    assert sources(first) == ["s3://acme-models/one/", "s3://acme-models/two/"]
    assert first.pod is not None
    assert first.pod["spec"]["containers"][0]["args"] == ["--model", "/a"]
    second = decide(first.pod, facts)
    assert (second.patch, second.warnings) == ([], ())
    assert (
        reason(second, "a") == "hydrates weights from s3://acme-models/one/ to /a; weights: no node is known to hold it"
    )
    assert (
        reason(second, "b") == "hydrates weights from s3://acme-models/two/ to /b; weights: no node is known to hold it"
    )


def test_models_of_one_source_are_both_remembered() -> None:
    facts = builders.facts(
        builders.policy(model("{arg: --model}", path="/a", extra="      redirect: true"), name="a"),
        builders.policy(
            model("{arg: --model}", path="/b", extra="      redirect: true").replace("weights", "again"), name="b"
        ),
    )
    first = decide(builders.gpu_pod(None, args=["--model", "s3://acme-models/one/"]), facts)
    assert first.pod is not None
    assert first.pod["spec"]["containers"][0]["args"] == ["--model", "/a"]
    second = decide(first.pod, facts)
    assert (second.patch, second.warnings) == ([], ())
    assert [reason(second, name) for name in "ab"] == [reason(first, name) for name in "ab"]


def test_who_lost_its_place_is_not_warned_of_what_the_winner_wrote() -> None:
    facts = builders.facts(
        builders.policy(model("{arg: --model}", extra="      redirect: true"), name="a"),
        builders.policy(model("{arg: --model}").replace("cache: nvme", "cache: shared"), name="b"),
        builders.SHARED_CACHE,
    )
    first = decide(builders.gpu_pod(None, args=["--model", "s3://acme-models/one/"]), facts)
    assert first.pod is not None
    assert first.policies[1].conflicts == ("weights: policy a mounts weights at /models",)
    second = decide(first.pod, facts)
    assert (first.warnings, second.patch, second.warnings) == ((), [], ())


def test_a_model_without_a_source_takes_none_of_another_policy() -> None:
    """A second review finds the other's model at its path; it is not its own for all that."""
    warm = "      placement: Prefer"
    facts = builders.facts(
        builders.policy(model("{annotation: warmpod.dev/model}"), name="a"),
        builders.policy(model("{env: MODEL_ID}", extra=warm), name="b"),
        builders.policy(model("{arg: --model}", extra=warm), name="c"),
    )
    first = decide(builders.gpu_pod(args=["--model", "/weights"]), facts)
    assert first.pod is not None
    second = decide(first.pod, facts)
    assert (second.patch, second.violations) == ([], ())
    assert reason(second, "b") == "weights: no source: no env MODEL_ID"
    assert 'source "/weights"' in reason(second, "c")


def test_what_is_remembered_must_still_be_allowed() -> None:
    with_arg = model("{arg: --model}", extra="      redirect: true")
    first = decide(
        builders.gpu_pod(None, args=["--model", "s3://acme-models/one/"]), builders.facts(builders.policy(with_arg))
    )
    assert first.pod is not None
    narrower = builders.facts(builders.policy(with_arg.replace("acme-models/*", "acme-models/two/*")))
    again = decide(first.pod, narrower)
    assert again.patch == []
    assert reason(again) == 'weights: source "/models" (from arg --model) is not allowed'


def test_credentials_that_come_later_reach_the_init_container() -> None:
    first = decide(builders.gpu_pod(), builders.facts(builders.policy(model())))
    assert first.pod is not None
    container = first.pod["spec"]["containers"][0]
    late = {**container, "env": [{"name": "AWS_REGION", "value": "us-east-1"}]}
    second = decide(builders.edited(first.pod, containers=[late]), builders.facts(builders.policy(model())))
    made = hydrator(second)
    assert made is not None
    assert made["env"] == [{"name": "AWS_REGION", "value": "us-east-1"}]
    assert [operation["path"] for operation in second.patch] == ["/spec/initContainers/0/env"]


def test_dra_claims_count_as_accelerators() -> None:
    container = builders.container(gpus=0)
    container["resources"]["claims"] = [{"name": "gpu"}]
    claims = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    sent = builders.edited(builders.pod(container), resourceClaims=claims)
    known = builders.inventory(claims={"default/one-gpu": ("gpu.nvidia.com",), "other/x": ("gpu.nvidia.com",)})
    assert decide(sent, builders.facts(builders.policy(IMAGES), inventory=known)).patch
    assert not decide(sent, builders.facts(builders.policy(IMAGES))).patch
    for hostile in ("x", "other/x", "../other/x"):  # a claim of another namespace
        claims = [{"name": "gpu", "resourceClaimName": hostile}]
        forged = builders.edited(builders.pod(container), resourceClaims=claims)
        assert not decide(forged, builders.facts(builders.policy(IMAGES), inventory=known)).patch
        forged["metadata"]["namespace"] = "other"  # the request says which namespace it is
        assert not decide(forged, builders.facts(builders.policy(IMAGES), inventory=known)).patch


@pytest.mark.parametrize(
    "grow",
    [
        pytest.param(lambda n: builders.pod(*(builders.container(f"c{i}") for i in range(n))), id="containers"),
        pytest.param(
            lambda n: builders.gpu_pod(env=[{"name": f"V{i}", "value": "x" * 100} for i in range(n * 10)]), id="env"
        ),
        pytest.param(
            lambda n: builders.gpu_pod(env=[{"name": f"V{i}", "value": f"$(V{i - 1})x"} for i in range(n * 10)]),
            id="references",
        ),
        pytest.param(lambda n: builders.gpu_pod(args=["s3://acme-models/llama/"] * n * 10), id="args"),
        pytest.param(
            lambda n: builders.edited(
                builders.gpu_pod(), volumes=[{"name": f"v{i}", "emptyDir": {}} for i in range(n * 5)]
            ),
            id="volumes",
        ),
    ],
)
def test_time_grows_with_the_pod_and_no_faster(grow: Any) -> None:
    def seconds(size: int) -> float:
        sent = grow(size)
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            decide(sent)
            best = min(best, time.process_time() - started)
        return best

    small, large = seconds(200), seconds(1600)
    assert large < max(small, 0.001) * 8 * 4  # linear is 8, quadratic 64


def test_hash_seeds_are_nothing() -> None:
    program = (
        "import json; from tests import builders; from webhook.admission import admit\n"
        "pod = builders.gpu_pod(env=[{'name': 'AWS_REGION', 'value': 'x'}])\n"
        "print(json.dumps(admit(builders.request(pod), builders.facts()).patch))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "warmpod-hydrate" in outputs.pop()
