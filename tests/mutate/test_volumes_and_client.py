from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from webhook.kube import Object, names
from webhook.kube.podsecurity import Level
from webhook.mutate import s3_client, volumes
from webhook.mutate.account import Account
from webhook.mutate.draft import Draft
from webhook.policy.model import ClientProfile, Origin, VolumeRule

DSHM = VolumeRule({"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}}, "/dev/shm", False, ())
MOUNT = {"name": "dshm", "mountPath": "/dev/shm"}
TEXT = "[default]\nmax_attempts = 10\n"


def add_volume(pod: Object, rule: VolumeRule, targets: set[str], level: Level, account: Account) -> Object:
    draft = Draft(pod)
    volumes.add(draft, rule, targets, level, account)
    return draft.built


def set_config(pod: Object, targets: set[str], account: Account) -> Object:
    draft = Draft(pod)
    s3_client.set_config(draft, TEXT, targets, account)
    return draft.built


@pytest.mark.parametrize(
    ("container", "pod_volumes", "mounts", "count", "why"),
    [
        pytest.param({}, None, [MOUNT], 1, "mounts dshm at /dev/shm", id="nothing there"),
        pytest.param({}, [DSHM.volume], [MOUNT], 1, "mounts dshm at /dev/shm", id="the same volume"),
        pytest.param(
            {},
            [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "16384Mi"}}],
            [MOUNT],
            1,
            "mounts dshm at /dev/shm",
            id="the same volume, written otherwise",
        ),
        pytest.param(
            {},
            [{"name": "dshm", "emptyDir": {}}],
            [],
            1,
            "volume dshm: the pod has another of that name",
            id="another volume",
        ),
        pytest.param(
            {"volumeMounts": [{"name": "mine", "mountPath": "/dev/shm/"}]},
            None,
            [{"name": "mine", "mountPath": "/dev/shm/"}],
            0,
            "volume dshm: vllm mounts its own at /dev/shm",
            id="another mount",
        ),
        pytest.param({"volumeMounts": [MOUNT]}, [DSHM.volume], [MOUNT], 1, "nothing to add", id="all there"),
    ],
)
def test_a_volume_of_the_policy(
    container: dict[str, Any], pod_volumes: list[Object] | None, mounts: list[Object], count: int, why: str
) -> None:
    account = Account()
    sent = builders.edited(builders.gpu_pod(**container), volumes=pod_volumes)
    after = add_volume(sent, DSHM, {"vllm"}, Level.RESTRICTED, account)
    assert after["spec"]["containers"][0].get("volumeMounts", []) == mounts
    assert len(after["spec"]["volumes"] or []) == count
    assert account.reason == why


def test_a_volume_that_the_level_forbids_is_left_out() -> None:
    rule = VolumeRule({"name": "h", "hostPath": {"path": "/opt"}}, "/opt", True, ())
    account = Account()
    sent = builders.gpu_pod()
    assert add_volume(sent, rule, {"vllm"}, Level.BASELINE, account) is sent
    assert account.reason == "volume h: PodSecurity level baseline of the namespace forbids it"
    allowed = add_volume(sent, rule, {"vllm"}, Level.PRIVILEGED, Account())
    assert allowed["spec"]["containers"][0]["volumeMounts"] == [{"name": "h", "mountPath": "/opt", "readOnly": True}]


def test_where_one_container_has_its_own_the_others_still_get_it() -> None:
    account = Account()
    own = builders.container("own", volumeMounts=[{"name": "mine", "mountPath": "/dev/shm"}])
    after = add_volume(builders.pod(own, builders.container()), DSHM, {"own", "vllm"}, Level.BASELINE, account)
    assert after["spec"]["containers"][1]["volumeMounts"] == [MOUNT]
    assert account.reason == "mounts dshm at /dev/shm; volume dshm: own mounts its own at /dev/shm"


def _profile(name: str, env: dict[str, str], config: dict[str, Any]) -> ClientProfile:
    return ClientProfile(name, env, config, Origin("f", 1))


def test_the_first_of_a_name_wins() -> None:
    base = builders.policies(builders.policy("  env: [{name: A, value: policy}]")).policies[0]
    from_profiles = (_profile("x", {"A": "x", "B": "x"}, {}), _profile("y", {"B": "y", "C": "y"}, {}))
    merged = type(base)(**{f: getattr(base, f) for f in base.__slots__} | {"profiles": from_profiles})
    assert s3_client.environment(merged) == [
        {"name": "A", "value": "policy"},
        {"name": "B", "value": "x"},
        {"name": "C", "value": "y"},
    ]


@pytest.mark.parametrize(
    ("configs", "text"),
    [
        ([{}], ""),
        ([{"s3": {"b": True, "a": 5}}], "[default]\ns3 =\n  a = 5\n  b = true\n"),
        (
            [{"max_attempts": 10}, {"max_attempts": 3, "retry_mode": "standard"}],
            "[default]\nmax_attempts = 10\nretry_mode = standard\n",
        ),
        ([{"s3": {"a": 1}}, {"s3": {"a": 2, "b": 2}}], "[default]\ns3 =\n  a = 1\n  b = 2\n"),
        ([{"s3": "x"}, {"s3": {"a": 1}}], "[default]\ns3 = x\n"),
        ([{"x": "a\n[evil]\nb = c"}], "[default]\nx = a [evil] b = c\n"),
    ],
    ids=["none", "one section", "scalars", "sections unite", "a scalar first", "a line break"],
)
def test_configuration_text(configs: list[dict[str, Any]], text: str) -> None:
    assert s3_client.config_text(configs) == text


def test_configuration_is_an_annotation_a_volume_a_mount_and_a_variable() -> None:
    after = set_config(builders.gpu_pod(None), {"vllm"}, Account())
    container = after["spec"]["containers"][0]
    assert after["metadata"]["annotations"][names.ANNOTATION_AWS_CONFIG] == TEXT
    assert container["env"] == [{"name": "AWS_CONFIG_FILE", "value": names.AWS_CONFIG_FILE}]
    assert container["volumeMounts"] == [
        {"name": "warmpod-aws-config", "mountPath": "/etc/warmpod/aws", "readOnly": True}
    ]
    (volume,) = after["spec"]["volumes"]
    (item,) = volume["downwardAPI"]["items"]
    assert f"{container['volumeMounts'][0]['mountPath']}/{item['path']}" == names.AWS_CONFIG_FILE
    assert item["fieldRef"] == {"fieldPath": "metadata.annotations['warmpod.dev/aws-config']"}
    assert set_config(after, {"vllm"}, Account()) is after


@pytest.mark.parametrize(
    ("container", "why"),
    [
        ({"env": [{"name": "AWS_CONFIG_FILE", "value": "/mine"}]}, "vllm sets AWS_CONFIG_FILE itself"),
        ({"env": [{"name": "AWS_CONFIG_FILE", "valueFrom": {}}]}, "vllm sets AWS_CONFIG_FILE itself"),
        ({"env": [{"name": "AWS_PROFILE", "value": "me"}]}, "vllm sets AWS_PROFILE itself"),
        (
            {"volumeMounts": [{"name": "x", "mountPath": "/etc/warmpod/aws"}]},
            "vllm mounts its own at /etc/warmpod/aws",
        ),
        ({"volumeMounts": [{"name": "x", "mountPath": "/root/.aws/"}]}, "vllm mounts its own at /root/.aws/"),
    ],
)
def test_a_container_with_a_configuration_of_its_own_keeps_it(container: dict[str, Any], why: str) -> None:
    account = Account()
    sent = builders.gpu_pod(**container)
    assert set_config(sent, {"vllm"}, account) is sent
    assert account.reason == f"awsConfig: {why}"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (
            builders.gpu_pod(annotations={names.ANNOTATION_AWS_CONFIG: "x"}),
            "annotation warmpod.dev/aws-config has other text",
        ),
        (
            builders.edited(builders.gpu_pod(), volumes=[{"name": "warmpod-aws-config", "emptyDir": {}}]),
            "the pod has another volume warmpod-aws-config",
        ),
        (builders.gpu_pod(annotations={"x": "y" * 262_100}), "no room left in the pod's annotations"),
    ],
    ids=["forged text", "another volume", "no room"],
)
def test_a_pod_that_stands_in_the_way(sent: Object, why: str) -> None:
    account = Account()
    assert set_config(sent, {"vllm"}, account) is sent
    assert account.reason == f"awsConfig: {why}"


def test_an_account_is_one_line_of_bounded_length() -> None:
    account = Account()
    for index in range(1000):
        account.leave(f"thing {index}: there")
    assert len(account.reason) < 2100
