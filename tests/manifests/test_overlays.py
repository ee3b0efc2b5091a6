"""What each kustomization is made of, and that users can mix and change them."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from tests.manifests import rendered
from tests.manifests.rendered import COMPONENT, MANIFESTS, Document
from webhook.cli.main import main
from webhook.controller.options import Installation
from webhook.kube import names
from webhook.sources.policy_files import PolicyFiles

pytestmark = pytest.mark.cluster

DIRECTORIES = sorted(path.parent for path in MANIFESTS.rglob("kustomization.yaml"))
KUSTOMIZATIONS = [
    *(("overlays", name) for name in rendered.OVERLAYS),
    *(("components", name) for name in rendered.COMPONENTS),
    ("removal", ""),
]


@pytest.fixture(params=KUSTOMIZATIONS, ids=lambda each: "-".join(filter(None, each)))
def documents(request: pytest.FixtureRequest) -> list[Document]:
    """What each kustomization renders; a component is rendered upon the base."""
    kind, name = request.param
    if kind == "removal":
        return rendered.removal()
    return rendered.overlay(name) if kind == "overlays" else rendered.composed(name)


OURS = ("cert-manager.io/", "monitoring.coreos.com/")


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_every_file_is_listed(directory: Path) -> None:
    found = yaml.safe_load((directory / "kustomization.yaml").read_text())
    listed = {*found.get("resources", ()), *found.get("configurations", ()), *found.get("components", ())}
    listed |= {each["path"] for each in found.get("patches", ()) if "path" in each}
    files = {path.name for path in directory.iterdir() if path.is_file()} - {"kustomization.yaml", "README.md"}
    assert files == {each for each in listed if "/" not in each}


def test_every_directory_is_a_kustomization() -> None:
    assert {path.name for path in (MANIFESTS / "overlays").iterdir()} == {
        *("audit", "enforce", "git-sync", "cert-manager", "high-availability")
    }
    for path in (*COMPONENT.iterdir(), *(MANIFESTS / "overlays").iterdir()):
        kind = yaml.safe_load((path / "kustomization.yaml").read_text())["kind"]
        assert kind == ("Component" if path.parent == COMPONENT else "Kustomization")


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()], ids=["oldest", "newest"])
def test_every_object_is_valid_to_the_last_field(documents: list[Document], version: str) -> None:
    for each in documents:
        if not each["apiVersion"].startswith(OURS):
            kubernetes_validate.validate(each, version, strict=True)


def test_a_field_too_many_would_be_found(documents: list[Document]) -> None:
    native = next(each for each in documents if not each["apiVersion"].startswith(OURS))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**native, "sepc": {}}, "1.37", strict=True)


def test_every_object_says_that_it_is_ours(documents: list[Document]) -> None:
    for each in documents:
        if each["metadata"]["name"].startswith("warmpod-git-sync"):
            continue  # a user's kustomization names it, and adds no labels of ours
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "warmpod", rendered.key(each)
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "warmpod", rendered.key(each)


def test_nothing_can_hold_up_its_own_end(documents: list[Document]) -> None:
    for each in documents:
        assert "finalizers" not in each["metadata"]
        assert "ownerReferences" not in each["metadata"]


def test_no_secret_is_in_the_tree(documents: list[Document]) -> None:
    assert not any(each["kind"] == "Secret" for each in documents)
    assert "caBundle" not in json.dumps(documents)


@pytest.mark.parametrize("overlay", rendered.OVERLAYS)
def test_what_others_need_comes_before_them(overlay: str) -> None:
    kinds = [each["kind"] for each in rendered.overlay(overlay)]
    assert kinds[0] == "Namespace"
    assert kinds[-1] == "MutatingWebhookConfiguration", "pods are sent to us when all else is there"
    assert kinds.index("PriorityClass") < kinds.index("Deployment")


def differences(one: list[Document], other: list[Document]) -> set[tuple[str, ...]]:
    """Paths of what differs between two kustomizations, as far as objects of both."""
    found: set[tuple[str, ...]] = set()

    def compare(path: tuple[str, ...], a: Any, b: Any) -> None:
        if isinstance(a, dict) and isinstance(b, dict):
            for key in a.keys() | b.keys():
                compare((*path, key), a.get(key), b.get(key))
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            for index, (left, right) in enumerate(zip(a, b, strict=True)):
                compare((*path, str(index)), left, right)
        elif a != b:
            found.add(path)

    ones, others = ({rendered.key(each): each for each in documents} for documents in (one, other))
    for key in ones.keys() & others.keys():
        compare((key[0], key[2]), ones[key], others[key])
    return found


def test_audit_is_one_field_away_from_enforce() -> None:
    audit, enforce = rendered.overlay("audit"), rendered.overlay("enforce")
    assert [rendered.key(each) for each in audit] == [rendered.key(each) for each in enforce]
    path = ("webhooks", "0", "clientConfig", "service", "path")
    assert differences(audit, enforce) == {("MutatingWebhookConfiguration", "warmpod", *path)}
    paths = {
        overlay: [
            hook["clientConfig"]["service"]["path"]
            for hook in rendered.named(rendered.overlay(overlay), "MutatingWebhookConfiguration")["webhooks"]
        ]
        for overlay in rendered.OVERLAYS
    }
    assert paths.pop("audit") == ["/mutate/audit", "/mutate/audit"]
    assert set(map(tuple, paths.values())) == {("/mutate", "/mutate/audit")}


def test_high_availability_keeps_replicas_apart_where_it_can() -> None:
    spec = rendered.named(rendered.overlay("high-availability"), "Deployment")["spec"]
    assert spec["replicas"] == 3
    spread = {each["topologyKey"]: each for each in spec["template"]["spec"]["topologySpreadConstraints"]}
    assert len(spec["template"]["spec"]["topologySpreadConstraints"]) == 2
    assert spread["kubernetes.io/hostname"]["whenUnsatisfiable"] == "DoNotSchedule"
    assert spread["kubernetes.io/hostname"]["nodeTaintsPolicy"] == "Honor", "GPU nodes must not count as empty ones"
    assert spread["topology.kubernetes.io/zone"]["whenUnsatisfiable"] == "ScheduleAnyway"


def test_cert_manager_issues_what_the_webhook_serves() -> None:
    documents = rendered.overlay("cert-manager")
    leaf, authority = (rendered.named(documents, "Certificate", f"warmpod-{name}") for name in ("webhook", "authority"))
    assert tuple(leaf["spec"]["dnsNames"]) == Installation().served_names(names.SYSTEM_NAMESPACE)
    assert leaf["spec"]["secretName"] == names.TLS_SECRET
    assert authority["spec"]["isCA"] is True
    issuer = rendered.named(documents, "Issuer", leaf["spec"]["issuerRef"]["name"])
    assert issuer["spec"] == {"ca": {"secretName": authority["spec"]["secretName"]}}, "no leaf signs itself"
    assert rendered.named(documents, "Issuer", authority["spec"]["issuerRef"]["name"])["spec"] == {"selfSigned": {}}
    configuration = rendered.named(documents, "MutatingWebhookConfiguration")
    target = f"{leaf['metadata']['namespace']}/{leaf['metadata']['name']}"
    assert configuration["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": target}
    [volume] = [each for each in rendered.pod_spec(documents)["volumes"] if each["name"] == "tls"]
    assert set(volume) == {"name", "secret"}
    assert volume["secret"]["secretName"] == names.TLS_SECRET
    assert {each["path"] for each in volume["secret"]["items"]} == {"tls.crt", "tls.key"}
    mounts = [each for each in rendered.container(documents, "controller")["volumeMounts"] if each["name"] == "tls"]
    assert [each["readOnly"] for each in mounts] == [True]
    assert rendered.variables(rendered.container(documents, "controller"))["WARMPOD_TLS_DIRECTORY"]


# cert-manager.io/v1 and monitoring.coreos.com/v1, the fields that we use: https://cert-manager.io/docs/reference/api-docs/
# and https://prometheus-operator.dev/docs/api-reference/api/. A typo in any of them is refused or, worse, dropped.
SHAPES: dict[tuple[str, str], dict[str, Any]] = {
    ("cert-manager.io/v1", "Issuer"): {"selfSigned": {}, "ca": {"secretName": str}},
    ("cert-manager.io/v1", "Certificate"): {
        "isCA": bool,
        "commonName": str,
        "dnsNames": [str],
        "secretName": str,
        "duration": str,
        "renewBefore": str,
        "usages": [str],
        "privateKey": {"algorithm": str, "size": int, "rotationPolicy": str},
        "issuerRef": {"group": str, "kind": str, "name": str},
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): {
        "selector": {"matchLabels": dict},
        "podMetricsEndpoints": [{"port": str, "path": str, "interval": str, "scrapeTimeout": str}],
    },
}


def fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(key in shape and fits(value[key], shape[key]) for key in value)
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(each, shape[0]) for each in value)
    return isinstance(value, shape)


def test_objects_of_others_have_their_shape(documents: list[Document]) -> None:
    for each in documents:
        shape = SHAPES.get((each["apiVersion"], each["kind"]))
        if shape is not None:
            assert fits(each["spec"], shape), each
        else:
            assert not each["apiVersion"].startswith(OURS) or each["kind"] == "PrometheusRule", each["kind"]


def test_pods_are_scraped_by_the_ports_they_have() -> None:
    documents = rendered.composed("prometheus")
    ports = {port["name"] for each in rendered.pod_spec(documents)["containers"] for port in each["ports"]}
    monitor = rendered.named(documents, "PodMonitor")["spec"]
    assert {each["port"] for each in monitor["podMetricsEndpoints"]} == ports - {"webhook"}
    assert monitor["selector"] == rendered.named(documents, "Deployment")["spec"]["selector"]


def test_all_components_go_together() -> None:
    documents = rendered.composed(*rendered.COMPONENTS)
    parts = [rendered.composed(name) for name in rendered.COMPONENTS]
    assert {rendered.key(each) for part in parts for each in part} >= {rendered.key(each) for each in documents}
    controller = rendered.variables(rendered.container(documents, "controller"))
    assert controller["WARMPOD_MANAGE_WEBHOOK"] == "true"
    assert "WARMPOD_TLS_SECRET" not in controller
    assert rendered.container(documents, "git-sync")
    assert rendered.named(documents, "Deployment")["spec"]["replicas"] == 3
    hooks = rendered.named(documents, "MutatingWebhookConfiguration")["webhooks"]
    assert {each["clientConfig"]["service"]["path"] for each in hooks} == {"/mutate/audit"}


def policies(documents: list[Document]) -> dict[str, str]:
    found: dict[str, str] = rendered.named(documents, "ConfigMap", names.POLICIES_CONFIG_MAP)["data"]
    return found


def test_the_policies_of_a_new_installation_are_in_order_side_by_side(tmp_path: Path) -> None:
    data = policies(rendered.overlay("enforce"))
    for name, text in data.items():
        assert text == (rendered.ROOT / "policies" / name.removesuffix(".yaml") / "policy.yaml").read_text()
        (tmp_path / name).write_text(text)
    done = CliRunner().invoke(main, ["lint", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "no problems" in done.output
    assert len(PolicyFiles(tmp_path).current.policies) == 0
    files = PolicyFiles(tmp_path)
    assert files.refresh(0.0).changed
    assert len(files.current.policies) >= len(data)
    text = "".join(data.values())
    assert "acme-models" not in text, "a bucket of ours is of use to nobody"
    assert "hostPath" not in text


def test_a_user_puts_policies_of_their_own_in_place(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("kind: Mine\n")
    generator = {
        "name": names.POLICIES_CONFIG_MAP,
        "namespace": names.SYSTEM_NAMESPACE,
        "behavior": "replace",
        "files": ["mine.yaml"],
        "options": {"disableNameSuffixHash": True},
    }
    user = {"resources": [MANIFESTS / "overlays" / "enforce"], "configMapGenerator": [generator]}
    documents = rendered.render(rendered.written(tmp_path, user))
    assert policies(documents) == {"mine.yaml": "kind: Mine\n"}
    added = {**user, "configMapGenerator": [{**generator, "behavior": "merge"}]}
    assert set(policies(rendered.render(rendered.written(tmp_path, added)))) == {
        *policies(rendered.overlay("enforce")),
        "mine.yaml",
    }
    [volume] = [each for each in rendered.pod_spec(documents)["volumes"] if each["name"] == "policies"]
    assert volume["configMap"]["name"] == names.POLICIES_CONFIG_MAP


def test_a_user_changes_one_setting_by_its_name(tmp_path: Path) -> None:
    patch = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: warmpod, namespace: warmpod-system}
spec:
  template:
    spec:
      containers:
        - name: webhook
          env: [{name: WARMPOD_DEFAULT_POD_SECURITY_LEVEL, value: privileged}, {name: WARMPOD_LOG_LEVEL, value: debug}]
"""
    user = {"resources": [MANIFESTS / "overlays" / "enforce"], "patches": [{"patch": patch}]}
    documents = rendered.render(rendered.written(tmp_path, user))
    before = rendered.variables(rendered.container(rendered.overlay("enforce"), "webhook"))
    changed = {"WARMPOD_DEFAULT_POD_SECURITY_LEVEL": "privileged", "WARMPOD_LOG_LEVEL": "debug"}
    assert rendered.variables(rendered.container(documents, "webhook")) == {**before, **changed}


def test_a_user_says_which_repository(tmp_path: Path) -> None:
    generator = {
        "name": "warmpod-git-sync",
        "namespace": names.SYSTEM_NAMESPACE,
        "behavior": "merge",
        "literals": ["GITSYNC_REPO=ssh://git@git.example.com/acme/p", "GITSYNC_REF=v1"],
    }
    user = {"resources": [MANIFESTS / "overlays" / "git-sync"], "configMapGenerator": [generator]}
    documents = rendered.render(rendered.written(tmp_path, user))
    [found] = [
        each
        for each in documents
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].startswith("warmpod-git-sync-")
    ]
    assert found["data"]["GITSYNC_REPO"] == "ssh://git@git.example.com/acme/p"
    assert found["data"]["GITSYNC_PERIOD"] == "30s"
    for name in ("git-sync", "git-sync-once"):
        sources = rendered.container(documents, name)["envFrom"]
        assert sources == [{"configMapRef": {"name": found["metadata"]["name"]}}], "a change rolls the pods"
    before = [each for each in rendered.overlay("git-sync") if each["kind"] == "ConfigMap"]
    assert before[0]["metadata"]["name"] != found["metadata"]["name"]


# https://github.com/kubernetes/git-sync, v4.7.1, main.go: every variable that we set is one it reads.
GIT_SYNC = {
    *("GITSYNC_REPO", "GITSYNC_REF", "GITSYNC_PERIOD", "GITSYNC_ROOT", "GITSYNC_LINK", "GITSYNC_DEPTH"),
    *("GITSYNC_SUBMODULES", "GITSYNC_STALE_WORKTREE_TIMEOUT", "GITSYNC_ONE_TIME", "GITSYNC_MAX_FAILURES"),
    *("GITSYNC_USERNAME", "GITSYNC_PASSWORD"),
}


def test_git_sync_is_told_what_it_understands_and_never_ends_for_want_of_its_host() -> None:
    documents = rendered.overlay("git-sync")
    [literals] = [each["data"] for each in documents if each["kind"] == "ConfigMap"]
    once, again = (rendered.container(documents, name) for name in ("git-sync-once", "git-sync"))
    for found in (once, again):
        assert {*rendered.variables(found), *literals} <= GIT_SYNC
        assert {each["mountPath"] for each in found["volumeMounts"]} == {"/git", "/tmp", "/etc/git-secret"}
    assert rendered.variables(once)["GITSYNC_ONE_TIME"] == "true"
    assert rendered.variables(again)["GITSYNC_MAX_FAILURES"] == "-1"
    assert "readinessProbe" not in again
    assert "livenessProbe" not in again
    private = {each["name"]: each for each in rendered.pod_spec(documents)["volumes"]}["git-credentials"]
    assert private["secret"]["optional"] is True
    optional = [each["valueFrom"]["secretKeyRef"]["optional"] for each in again["env"] if "valueFrom" in each]
    assert optional == [True, True]


def test_the_webhook_follows_what_git_sync_publishes(tmp_path: Path) -> None:
    """The layout of git-sync v4: worktrees by commit, a relative link renamed over the last, old ones removed."""
    documents = rendered.overlay("git-sync")
    served, synced = (
        rendered.container(documents, "webhook"),
        rendered.variables(rendered.container(documents, "git-sync")),
    )
    [mount] = [each for each in served["volumeMounts"] if each["name"] == "policies"]
    told = PurePosixPath(rendered.variables(served)["WARMPOD_POLICIES"]).relative_to(mount["mountPath"])
    assert told.parts[0] == synced["GITSYNC_LINK"]
    files = PolicyFiles(tmp_path / told)
    assert files.refresh(0.0).error, "nothing is published yet"
    for commit in ("a1", "b2", "c3"):
        publish(tmp_path, synced["GITSYNC_LINK"], commit, told.parts[1])
        assert files.refresh(0.0).changed
        assert [each.name for each in files.current.policies] == [f"of-{commit}"]
    assert sorted(path.name for path in (tmp_path / ".worktrees").iterdir()) == ["c3"]


def publish(root: Path, link: str, commit: str, directory: str) -> None:
    worktree = root / ".worktrees" / commit
    (worktree / directory).mkdir(parents=True)
    (worktree / ".git").write_text(f"gitdir: ../../.git/worktrees/{commit}\n")
    text = (rendered.ROOT / "policies" / "image-steering" / "policy.yaml").read_text()
    (worktree / directory / "policy.yaml").write_text(text.replace("image-steering", f"of-{commit}"))
    (root / "tmp-link").symlink_to(f".worktrees/{commit}")
    (root / "tmp-link").rename(root / link)
    for old in (root / ".worktrees").iterdir():
        if old != worktree:
            for path in sorted(old.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            old.rmdir()


def test_the_cleanup_runs_as_the_account_that_may() -> None:
    [job] = rendered.removal()
    spec = job["spec"]["template"]["spec"]
    assert job["metadata"]["namespace"] == names.SYSTEM_NAMESPACE
    assert spec["serviceAccountName"] == rendered.pod_spec(rendered.composed())["serviceAccountName"]
    assert spec["automountServiceAccountToken"] is True
    assert spec["containers"][0]["args"] == ["controller", "--cleanup"]
    assert spec["restartPolicy"] == "Never"
