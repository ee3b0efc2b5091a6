"""Models that are mounted as they lie, from a volume or as an image; `auto`; and caches on nodes of other systems."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import builders
from webhook.admission import admit
from webhook.admission.changes import changes
from webhook.admission.decision import Decision, Facts
from webhook.inventory.model import EMPTY, Inventory
from webhook.kube import Object, names
from webhook.kube.podsecurity import Level

SOURCE = "s3://acme-models/llama/"
OCI = "oci://ghcr.io/acme/llama-8b:v1"
IMAGE = OCI.removeprefix("oci://")
CLAIM: Object = {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}}
TYPE = "node.kubernetes.io/instance-type"


def spec(
    *,
    delivery: str = "mount",
    volume: str = "volume: {name: models, persistentVolumeClaim: {claimName: models, readOnly: true}}",
    place: str = "holds: s3://acme-models/",
    cache: str = "nvme",
    more: str = "",
) -> str:
    """The spec of a policy with one model that may come from a volume."""
    own = place.removeprefix("holds: ") if place.startswith("holds") else 's3://acme-models/*", "file:///fsx/'
    return f"""
  models:
    - name: weights
      source: {{annotation: warmpod.dev/model}}
      allow: ["{own}*", "oci://ghcr.io/acme/*"]
      sourceVolume:
        {volume}
        {place}
      delivery: {delivery}
      cache: {cache}
      mountPath: /models
      redirect: true
{more}"""


def decide(sent: Object, facts: Facts) -> Decision:
    """The decision, whose pod a second review leaves alone."""
    decision = admit(builders.request(sent), facts)
    assert decision.violations == ()
    assert decision.pod is not None
    again = admit(builders.request(decision.pod), facts)
    assert again.violations == ()
    assert again.patch == []
    return decision


def facts(text: str | None = None, *more: str, inventory: Inventory | None = None, **fields: Any) -> Facts:
    return builders.facts(builders.policy(spec() if text is None else text), *more, inventory=inventory, **fields)


def mount(decision: Decision, container: int = 0) -> Object | None:
    """What the container has at the model's path."""
    assert decision.pod is not None
    mounts = decision.pod["spec"]["containers"][container].get("volumeMounts", [])
    return next((each for each in mounts if each["mountPath"] == "/models"), None)


def is_hydrated(decision: Decision) -> bool:
    assert decision.pod is not None
    return any(each["name"] == names.INIT_CONTAINER for each in decision.pod["spec"].get("initContainers", []))


def reason(decision: Decision) -> str:
    return decision.policies[0].reason


@pytest.mark.parametrize(
    ("place", "source", "part"),
    [
        pytest.param("holds: s3://acme-models/", SOURCE, "llama", id="a prefix of the bucket"),
        pytest.param("holds: s3://acme-models/", "s3://acme-models/team/llama", "team/llama", id="deeper"),
        pytest.param("holds: s3://acme-models/llama/", SOURCE, None, id="all of the volume"),
        pytest.param("holds: s3://acme-models/", "s3://acme-models/llama.gguf", "llama.gguf", id="a single object"),
        pytest.param("mountPath: /fsx", "file:///fsx/models/llama/", "models/llama", id="a file system"),
        pytest.param("mountPath: /fsx", "file:///fsx/models/llama", "models/llama", id="without a slash at its end"),
    ],
)
def test_mount_shows_the_source_and_copies_nothing(place: str, source: str, part: str | None) -> None:
    decision = decide(builders.gpu_pod(source, args=[f"--model={source}"]), facts(spec(place=place)))
    expected = {"name": "models", "mountPath": "/models", "readOnly": True}
    assert mount(decision) == (expected if part is None else {**expected, "subPath": part})
    assert decision.pod is not None
    assert decision.pod["spec"]["volumes"] == [CLAIM]
    assert decision.pod["spec"]["containers"][0]["args"] == ["--model=/models"]
    assert not is_hydrated(decision)
    assert "mounts weights at /models from volume models" in reason(decision)
    assert decision.policies[0].did == ("volumes",)


def test_what_a_mount_changes_in_words() -> None:
    sent = builders.gpu_pod(SOURCE, args=[SOURCE])
    told = changes(sent, decide(sent, facts()).pod)
    assert told.text == "mounts /models; redirects vllm to the mounted model"
    assert (told.parts, told.volumes) == (("volumes", "redirect"), ("models",))


def test_a_mount_needs_no_hydrator_and_no_name_for_a_directory() -> None:
    sent = builders.gpu_pod(SOURCE)
    decision = admit(builders.request(sent, namespace="Not.A.Name"), facts(hydrator_image=""))
    assert decision.violations == ()
    assert mount(decision) is not None


@pytest.mark.parametrize(
    ("fields", "labels", "expected"),
    [
        pytest.param(
            {"place": "mountPath: /fsx"},
            builders.PRIVILEGED,
            "s3://acme-models/llama/ does not lie in volume models, which shows file:///fsx/",
            id="outside the volume",
        ),
        pytest.param(
            {"volume": "volume: {name: models, hostPath: {path: /mnt/fsx}}"},
            {names.LABEL_POD_SECURITY_ENFORCE: "baseline"},
            "PodSecurity level baseline of the namespace forbids volume models",
            id="forbidden by the namespace",
        ),
    ],
)
def test_a_mount_that_cannot_be_is_left_out(fields: dict[str, str], labels: dict[str, str], expected: str) -> None:
    sent = builders.gpu_pod(SOURCE)
    decision = decide(sent, facts(spec(**fields), labels=labels))
    assert decision.pod == sent
    assert expected in reason(decision)


@pytest.mark.parametrize(
    "own",
    [
        pytest.param({"name": "data", "mountPath": "/models/"}, id="another volume"),
        pytest.param(
            {"name": "models", "mountPath": "/models", "subPath": "qwen", "readOnly": True}, id="another part"
        ),
        pytest.param({"name": "models", "mountPath": "/models", "subPath": "llama"}, id="writable"),
        pytest.param(
            {"name": "models", "mountPath": "/models", "subPathExpr": "$(NODE)", "readOnly": True}, id="an expression"
        ),
    ],
)
@pytest.mark.parametrize("holds", ["s3://acme-models/", "s3://acme-models/llama/"], ids=["a part", "all of it"])
@pytest.mark.parametrize("delivery", ["mount", "auto"])
def test_what_the_author_mounts_there_stays(own: Object, holds: str, delivery: str) -> None:
    sent = builders.edited(
        builders.gpu_pod(SOURCE, volumeMounts=[own]), volumes=[CLAIM, {"name": "data", "emptyDir": {}}]
    )
    decision = decide(sent, facts(spec(delivery=delivery, place=f"holds: {holds}")))
    assert mount(decision) is None or mount(decision) == own
    assert decision.pod == sent
    assert "mounts its own at /models" in reason(decision)


def test_two_policies_share_a_volume_and_the_first_has_the_path() -> None:
    second = spec(
        more="    - {name: other, source: {value: s3://acme-models/qwen/}, cache: nvme, mountPath: /other,\n"
        "       delivery: mount, sourceVolume: {volume: {name: models, persistentVolumeClaim:"
        " {claimName: models, readOnly: true}}, holds: s3://acme-models/}}\n"
    ).replace("annotation: warmpod.dev/model", "value: s3://acme-models/qwen/")
    given = builders.facts(builders.policy(spec(), name="a"), builders.policy(second, name="b"))
    decision = decide(builders.gpu_pod(SOURCE), given)
    assert decision.pod is not None
    assert decision.pod["spec"]["volumes"] == [CLAIM]
    parts = [each.get("subPath") for each in decision.pod["spec"]["containers"][0]["volumeMounts"]]
    assert parts == ["llama", "qwen"]
    assert "policy a mounts weights at /models" in reason_of(decision, "b")


def reason_of(decision: Decision, name: str) -> str:
    return next(each.reason for each in decision.policies if each.name == name)


# --- auto


def fleet(*types: str, model_bytes: int = builders.MODEL_BYTES, warm: tuple[int, ...] = (), **fields: Any) -> Inventory:
    """One node of each instance type; the model is known and lies on the nodes `warm`."""
    labels: dict[str, int] = {}
    for index, name in enumerate(types):
        labels[name] = labels.get(name, 0) | 1 << index
    held = builders.model(SOURCE, nodes=warm, size=model_bytes)
    return builders.inventory(builders.image(nodes=()), held, nodes=len(types), labels={TYPE: labels}, **fields)


STREAMER = ["--load-format", "runai_streamer"]


@pytest.mark.parametrize(
    ("args", "inventory", "expected"),
    [
        pytest.param(
            STREAMER, fleet("g6e.12xlarge", "g6e.12xlarge"), "mount", id="a streamer reads as fast as S3 gives"
        ),
        pytest.param(STREAMER, fleet("g5.xlarge"), "mount", id="no node holds it"),
        pytest.param([], fleet("g6e.12xlarge"), "hydrate", id="a stock loader maps its files page by page"),
        pytest.param(STREAMER, fleet("g5.xlarge", warm=(0,)), "hydrate", id="every candidate holds it"),
        pytest.param(STREAMER, fleet("g5.xlarge", "g5.xlarge", warm=(1,)), "hydrate", id="a warm node has room"),
        pytest.param(STREAMER, fleet("g6e.12xlarge", model_bytes=10**9), "hydrate", id="too small to matter"),
        pytest.param(STREAMER, fleet("g6e.12xlarge", model_bytes=0), "hydrate", id="of unknown size"),
    ],
)
def test_auto_takes_what_is_ready_sooner_and_says_both_figures(
    args: list[str], inventory: Inventory, expected: str
) -> None:
    decision = decide(builders.gpu_pod(SOURCE, args=args), facts(spec(delivery="auto"), inventory=inventory))
    assert is_hydrated(decision) is (expected == "hydrate")
    assert (mount(decision) or {})["name"] == ("models" if expected == "mount" else "warmpod-cache-nvme")
    if "unknown" not in reason(decision) and inventory.artifacts[1].bytes:
        assert "the mount takes about" in reason(decision)
        assert "hydrating takes about" in reason(decision)


def test_auto_takes_the_size_that_the_policy_says_where_no_node_does() -> None:
    nowhere = fleet("g6e.12xlarge")
    unknown = Inventory(id="x", nodes=nowhere.nodes, labels=nowhere.labels)
    sent = builders.gpu_pod(SOURCE, args=STREAMER)
    said = decide(sent, facts(spec(delivery="auto", more="      size: 140Gi\n"), inventory=unknown))
    assert not is_hydrated(said)
    assert is_hydrated(decide(sent, facts(spec(delivery="auto"), inventory=unknown)))


@pytest.mark.parametrize(
    ("text", "fields", "hydrated", "expected"),
    [
        pytest.param(
            spec(delivery="auto"), {"hydrator_image": ""}, False, "not hydrated, hydration is off", id="no image"
        ),
        pytest.param(
            spec(delivery="auto", cache="shared"),
            {"labels": {names.LABEL_POD_SECURITY_ENFORCE: "baseline"}},
            False,
            "not hydrated, PodSecurity level baseline of the namespace forbids cache shared",
            id="no cache",
        ),
        pytest.param(
            spec(delivery="auto", place="mountPath: /fsx"),
            {},
            True,
            "not mounted, s3://acme-models/llama/ does not lie in volume models",
            id="not in the volume",
        ),
    ],
)
def test_auto_takes_the_only_way_that_is_open(text: str, fields: dict[str, Any], hydrated: bool, expected: str) -> None:
    decision = decide(builders.gpu_pod(SOURCE), facts(text, builders.SHARED_CACHE, **fields))
    assert is_hydrated(decision) is hydrated
    assert mount(decision) is not None
    assert expected in reason(decision)


def test_auto_mounts_where_the_pod_has_a_container_of_the_hydrators_name() -> None:
    sent = builders.gpu_pod(SOURCE)
    sent["spec"]["containers"].append({"name": names.INIT_CONTAINER, "image": "mine"})
    decision = decide(sent, facts(spec(delivery="auto"), inventory=fleet("g5.xlarge", model_bytes=0)))
    assert (mount(decision) or {})["name"] == "models"
    assert f"the pod has a container {names.INIT_CONTAINER} of its own" in reason(decision)


@pytest.mark.parametrize("args", [STREAMER, []], ids=["mounted", "hydrated"])
def test_a_pod_keeps_the_way_it_was_given_whatever_became_of_the_nodes(args: list[str]) -> None:
    sent = builders.gpu_pod(SOURCE, args=[*args, "--model", SOURCE])
    before = facts(spec(delivery="auto"), inventory=fleet("g6e.12xlarge", "g6e.12xlarge"))
    given = decide(sent, before).pod
    assert given is not None
    for inventory in (fleet("g6e.12xlarge", warm=(0,)), fleet("g6e.12xlarge", model_bytes=10**12), EMPTY):
        again = admit(builders.request(given), replace(before, inventory=inventory, placement_usable=False))
        assert again.patch == []
        assert again.violations == ()


# --- image volumes


def versions(server: str, *kubelets: str) -> Inventory:
    """Nodes of these kubelets; an empty one has not said."""
    found: dict[str, int] = {}
    for index, version in enumerate(kubelets):
        if version:
            found[version] = found.get(version, 0) | 1 << index
    return builders.inventory(nodes=len(kubelets), server=server, kubelets=found)


NEW = versions("1.36", "1.35", "1.36", "1.36")


def test_an_image_volume() -> None:
    decision = decide(builders.gpu_pod(OCI, args=["--model", OCI]), facts(inventory=NEW))
    assert decision.pod is not None
    assert decision.pod["spec"]["volumes"] == [
        {"name": "warmpod-model-weights", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}
    ]
    assert mount(decision) == {"name": "warmpod-model-weights", "mountPath": "/models", "readOnly": True}
    assert decision.pod["spec"]["containers"][0]["args"] == ["--model", "/models"]
    assert f"mounts weights at /models as image volume {IMAGE}" in reason(decision)
    told = changes(builders.gpu_pod(OCI, args=["--model", OCI]), decision.pod)
    assert (told.parts, told.volumes) == (("volumes", "redirect"), ("warmpod-model-weights",))


def test_an_image_volume_prefers_nodes_that_hold_the_image() -> None:
    inventory = builders.inventory(builders.image(IMAGE, nodes=(1,)), nodes=3, server="1.36", kubelets={"1.36": 0b111})
    decision = decide(builders.gpu_pod(OCI), facts(inventory=inventory))
    assert f"prefers nodes that hold {IMAGE}: on 1 of 3 candidates" in reason(decision)
    assert names.image_label(IMAGE) in str(decision.pod)
    off = decide(builders.gpu_pod(OCI), facts(spec(more="      placement: Off\n"), inventory=inventory))
    assert names.image_label(IMAGE) not in str(off.pod)
    assert mount(off) is not None


@pytest.mark.parametrize("wanted", ["Prefer", "Require"])
def test_placement_by_images_is_not_placement_by_models_that_are_images(wanted: str) -> None:
    """A second review sees the volume among the pod's images: `decide` shows that this makes no term of it."""
    inventory = builders.inventory(
        builders.image(nodes=(0,)), builders.image(IMAGE, nodes=(1,)), nodes=3, server="1.36", kubelets={"1.36": 0b111}
    )
    more = f"      placement: Off\n  acknowledge: [RequireBlocksScaleFromZero]\n  images: {{placement: {wanted}}}\n"
    decision = decide(builders.gpu_pod(OCI), facts(spec(more=more), inventory=inventory))
    assert mount(decision) is not None
    assert names.image_label(builders.CANONICAL_IMAGE) in str(decision.pod)
    assert names.image_label(IMAGE) not in str(decision.pod)


@pytest.mark.parametrize(
    ("inventory", "setting", "expected"),
    [
        pytest.param(NEW, "auto", "", id="all new"),
        pytest.param(EMPTY, "auto", "it is not known whether the API server has image volumes", id="nothing known"),
        pytest.param(versions("1.34", "1.35"), "auto", "the API server is of Kubernetes 1.34", id="an old API server"),
        pytest.param(versions("1.9", "1.35"), "auto", "the API server is of Kubernetes 1.9", id="not by the alphabet"),
        pytest.param(versions("one", "1.35"), "auto", "the API server is of Kubernetes one", id="no version"),
        pytest.param(
            versions("1.36", "1.36", "1.34"), "auto", "which 1 of 2 nodes are not known to have", id="an old node"
        ),
        pytest.param(
            versions("1.36", "1.36", ""), "auto", "which 1 of 2 nodes are not known to have", id="a silent node"
        ),
        pytest.param(versions("1.36"), "auto", "no node is known whose kubelet", id="no node"),
        pytest.param(versions("2.0", "2.0"), "auto", "", id="a later major version"),
        pytest.param(EMPTY, "on", "", id="on whatever is known"),
        pytest.param(NEW, "off", "image volumes are off", id="off whatever is known"),
    ],
)
def test_image_volumes_only_where_all_know_them(inventory: Inventory, setting: str, expected: str) -> None:
    sent = builders.gpu_pod(OCI)
    decision = decide(sent, facts(inventory=inventory, image_volumes=setting))
    if expected:
        assert decision.pod == sent
        assert expected in reason(decision)
    else:
        assert mount(decision) is not None


def test_nodes_that_the_pod_cannot_run_on_need_no_image_volumes() -> None:
    inventory = builders.inventory(
        nodes=3, server="1.36", kubelets={"1.36": 0b011, "1.33": 0b100}, labels={"pool": {"new": 0b011, "old": 0b100}}
    )
    chosen = builders.edited(builders.gpu_pod(OCI), nodeSelector={"pool": "new"})
    assert mount(decide(chosen, facts(inventory=inventory))) is not None
    assert mount(decide(builders.gpu_pod(OCI), facts(inventory=inventory))) is None


def test_our_own_terms_do_not_decide_who_needs_image_volumes() -> None:
    """The required term leaves new nodes alone; a second review still knows of the old one, and adds nothing."""
    inventory = builders.inventory(
        builders.image(nodes=(0, 1)), nodes=3, server="1.36", kubelets={"1.36": 0b011, "1.33": 0b100}
    )
    required = spec(more="  acknowledge: [RequireBlocksScaleFromZero]\n  images: {placement: Require}\n")
    decision = decide(builders.gpu_pod(OCI), facts(required, inventory=inventory))
    assert "required" in str(decision.pod)
    assert mount(decision) is None


@pytest.mark.parametrize("level", list(Level))
def test_image_volumes_are_for_every_namespace(level: Level) -> None:
    labels = {names.LABEL_POD_SECURITY_ENFORCE: str(level)}
    assert mount(decide(builders.gpu_pod(OCI), facts(inventory=NEW, labels=labels))) is not None


def test_always_pull_images_may_change_when_it_is_pulled() -> None:
    given = decide(builders.gpu_pod(OCI, args=["--model", OCI]), facts(inventory=NEW)).pod
    assert given is not None
    given["spec"]["volumes"][0]["image"]["pullPolicy"] = "Always"
    again = admit(builders.request(given), facts(inventory=NEW))
    assert (again.patch, again.violations) == ([], ())
    assert again.policies[0].conflicts == ()


def test_what_an_expression_refused_is_not_found_in_what_another_policy_mounted() -> None:
    def policy(name: str, source: str, zone: str) -> str:
        return builders.policy(
            f"""
  models:
    - name: weights
      source: {source}
      allow: ["s3://acme-models/llama/"]
      mountPath: /models
      delivery: mount
      sourceVolume:
        volume: {{name: models, persistentVolumeClaim: {{claimName: models, readOnly: true}}}}
        holds: s3://acme-models/
      {zone}
""",
            name=name,
        )

    both = builders.facts(
        policy("a", "{annotation: warmpod.dev/model}", "zonePlacement: 'Off'"),
        policy("b", "{expression: \"'s3://acme-models/' + request.namespace\"}", "zone: us-east-1a"),
    )
    decision = admit(builders.request(builders.gpu_pod()), both)
    assert decision.violations == ()
    assert decision.patch
    assert "is not allowed" in decision.policies[1].reason


def test_another_volume_of_the_name_stays() -> None:
    sent = builders.edited(
        builders.gpu_pod(OCI), volumes=[{"name": "warmpod-model-weights", "image": {"reference": "evil/model:v1"}}]
    )
    decision = decide(sent, facts(inventory=NEW))
    assert decision.pod == sent
    assert decision.policies[0].conflicts == ("weights: the pod has another volume warmpod-model-weights",)


def test_an_image_that_is_not_allowed_is_not_mounted() -> None:
    sent = builders.gpu_pod("oci://ghcr.io/evil/llama:v1")
    decision = decide(sent, facts(inventory=NEW))
    assert decision.pod == sent
    assert "is not allowed" in decision.warnings[0]


# --- caches on other systems

PRESET = """
---
kind: NodeCache
apiVersion: warmpod.dev/v1alpha1
metadata: {name: %s}
spec: {preset: %s, size: 200Gi}
"""
BARE = """
---
kind: NodeCache
apiVersion: warmpod.dev/v1alpha1
metadata: {name: bare}
spec: {volume: {hostPath: {path: /mnt/k8s-disks/0/models, type: DirectoryOrCreate}}}
"""
HOST = {"name": "warmpod-cache-c", "hostPath": {"path": "/mnt/k8s-disks/0/warmpod", "type": "DirectoryOrCreate"}}
EMPTY_DIR = {"name": "warmpod-cache-c", "emptyDir": {"sizeLimit": "200Gi"}}


def systems(**masks: int) -> Inventory:
    return builders.inventory(nodes=4, systems=masks, labels={"os": {"al2023": 0b0011, "bottlerocket": 0b1100}})


def cache_of(decision: Decision) -> Object:
    assert decision.pod is not None
    return next(each for each in decision.pod["spec"]["volumes"] if each["name"].startswith("warmpod-cache-"))


@pytest.mark.parametrize(
    ("preset", "inventory", "expected"),
    [
        pytest.param("al2023-raid0", systems(al2023=0b1111), HOST, id="all of its system"),
        pytest.param("al2023-raid0", systems(al2023=0b0001), HOST, id="some have not said"),
        pytest.param("al2023-raid0", EMPTY, HOST, id="nothing known"),
        pytest.param("al2023-raid0", systems(), HOST, id="no system known"),
        pytest.param("al2023-raid0", systems(al2023=0b0011, bottlerocket=0b1100), EMPTY_DIR, id="mixed"),
        pytest.param("bottlerocket", systems(other=0b1111), EMPTY_DIR, id="none of its system"),
        pytest.param("emptydir", systems(al2023=0b0011, bottlerocket=0b1100), EMPTY_DIR, id="right everywhere"),
    ],
)
def test_a_preset_takes_the_volume_that_is_right_for_all_candidates(
    preset: str, inventory: Inventory, expected: Object
) -> None:
    given = facts(spec(delivery="hydrate", cache="c"), PRESET % ("c", preset), inventory=inventory)
    decision = decide(builders.gpu_pod(SOURCE), given)
    assert cache_of(decision) == expected
    assert decision.warnings == ()
    fell = expected is EMPTY_DIR and preset != "emptydir"
    assert ("its fallbackVolume is used" in reason(decision)) is fell


def test_candidates_count_and_no_other_nodes() -> None:
    given = facts(
        spec(delivery="hydrate", cache="c"),
        PRESET % ("c", "al2023-raid0"),
        inventory=systems(al2023=0b0011, bottlerocket=0b1100),
    )
    chosen = builders.edited(builders.gpu_pod(SOURCE), nodeSelector={"os": "al2023"})
    assert cache_of(decide(chosen, given)) == HOST


def test_without_a_fallback_the_author_is_warned() -> None:
    given = facts(spec(delivery="hydrate", cache="bare"), BARE, inventory=systems(al2023=0b0001, bottlerocket=0b1100))
    decision = decide(builders.gpu_pod(SOURCE), given)
    assert "hostPath" in cache_of(decision)
    expected = "2 of 4 candidates run Bottlerocket, and it has no fallbackVolume that could be used"
    assert expected in decision.warnings[0]
    assert expected in reason(decision)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(systems(al2023=0b1111), systems(bottlerocket=0b1111), id="its volume"),
        pytest.param(systems(bottlerocket=0b1111), systems(al2023=0b1111), id="its fallback"),
    ],
)
def test_a_pod_keeps_the_form_of_its_cache(first: Inventory, second: Inventory) -> None:
    given = facts(spec(delivery="hydrate", cache="c"), PRESET % ("c", "al2023-raid0"), inventory=first)
    pod = decide(builders.gpu_pod(SOURCE), given).pod
    assert pod is not None
    again = admit(builders.request(pod), replace(given, inventory=second))
    assert (again.patch, again.violations) == ([], ())
