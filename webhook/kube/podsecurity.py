"""The Pod Security Standards: what a namespace's level would say to a pod.

The checks are those of k8s.io/pod-security-admission (policy/check_*.go) at version `latest`, read at Kubernetes 1.37.
Runs inside every review, so it looks at each container once and builds a sentence only for what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from webhook.kube import Object, names
from webhook.kube import pod as pods


class Level(StrEnum):
    """The three standards, from the most permissive."""

    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"


_LEVELS = {str(level): level for level in Level}
_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_BIND = frozenset(("NET_BIND_SERVICE",))
_SYSCTLS = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
        "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_notsent_lowat",
    ]
)
_SELINUX_TYPES = ("", None, "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_PROFILES = ("RuntimeDefault", "Localhost")
_RESTRICTED_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
# Sentences reach people and logs; a tenant's text in them is cut.
_LONGEST_VALUE = 64
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


class _Findings:
    """What is wrong, by check: who is at fault, and the forbidden values."""

    __slots__ = ("faults",)

    def __init__(self) -> None:
        self.faults: dict[str, tuple[dict[str, None], dict[str, None]]] = {}

    def add(self, check: str, who: str, value: Any = None) -> None:
        """Record that `who` fails `check`, by this value where there is one."""
        culprits, values = self.faults.setdefault(check, ({}, {}))
        culprits[who] = None
        if value is not None:
            values[str(value)[:_LONGEST_VALUE]] = None

    def sentences(self) -> tuple[str, ...]:
        """One sentence for each check, in alphabetical order of the checks."""
        return tuple(
            f"{check.format(', '.join(sorted(values)))} ({', '.join(culprits)})"
            for check, (culprits, values) in sorted(self.faults.items())
        )


def violations(pod: Object, level: Level) -> tuple[str, ...]:
    """What forbids this pod at this level: one sentence for each check, with the containers or volumes at fault."""
    if level is Level.PRIVILEGED:
        return ()
    restricted = level is Level.RESTRICTED
    findings = _Findings()
    spec = pods.spec(pod)
    context = pods.mapping(spec.get("securityContext"))
    # A pod in a user namespace of its own may do more (KEP-127); a Windows pod cannot set what only Linux has.
    own_users = spec.get("hostUsers") is False
    linux = pods.mapping(spec.get("os")).get("name") != "windows"

    _check_pod(pod, spec, restricted, findings)
    if context:
        _check_context("pod", context, restricted and not own_users, findings)
    inherits_non_root = context.get("runAsNonRoot") is True
    inherits_seccomp = pods.mapping(context.get("seccompProfile")).get("type") in _PROFILES
    for _, _, container in pods.every_container(pod):
        name = container.get("name")
        who = f'container "{name}"'
        security = pods.mapping(container.get("securityContext"))
        if security:
            _check_context(who, security, restricted and not own_users, findings)
            _check_linux_context(who, security, restricted or not own_users, findings)
        if not restricted:
            _check_added_capabilities(who, security, _CAPABILITIES, findings)
        else:
            if linux:
                _check_restricted_linux(who, security, inherits_seccomp, findings)
            if not own_users and security.get("runAsNonRoot") is None and not inherits_non_root:
                findings.add("runAsNonRoot must be true in the pod or the container", who)
        if "ports" in container:
            for port in pods.objects(container["ports"]):
                if port.get("hostPort"):
                    findings.add("must not use hostPort {}", who, port["hostPort"])
        _check_handlers(who, container, findings)
    return findings.sentences() if findings.faults else ()


def allows_volume(volume: Object, level: Level) -> bool:
    """Whether a pod of this level may have this volume (a volume source, with or without its name)."""
    if level is Level.PRIVILEGED:
        return True
    sources = [key for key, value in volume.items() if value is not None and key != "name"]
    if level is Level.BASELINE:
        return "hostPath" not in sources
    # A volume without a source becomes an emptyDir when the API server fills in defaults.
    return not sources or any(source in _RESTRICTED_VOLUMES for source in sources)


def level_of(namespace_labels: Mapping[str, str] | None, default: Level) -> Level:
    """The level that a namespace enforces, `default` where it does not say.

    The strictest one when the labels are unknown (None) or the value is none of the three, as pod-security-admission
    does.
    """
    if namespace_labels is None:
        return Level.RESTRICTED
    value = namespace_labels.get(names.LABEL_POD_SECURITY_ENFORCE)
    return default if value is None else _LEVELS.get(value, Level.RESTRICTED)


def _check_pod(pod: Object, spec: Object, restricted: bool, findings: _Findings) -> None:
    """What stands on the pod alone: host namespaces, volumes, sysctls, AppArmor annotations."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field) is True:
            findings.add("must not use host namespaces: {}", "pod", field)
    level = Level.RESTRICTED if restricted else Level.BASELINE
    for volume in pods.objects(spec.get("volumes")):
        if not allows_volume(volume, level):
            sources = ", ".join(sorted(key for key in volume if key != "name"))
            findings.add("must not use volumes of type {}", f'volume "{volume.get("name")}"', sources)
    context = spec.get("securityContext")
    if type(context) is dict:
        for sysctl in pods.objects(context.get("sysctls")):
            name = sysctl.get("name")
            if type(name) is not str or name not in _SYSCTLS:
                findings.add("must not set sysctls {}", "pod", name)
    for key, value in pods.mapping(pods.metadata(pod).get("annotations")).items():
        if key.startswith(_APPARMOR_ANNOTATION):
            profile = value if type(value) is str else ""
            if profile and profile != "runtime/default" and not profile.startswith("localhost/"):
                findings.add("must not set AppArmor profile {}", f'annotation "{key}"', profile)


def _check_context(who: str, context: Object, non_root: bool, findings: _Findings) -> None:
    """What the security context of a pod and of a container have in common."""
    for field, words in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        profile = context.get(field)
        if type(profile) is dict and profile.get("type") not in _PROFILES:
            findings.add(f"must not set {words} profile type {{}}", who, profile.get("type", ""))
    options = context.get("seLinuxOptions")
    if type(options) is dict:
        if options.get("type") not in _SELINUX_TYPES:
            findings.add("must not set SELinux type {}", who, options["type"])
        for field in ("user", "role"):
            if options.get(field):
                findings.add("must not set SELinux {}", who, field)
    if pods.mapping(context.get("windowsOptions")).get("hostProcess") is True:
        findings.add("must not be a Windows host process", who)
    if non_root:
        if context.get("runAsNonRoot") is False:
            findings.add("must not set runAsNonRoot=false", who)
        user = context.get("runAsUser")
        if user == 0 and user is not False:
            findings.add("must not set runAsUser=0", who)


def _check_linux_context(who: str, security: Object, default_proc: bool, findings: _Findings) -> None:
    """What the security context of a container alone can say, at both levels."""
    if security.get("privileged") is True:
        findings.add("must not be privileged", who)
    if default_proc and security.get("procMount") not in (None, "Default"):
        findings.add("must not set procMount {}", who, security["procMount"])


def _check_added_capabilities(who: str, security: Object, allowed: frozenset[str], findings: _Findings) -> None:
    capabilities = security.get("capabilities")
    if type(capabilities) is dict:
        added = capabilities.get("add")
        for capability in added if type(added) is list else ():
            if type(capability) is not str or capability not in allowed:
                findings.add("must not add capabilities {}", who, capability)


def _check_restricted_linux(who: str, security: Object, inherits_seccomp: bool, findings: _Findings) -> None:
    """What the restricted level demands of every Linux container."""
    if security.get("allowPrivilegeEscalation") is not False:
        findings.add("must set allowPrivilegeEscalation=false", who)
    dropped = pods.mapping(security.get("capabilities")).get("drop")
    if type(dropped) is not list or "ALL" not in dropped:
        findings.add('must set capabilities.drop=["ALL"]', who)
    _check_added_capabilities(who, security, _BIND, findings)
    if not inherits_seccomp and type(security.get("seccompProfile")) is not dict:
        findings.add("must set seccompProfile.type to RuntimeDefault or Localhost in the pod or the container", who)


def _check_handlers(who: str, container: Object, findings: _Findings) -> None:
    """Probes and lifecycle hooks that make the kubelet call another host."""
    handlers = [container[key] for key in ("livenessProbe", "readinessProbe", "startupProbe") if key in container]
    lifecycle = container.get("lifecycle")
    if type(lifecycle) is dict:
        handlers += (lifecycle.get("postStart"), lifecycle.get("preStop"))
    for handler in handlers:
        if type(handler) is dict:
            for action in ("httpGet", "tcpSocket"):
                host = pods.mapping(handler.get(action)).get("host")
                if host:
                    findings.add("must not set the host of a probe or lifecycle hook: {}", who, host)
