"""What the init container is told about a model: the policy's choices, whose it is, and where it goes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from webhook.admission import admit
from webhook.kube import Object, names
from webhook.kube.podsecurity import Level
from webhook.policy.parse import parse
from webhook.policy.problem import Source

ADR = Path(__file__).parents[2] / "docs" / "adr" / "0012-a-directory-is-of-a-source-and-its-filters.md"


def admitted(model: Object, cache: Object, *, level: Level = Level.PRIVILEGED, sent: Object | None = None) -> Object:
    """The pod that a policy of this model and its cache makes, held against every law and reviewed twice."""
    labels = {names.LABEL_POD_SECURITY_ENFORCE: str(level)}
    facts = builders.facts(builders.tuned(model, cache), labels=labels)
    decision = admit(builders.request(sent or builders.gpu_pod()), facts)
    assert decision.violations == ()
    assert decision.pod is not None
    again = admit(builders.request(decision.pod), facts)
    assert again.pod is decision.pod
    return decision.pod


def init(pod: Object) -> Object:
    found: Object
    (found,) = [each for each in pod["spec"]["initContainers"] if each["name"] == names.INIT_CONTAINER]
    return found


def told(pod: Object) -> Any:
    """What its one `--model` says, as the program reads it."""
    [_, argument] = init(pod)["args"]
    assert "$(" not in argument.replace("$$", "")
    return json.loads(argument.removeprefix("--model=").replace("$$", "$"))


PLAIN = {
    "cache": "/warmpod/cache/tuned",
    "directory": names.digest16(builders.MODEL),
    "keepFree": "20%",
    "name": "weights",
    "onFailure": "Retry",
    "source": builders.MODEL,
    "tenant": "default",
}


@pytest.mark.parametrize(
    ("model", "cache", "more"),
    [
        pytest.param({}, {}, {}, id="defaults"),
        pytest.param({"files": {}}, {}, {}, id="all files"),
        pytest.param({"pageCache": False}, {"lease": "1440m", "trustCache": False}, {}, id="defaults written out"),
        pytest.param({"pageCache": True}, {}, {"pageCache": True}, id="page cache"),
        pytest.param({"onFailure": "Continue"}, {}, {"onFailure": "Continue"}, id="on failure"),
        pytest.param({}, {"maxSize": "500Gi"}, {"maxSize": "500Gi"}, id="most"),
        pytest.param({}, {"trustCache": True}, {"trustCache": True}, id="trust"),
        pytest.param({}, {"lease": "1h30m"}, {"lease": 5400}, id="lease"),
        pytest.param({}, {"lease": "0s"}, {"lease": 0}, id="no lease"),
        pytest.param({}, {"keepFree": "50Gi"}, {"keepFree": "50Gi"}, id="keep free"),
        pytest.param({}, {"keepFree": "1.5e12"}, {"keepFree": "1500000000000"}, id="odd power"),
        pytest.param({}, {"maxSize": "+500000000000000m"}, {"maxSize": "500000000000"}, id="odd suffix"),
        pytest.param({}, {"tenancy": "Cluster"}, {"tenant": ""}, id="everyone's"),
    ],
)
def test_the_argument(model: Object, cache: Object, more: Object) -> None:
    assert told(admitted(model, cache)) == {**PLAIN, **more}


@pytest.mark.parametrize(
    ("cache", "most"),
    [
        ({"fallbackVolume": {"emptyDir": {}}}, {}),
        ({"fallbackVolume": {"emptyDir": {}}, "maxSize": "1Ti"}, {"maxSize": "1Ti"}),
        ({"fallbackVolume": {"emptyDir": {"sizeLimit": "200Gi"}}}, {"maxSize": "200Gi"}),
        ({"fallbackVolume": {"emptyDir": {"sizeLimit": "200Gi"}}, "maxSize": "1Ti"}, {"maxSize": "200Gi"}),
        ({"fallbackVolume": {"emptyDir": {"sizeLimit": "1Ti"}}, "maxSize": "200Gi"}, {"maxSize": "200Gi"}),
        ({"fallbackVolume": {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}}, {}),
    ],
    ids=["none", "the cache's", "the volume's", "the volume's is less", "the cache's is less", "its own filesystem"],
)
def test_what_dies_with_the_pod_is_nobodys_and_stays_below_the_limit_that_would_evict_it(
    cache: Object, most: Object
) -> None:
    expected = {**PLAIN, **most}
    del expected["tenant"]
    pod = admitted({}, cache, level=Level.RESTRICTED)
    assert told(pod) == expected
    assert "subPath" not in init(pod)["volumeMounts"][0]


def test_what_dies_with_the_pod_is_limited_only_there() -> None:
    cache = {"fallbackVolume": {"emptyDir": {"sizeLimit": "200Gi"}}}
    assert told(admitted({}, cache)) == PLAIN


def test_the_digest_is_the_one_that_the_decision_shows() -> None:
    text = ADR.read_text()
    [shown] = re.findall(r"```\n(.*?)\n```", text, re.DOTALL)
    [digest] = set(re.findall(r"`([0-9a-f]{16})`", text))
    assert names.digest16(shown) == digest
    source, _, filters = shown.partition("\n")
    files = {**json.loads(filters), "exclude": ["original/*", "*.gguf"]}
    pod = admitted({"files": files}, {}, sent=builders.gpu_pod(source.replace("/b/", "/acme-models/")))
    assert told(pod)["directory"] == names.directory("s3://acme-models/llama/", filters)


GLOBS = st.lists(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=12).filter(
        lambda glob: glob != "*" and not {"", ".", ".."} & set(glob.split("/"))
    ),
    max_size=4,
    unique=True,
)


@given(include=GLOBS, exclude=GLOBS, prefer=st.booleans(), random=st.randoms(use_true_random=False))
def test_filters_move_the_directory_and_survive_another_review(
    *, include: list[str], exclude: list[str], prefer: bool, random: Any
) -> None:
    exclude = [glob for glob in exclude if glob not in include]
    pod = admitted({"files": {"include": include, "exclude": exclude, "preferSafetensors": prefer}}, {})
    found = told(pod)
    assert found.get("include", []) == sorted(include)
    assert found.get("exclude", []) == sorted(exclude)
    assert found.get("preferSafetensors", False) is prefer
    filters = {key: found[key] for key in ("exclude", "include", "preferSafetensors") if key in found}
    text = json.dumps(filters, ensure_ascii=False, separators=(",", ":"))
    digested = f"{builders.MODEL}\n{text}" if filters else builders.MODEL
    assert found["directory"] == names.digest16(digested)
    (mount,) = pod["spec"]["containers"][0]["volumeMounts"]
    assert mount["subPath"] == f"namespaces/default/{found['directory']}/current"
    random.shuffle(include)
    files = {"include": include, "exclude": exclude[::-1], "preferSafetensors": prefer}
    assert told(admitted({"files": files}, {})) == found


def test_the_longest_globs_still_let_a_second_review_know_the_source_that_was_redirected() -> None:
    globs = [f"{number}{character * 127}" for number in range(8) for character in ("$", '"')]
    source = "s3://acme-models/" + "x" * 1006 + "/"
    sent = builders.gpu_pod(args=[f"--model={source}"])
    named = {"source": {"arg": "--model"}, "files": {"include": globs}}
    pod = admitted(named, {}, sent=sent)
    assert pod["spec"]["containers"][0]["args"] == ["--model=/models"]
    assert told(pod)["source"] == source


def test_two_choices_of_files_are_two_models() -> None:
    few_files = {"files": {"preferSafetensors": True}, "mountPath": "/few"}
    both = builders.tuned({}, {}) + builders.tuned(few_files, {}, name="q").rpartition("---\n")[0]
    everything = builders.model(nodes=(1,))
    few = names.directory(builders.MODEL, '{"preferSafetensors":true}')
    part = builders.model(names.selection(builders.MODEL, few), nodes=(2,))
    decision = admit(
        builders.request(builders.gpu_pod()), builders.facts(both, inventory=builders.inventory(everything, part))
    )
    assert decision.pod is not None
    assert decision.violations == ()
    arguments = [json.loads(each.removeprefix("--model=")) for each in init(decision.pod)["args"][1:]]
    assert [each["directory"] for each in arguments] == [names.digest16(builders.MODEL), few]
    terms = decision.pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    keys = {term["preference"]["matchExpressions"][0]["key"] for term in terms}
    assert keys == {everything.label, part.label}
    assert [each.reason.count(f"nodes that hold {builders.MODEL}: on 1 of 4") for each in decision.policies] == [1, 1]


@pytest.mark.parametrize(
    ("model", "cache", "problem"),
    [
        ({"files": {"include": ["/x"]}}, {}, "P014 spec.models[0].files.include[0]: paths are relative"),
        ({"files": {"include": ["x/"]}}, {}, "P014 spec.models[0].files.include[0]: names a directory"),
        ({"files": {"include": ["a/../b"]}}, {}, 'P014 spec.models[0].files.include[0]: paths have no "", "."'),
        ({"files": {"include": [""]}}, {}, "P014 spec.models[0].files.include[0]: must be 1-256 printable"),
        ({"files": {"include": ["a\nb"]}}, {}, "P014 spec.models[0].files.include[0]: must be 1-256 printable"),
        ({"files": {"exclude": ["a", "a"]}}, {}, 'P015 spec.models[0].files.exclude[1]: the glob "a" is listed twice'),
        ({"files": {"exclude": ["*"]}}, {}, "P016 spec.models[0].files.exclude[0]: leaves out every file"),
        (
            {"files": {"include": ["a"], "exclude": ["a"]}},
            {},
            'P016 spec.models[0].files.exclude[0]: "a" is in include',
        ),
        ({"files": {"exclude": [f"{n}{'x' * 250}" for n in range(9)]}}, {}, "P014 spec.models[0].files: include and"),
        ({"files": {"exclude": [str(n) for n in range(33)]}}, {}, "P005 spec.models[0].files.exclude: "),
        ({"files": {"excludes": []}}, {}, "P010 spec.models[0].files.excludes: unknown field"),
        ({}, {"maxSize": "500"}, "P014 spec.maxSize: 500 would be that many bytes"),
        ({}, {"maxSize": "50%"}, "P014 spec.maxSize: must be a quantity"),
        ({}, {"lease": "1d"}, "P014 spec.lease: must be a duration"),
        ({}, {"lease": ""}, "P014 spec.lease: must be a duration"),
        ({}, {"lease": "9999h"}, "P014 spec.lease: must not be longer than a year"),
        ({}, {"lease": 24}, "P012 spec.lease: must be a string"),
    ],
)
def test_what_is_refused(model: Object, cache: Object, problem: str) -> None:
    found = parse([Source("p.yaml", builders.tuned(model, cache))]).problems
    said = [f"{each.code} {each.path}: {each.message}" for each in found if each.code != "P032"]
    assert len(said) == 1
    assert said[0].startswith(problem)
