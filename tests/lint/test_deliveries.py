"""Good twins of what `bad` has of mounted models: they are silent."""

from __future__ import annotations

import pytest

from tests import builders
from webhook.lint.lint import review
from webhook.policy.problem import Source

CLAIM = "persistentVolumeClaim: {claimName: models%s}"
MOUNTED = """
  models:
    - name: weights
      source: {value: "s3://bucket/weights/"}
      sourceVolume: {holds: "s3://bucket/", volume: {name: models, %s}}
      delivery: %s
      mountPath: /models
"""
CACHE = "      cache: nvme\n"
READ_ONLY = CLAIM % ", readOnly: true"


def found(spec: str) -> list[str]:
    caches = builders.NODE_CACHE if "cache:" in spec else ""
    return [each.code for each in review([Source("policy.yaml", builders.policy(spec) + caches)]).problems]


@pytest.mark.parametrize(
    ("spec", "codes"),
    [
        pytest.param(MOUNTED % (READ_ONLY, "mount"), [], id="a claim that is read only"),
        pytest.param(MOUNTED % (CLAIM % "", "mount"), ["W054"], id="a claim"),
        pytest.param(MOUNTED % (CLAIM % "", "auto") + CACHE, ["W054"], id="a claim that may be mounted"),
        pytest.param(MOUNTED % (CLAIM % "", "hydrate") + CACHE, ["W013"], id="never mounted, never read"),
        pytest.param(MOUNTED % ("nfs: {server: s, path: /m}", "mount"), ["W054"], id="nfs"),
        pytest.param(MOUNTED % ("hostPath: {path: /mnt/fsx}", "mount"), ["W053"], id="a host path has no readOnly"),
        pytest.param(MOUNTED % (READ_ONLY, "auto") + CACHE + "      size: 10Gi\n", [], id="auto has a use for all"),
        pytest.param(MOUNTED % (READ_ONLY, "mount") + "      size: 10Gi\n", [], id="the size weighs a zone"),
        pytest.param(MOUNTED % (READ_ONLY, "mount") + "      onFailure: Continue\n", ["W056"], id="nothing can fail"),
        pytest.param(
            "  models: [{name: m, source: {value: 'oci://r.example/m:v1'}, mountPath: /m}]\n", [], id="a version"
        ),
        pytest.param(
            f"  models: [{{name: m, source: {{value: 'oci://r.example/m@sha256:{'0' * 64}'}}, mountPath: /m}}]\n",
            [],
            id="a digest",
        ),
    ],
)
def test_deliveries(spec: str, codes: list[str]) -> None:
    assert sorted(found(spec)) == sorted(codes)


def test_two_ways_of_one_model_to_one_path_are_a_clash() -> None:
    """The first has the path; who mounts would find another volume there than who hydrates."""
    mounted = MOUNTED % (READ_ONLY, "mount")
    texts = [
        builders.policy(mounted, name="a"),
        builders.policy((mounted + CACHE).replace("delivery: mount", "delivery: auto"), name="b"),
        builders.NODE_CACHE,
    ]
    codes = [each.code for each in review([Source("policy.yaml", "".join(texts))]).problems]
    assert "W003" in codes
    same = [builders.policy(mounted, name=name) for name in ("a", "b")]
    assert "W003" not in [each.code for each in review([Source("policy.yaml", "".join(same))]).problems]


@pytest.mark.parametrize(
    ("spec", "outcome"),
    [
        pytest.param(MOUNTED % ("hostPath: {path: /m}", "mount"), "the model is not brought", id="mount"),
        pytest.param(MOUNTED % ("hostPath: {path: /m}", "auto") + CACHE, "the model is always hydrated", id="auto"),
    ],
)
def test_what_becomes_of_a_model_whose_volume_is_refused(spec: str, outcome: str) -> None:
    problems = review([Source("policy.yaml", builders.policy(spec) + builders.NODE_CACHE)]).problems
    (found,) = [each for each in problems if each.code == "W053"]
    assert found.message.endswith(outcome)
