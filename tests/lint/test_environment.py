"""Variables and configuration keys: a program's own business is left alone, a slip of the finger is seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lint.trade import codes, manifests, pod, policies, policy, problems, profile
from webhook.clients.catalogue import catalogue
from webhook.lint import aws_config, environment
from webhook.lint.check import Manifest

READ = sorted(name for name, each in catalogue().variables.items() if each.status == "read")


def env(name: str, value: str = "1") -> str:
    return policy("p", f"env: [{{name: {name}, value: '{value}'}}]")


@pytest.mark.parametrize(
    "name",
    [
        "MODEL_ID",
        "PYTORCH_CUDA_ALLOC_CONF",
        "NCCL_DEBUG",
        "VLLM_USE_V1",
        "VLLM_ATTENTION_BACKEND",
        "HF_DATASETS_CACHE",
        "HF_ENDPOINT",
        "HF_ASSETS_CACHE",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_STS_ROLE",
        "S3_BUCKET",
        "S3_PREFIX",
        "TRITON_DUMP_DIR",
        "AWS",
        "S3_X",
        "RCLONE_TRANSFERZ",
        "AWS_ENDPOINT_URL_BEDROCK",
        "FSSPEC_GCS_PROJECT",
    ],
)
def test_names_of_others_are_left_alone(name: str) -> None:
    assert codes(env(name)) == []


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("AWS_MAX_ATTEMPS", "AWS_MAX_ATTEMPTS"),
        ("AWS_MAX_ATETMPTS", "AWS_MAX_ATTEMPTS"),
        ("aws_retry_mode", "AWS_RETRY_MODE"),
        ("AWS_RETRYMODE", "AWS_RETRY_MODE"),
        ("HF_HUB_CACH", "HF_HUB_CACHE"),
        ("RUNAI_STREAMER_CHUNK_BYTE_SIZE", "RUNAI_STREAMER_CHUNK_BYTESIZE"),
        ("TENSORSTORE_S3_REQUEST_CONCURENCY", "TENSORSTORE_S3_REQUEST_CONCURRENCY"),
    ],
)
def test_a_slip_of_the_finger_is_seen(slip: str, meant: str) -> None:
    (found,) = problems(env(slip))
    assert (found.code, found.hint) == ("W035", f'did you mean "{meant}"?')


@given(st.sampled_from(READ))
def test_no_name_that_is_read_is_taken_for_a_slip(name: str) -> None:
    found = [finding.code for _, finding in environment.CHECKS[0](policies(env(name, "")), ())]
    assert "W035" not in found
    assert "W036" not in found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_MAX_ATTEMPTS", "$(ATTEMPTS)"),
        ("AWS_EC2_METADATA_DISABLED", "True"),
        ("HF_HUB_OFFLINE", "1"),
        ("AWS_ALLOW_HTTP", "1"),
        ("AWS_PROXY_URL", "socks5://proxy:1080"),
        ("AWS_SDK_LOAD_CONFIG", "1"),
        ("HF_HUB_OFFLINE", "true"),
        ("KVIKIO_COMPAT_MODE", "AUTO"),
        ("AWS_CRT_S3_MEMORY_LIMIT_IN_GIB", "8"),
        ("RUNAI_STREAMER_MEMORY_LIMIT", "-1"),
        ("FSSPEC_S3", '{"max_concurrency": 64}'),
        ("JAX_COMPILATION_CACHE_DIR", "s3://bucket/cache"),
        ("AWS_ENDPOINT_URL", "http://minio.storage:9000"),
    ],
)
def test_values_that_are_taken(name: str, value: str) -> None:
    assert codes(policy("p", f"env: [{{name: {name}, value: '{value}'}}]")) == []


def test_no_value_is_shown_at_length() -> None:
    (found,) = problems(env("AWS_MAX_ATTEMPTS", "x" * 4000))
    assert len(found.message) < 200


def test_a_profile_that_several_policies_use_is_told_once() -> None:
    two = [
        policy(name, f"clientProfiles: [s3], match: {{objectSelector: {{matchLabels: {{a: {name}}}}}}}")
        for name in "ab"
    ]
    assert codes(*two, profile("s3", "env: {AWS_MAX_RETRIES: '5', HF_XET_NUM_CONCURRENT_RANGE_GETS: '9'}")) == [
        "W035",
        "W036",
    ]


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        (["env: [{name: AWS_REGION, value: x}, {name: AWS_DEFAULT_REGION, value: x}]"], []),
        (["env: [{name: AWS_REGION, value: x}], clientProfiles: [region]"], []),
        (["env: [{name: AWS_REGION, value: x}]", "clientProfiles: [region]"], ["W040", "W040"]),
    ],
)
def test_a_region_is_looked_for_in_company(documents: list[str], expected: list[str]) -> None:
    texts = [
        policy(f"p{index}", f"{spec}, match: {{objectSelector: {{matchLabels: {{a: p{index}}}}}}}")
        for index, spec in enumerate(documents)
    ]
    if any("region" in spec.replace("_", "") and "[region]" in spec for spec in documents):
        texts.append(profile("region", "env: {AWS_DEFAULT_REGION: x}"))
    assert codes(*texts) == expected


MANY = "env: [{name: TENSORSTORE_S3_REQUEST_CONCURRENCY, value: '8'}]"


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([{"image": "vllm/vllm-openai:v1"}], ["W037"]),
        ([{"image": "vllm/vllm-openai:v1"}, {"image": "amazon/aws-cli"}], ["W037"]),
        ([{"image": "vllm/vllm-openai:v1"}, {"image": "registry.example/mine"}], []),
        ([{"image": "vllm/vllm-openai:v1", "command": ["sh", "-c", "jax"]}], []),
        ([{"image": "vllm/vllm-openai:v1", "env": [{"name": "TENSORSTORE_S3_REQUEST_CONCURRENCY", "value": "1"}]}], []),
        ([{"image": "vllm/vllm-openai:v1", "resources": {}}], []),
        ([], []),
    ],
    ids=["another client", "two of them", "one unknown", "a shell", "set by the author", "no accelerator", "no pod"],
)
def test_who_runs_in_the_pods(containers: list[dict[str, object]], expected: list[str]) -> None:
    pods = tuple(Manifest("x", pod(**each)) for each in containers)
    assert [finding.code for _, finding in environment.CHECKS[1](policies(policy("p", MANY)), pods)] == expected


def test_a_profile_is_judged_only_where_all_its_policies_have_pods() -> None:
    both = [
        policy("a", "clientProfiles: [s], match: {objectSelector: {matchLabels: {x: y}}}"),
        policy(
            "b", "clientProfiles: [s], match: {objectSelector: {matchExpressions: [{key: x, operator: DoesNotExist}]}}"
        ),
    ]
    text = profile("s", "env: {TENSORSTORE_S3_REQUEST_CONCURRENCY: '8'}")
    pods = (Manifest("x", pod(image="vllm/vllm-openai:v1")),)
    check = environment.CHECKS[1]
    assert [finding.code for _, finding in check(policies(*both, text), pods)] == []
    assert [finding.code for _, finding in check(policies(both[1], text), pods)] == ["W037"]


def test_a_namespace_that_nobody_described_shows_nothing() -> None:
    spec = f"{MANY}, match: {{namespaceSelector: {{matchLabels: {{team: x}}}}}}"
    text = (
        "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, "
        "image: 'vllm/vllm-openai:v1', resources: {limits: {nvidia.com/gpu: '1'}}}]}}"
    )
    assert codes(policy("p", spec), pods=manifests(text)) == []
    assert codes(policy("p", spec), pods=manifests(text, {"team": "x"})) == ["W037"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("s3: {max_concurrent_requests: 20, multipart_chunksize: 16MB}", []),
        ("s3: {use_dualstack_endpoint: true}, region: eu-central-1, retry_mode: standard", []),
        ("dynamodb: {anything: 1}", []),
        ("s3: {target_bandwidth: 100Gb/s}", ["W043"]),
        ("s3: {preferred_transfer_client: classic, target_bandwidth: 100Gb/s}", ["W043"]),
        ("s3: {direct_io: 'yes'}", ["W042", "W043"]),
    ],
)
def test_keys_of_the_aws_cli(config: str, expected: list[str]) -> None:
    found = policies(policy("p", "clientProfiles: [s3]"), profile("s3", f"awsConfig: {{{config}}}"))
    assert [finding.code for check in aws_config.CHECKS for _, finding in check(found, ())] == expected


def test_the_transfer_client_may_be_chosen_by_another_profile() -> None:
    first = profile(
        "a", "awsConfig: {s3: {preferred_transfer_client: crt}}, env: {AWS_CRT_S3_MEMORY_LIMIT_IN_GIB: '2'}"
    )
    second = profile("b", "awsConfig: {s3: {direct_io: true}}")
    assert codes(policy("p", "clientProfiles: [a, b]"), first, second) == []
