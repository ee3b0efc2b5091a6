"""Pod Security Standards: one row for each rule of each check, at both levels."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from webhook.kube import Object
from webhook.kube.podsecurity import Level, allows_volume, level_of, violations

CLEAN: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(
    security: Any = None, context: Any = None, container: Any = None, annotations: Any = None, **spec: Any
) -> Object:
    """A pod that the restricted level admits, with these changes."""
    secured = {**CLEAN, **(security or {})}
    app = {"name": "app", "securityContext": {key: value for key, value in secured.items() if value is not None}}
    return {
        "metadata": {"annotations": annotations or {}},
        "spec": {"containers": [{**app, **(container or {})}], "securityContext": context or {}, **spec},
    }


def probe(kind: str, host: str | None) -> Object:
    return {kind: {"port": 80, **({} if host is None else {"host": host})}}


ALLOWED = {
    "as it is": pod(),
    "a null context": pod(context=None),
    "default proc mount": pod({"procMount": "Default"}),
    "an allowed SELinux type": pod({"seLinuxOptions": {"type": "container_engine_t", "level": "s0"}}),
    "an empty SELinux type": pod(context={"seLinuxOptions": {"type": "", "user": "", "role": None}}),
    "AppArmor in the pod": pod(context={"appArmorProfile": {"type": "RuntimeDefault"}}),
    "a local AppArmor profile": pod({"appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}}),
    "AppArmor annotation": pod(annotations={"container.apparmor.security.beta.kubernetes.io/app": "localhost/x"}),
    "no AppArmor annotation": pod(annotations={"container.apparmor.security.beta.kubernetes.io/app": ""}),
    "safe sysctls": pod(context={"sysctls": [{"name": "net.ipv4.tcp_rmem"}, {"name": "net.ipv4.tcp_notsent_lowat"}]}),
    "a local seccomp profile": pod({"seccompProfile": {"type": "Localhost"}}),
    "a container port": pod(container={"ports": [{"containerPort": 80, "hostPort": 0}]}),
    "a probe of the pod": pod(
        container={"livenessProbe": probe("httpGet", None), "readinessProbe": probe("tcpSocket", "")}
    ),
    "Linux by name": pod(os={"name": "linux"}),
    "safe volumes": pod(
        volumes=[
            {"name": kind, kind: {}} for kind in ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image")
        ]
    ),
    "more safe volumes": pod(volumes=[{"name": "v", "persistentVolumeClaim": {}}, {"name": "w", "projected": {}}]),
    "a defaulted volume": pod(volumes=[{"name": "v"}, {"name": "w", "hostPath": None, "secret": {}}]),
}

BASELINE = {
    "host network": (pod(hostNetwork=True), "host namespaces: hostNetwork (pod)"),
    "host processes": (pod(hostPID=True, hostIPC=True), "host namespaces: hostIPC, hostPID (pod)"),
    "privileged": (pod({"privileged": True}), 'must not be privileged (container "app")'),
    "a capability": (
        pod({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}),
        'capabilities SYS_ADMIN (container "app")',
    ),
    "a host path": (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'type hostPath (volume "v")'),
    "a host port": (pod(container={"ports": [{"hostPort": 80}]}), 'hostPort 80 (container "app")'),
    "an AppArmor profile": (
        pod(context={"appArmorProfile": {"type": "Unconfined"}}),
        "AppArmor profile type Unconfined (pod)",
    ),
    "an AppArmor profile without type": (pod({"appArmorProfile": {}}), "AppArmor profile type  (container"),
    "an AppArmor annotation": (
        pod(annotations={"container.apparmor.security.beta.kubernetes.io/app": "unconfined"}),
        "AppArmor profile unconfined (annotation",
    ),
    "an SELinux type": (pod(context={"seLinuxOptions": {"type": "spc_t"}}), "SELinux type spc_t (pod)"),
    "an SELinux user": (pod({"seLinuxOptions": {"user": "u", "role": "r"}}), "SELinux role, user (container"),
    "a proc mount": (pod({"procMount": "Unmasked"}), 'procMount Unmasked (container "app")'),
    "a seccomp profile": (
        pod({"seccompProfile": {"type": "Unconfined"}}),
        "seccomp profile type Unconfined (container",
    ),
    "a seccomp profile of the pod": (pod(context={"seccompProfile": {"type": "Unconfined"}}), "type Unconfined (pod)"),
    "a sysctl": (pod(context={"sysctls": [{"name": "kernel.msgmax"}]}), "sysctls kernel.msgmax (pod)"),
    "a Windows host process": (pod({"windowsOptions": {"hostProcess": True}}), 'host process (container "app")'),
    "a Windows host process of the pod": (pod(context={"windowsOptions": {"hostProcess": True}}), "host process (pod)"),
    "a probe of a host": (pod(container={"livenessProbe": probe("httpGet", "10.0.0.1")}), "hook: 10.0.0.1"),
    "a startup probe of a host": (pod(container={"startupProbe": probe("tcpSocket", "h")}), "hook: h"),
    "a hook to a host": (pod(container={"lifecycle": {"postStart": probe("httpGet", "h")}}), "hook: h"),
    "a last hook to a host": (pod(container={"lifecycle": {"preStop": probe("tcpSocket", "h")}}), "hook: h"),
}

RESTRICTED = {
    "a volume type": (pod(volumes=[{"name": "v", "nfs": {"server": "s"}}]), 'type nfs (volume "v")'),
    "escalation": (pod({"allowPrivilegeEscalation": True}), "allowPrivilegeEscalation=false"),
    "escalation unsaid": (pod({"allowPrivilegeEscalation": None}), "allowPrivilegeEscalation=false"),
    "root allowed": (pod({"runAsNonRoot": False}), "must not set runAsNonRoot=false (container"),
    "root allowed in the pod": (pod(context={"runAsNonRoot": False}), "must not set runAsNonRoot=false (pod)"),
    "root unsaid": (pod({"runAsNonRoot": None}), "runAsNonRoot must be true"),
    "root": (pod({"runAsUser": 0}), 'runAsUser=0 (container "app")'),
    "root in the pod": (pod(context={"runAsUser": 0}), "runAsUser=0 (pod)"),
    "seccomp unsaid": (pod({"seccompProfile": None}), "must set seccompProfile.type"),
    "capabilities kept": (pod({"capabilities": None}), 'capabilities.drop=["ALL"]'),
    "some capabilities kept": (pod({"capabilities": {"drop": ["NET_RAW"]}}), 'capabilities.drop=["ALL"]'),
    "a default capability": (pod({"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}), "capabilities CHOWN"),
}


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("it", ALLOWED.values(), ids=ALLOWED)
def test_allowed_at_every_level(it: Object, level: Level) -> None:
    assert violations(it, level) == ()


@pytest.mark.parametrize(("it", "words"), BASELINE.values(), ids=BASELINE)
def test_forbidden_from_baseline_up(it: Object, words: str) -> None:
    before = copy.deepcopy(it)
    assert violations(it, Level.PRIVILEGED) == ()
    for level in (Level.BASELINE, Level.RESTRICTED):
        (sentence,) = violations(it, level)
        assert words in sentence
    assert it == before


@pytest.mark.parametrize(("it", "words"), RESTRICTED.values(), ids=RESTRICTED)
def test_forbidden_by_restricted_alone(it: Object, words: str) -> None:
    assert violations(it, Level.BASELINE) == ()
    (sentence,) = violations(it, Level.RESTRICTED)
    assert words in sentence


@pytest.mark.parametrize(
    "it",
    [
        pytest.param(pod({"runAsNonRoot": None}, {"runAsNonRoot": True}), id="non-root in the pod"),
        pytest.param(
            pod({"seccompProfile": None}, {"seccompProfile": {"type": "RuntimeDefault"}}), id="seccomp in the pod"
        ),
        pytest.param(pod({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}), id="low ports"),
        pytest.param(pod({"runAsNonRoot": None, "runAsUser": 0}, hostUsers=False), id="root in a user namespace"),
        pytest.param(
            pod({"runAsNonRoot": False}, {"runAsNonRoot": False, "runAsUser": 0}, hostUsers=False), id="root of the pod"
        ),
        pytest.param(
            pod(
                {"allowPrivilegeEscalation": None, "capabilities": None, "seccompProfile": None}, os={"name": "windows"}
            ),
            id="Windows has no such settings",
        ),
    ],
)
def test_what_restricted_lets_pass(it: Object) -> None:
    assert violations(it, Level.RESTRICTED) == ()


def test_proc_mounts_in_a_user_namespace_are_for_baseline_only() -> None:
    it = pod({"procMount": "Unmasked"}, hostUsers=False)
    assert violations(it, Level.BASELINE) == ()
    assert len(violations(it, Level.RESTRICTED)) == 1


def test_windows_still_must_not_run_as_root() -> None:
    assert violations(pod({"runAsNonRoot": None}, os={"name": "windows"}), Level.RESTRICTED) != ()


@pytest.mark.parametrize("where", ["initContainers", "containers", "ephemeralContainers"])
def test_every_list_of_containers_is_checked(where: str) -> None:
    it = pod()
    bad = {"name": "bad", "securityContext": {**CLEAN, "privileged": True}}
    it["spec"][where] = [*it["spec"].get(where, []), bad]
    assert violations(it, Level.BASELINE) == ('must not be privileged (container "bad")',)


def test_a_bare_pod_gets_one_sentence_for_each_check() -> None:
    it = {"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}}
    assert violations(it, Level.BASELINE) == ()
    found = violations(it, Level.RESTRICTED)
    assert found == tuple(sorted(found))
    assert len(found) == 4
    assert all(sentence.endswith('(container "i", container "a", container "b")') for sentence in found)


def test_text_of_tenants_is_cut() -> None:
    (sentence,) = violations(pod(context={"sysctls": [{"name": "x" * 5000}]}), Level.BASELINE)
    assert len(sentence) < 200


@pytest.mark.parametrize(
    ("volume", "allowed"),
    [
        ({"hostPath": {"path": "/"}}, {Level.PRIVILEGED}),
        ({"name": "v", "hostPath": {}}, {Level.PRIVILEGED}),
        ({"nfs": {}}, {Level.PRIVILEGED, Level.BASELINE}),
        ({"flexVolume": {}}, {Level.PRIVILEGED, Level.BASELINE}),
        ({"someday": {}}, {Level.PRIVILEGED, Level.BASELINE}),
        ({"emptyDir": {}}, set(Level)),
        ({"ephemeral": {"volumeClaimTemplate": {}}}, set(Level)),
        ({"name": "v"}, set(Level)),
        ({"name": "v", "hostPath": None}, set(Level)),
    ],
    # A set's own order changes from process to process.
    ids=lambda value: ",".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_allows_volume(volume: Object, allowed: set[Level]) -> None:
    assert {level for level in Level if allows_volume(volume, level)} == allowed


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, Level.RESTRICTED),
        ({}, Level.BASELINE),
        ({"pod-security.kubernetes.io/warn": "restricted"}, Level.BASELINE),
        ({"pod-security.kubernetes.io/enforce": "privileged"}, Level.PRIVILEGED),
        ({"pod-security.kubernetes.io/enforce": "restricted"}, Level.RESTRICTED),
        ({"pod-security.kubernetes.io/enforce": "Privileged"}, Level.RESTRICTED),
        ({"pod-security.kubernetes.io/enforce": ""}, Level.RESTRICTED),
    ],
    ids=str,
)
def test_level_of_a_namespace(labels: dict[str, str] | None, expected: Level) -> None:
    assert level_of(labels, Level.BASELINE) is expected
