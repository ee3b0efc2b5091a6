"""What `admit` emits is what the hydrator takes: its own parser reads every argument, and some are run for real."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests import builders, kubelet
from tests.object_store import ObjectStore
from webhook.admission import admit
from webhook.cli import cases
from webhook.hydrator import arguments
from webhook.hydrator.plan import Filters
from webhook.hydrator.request import Wanted, directory_of
from webhook.inventory import report
from webhook.kube import Object, names
from webhook.kube import quantity as quantities
from webhook.kube.podsecurity import Level
from webhook.mutate import credentials

POLICIES = Path(__file__).parents[2] / "policies"
HYDRATOR = Path(arguments.__file__).parent
CASES = [
    case
    for case in cases.find([str(POLICIES)])
    if names.INIT_CONTAINER in (case.directory / "expected.yaml").read_text()
]
FILES = {
    "config.json": b"{}",
    "model.safetensors": b"s" * 3_000_000,
    "pytorch_model.bin": b"b" * 50_000,
    "original/consolidated.00.pth": b"p" * 70_000,
    "tokenizer/$vocab.txt": b"v",
}


def admitted(model: Object, cache: Object, sent: Object, level: Level = Level.PRIVILEGED) -> Object:
    """The pod that a policy of this model makes in namespace default."""
    labels = {names.LABEL_POD_SECURITY_ENFORCE: str(level)}
    decision = admit(builders.request(sent), builders.facts(builders.tuned(model, cache), labels=labels))
    assert decision.violations == ()
    assert decision.pod is not None
    return decision.pod


def read(container: Object) -> tuple[Wanted, ...]:
    """What the hydrator takes its arguments for."""
    command, *given = [kubelet.expanded(word) for word in container["args"]]
    assert command == "hydrate"
    return arguments.parse(given, {}).models


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_arguments_of_every_shipped_case_are_understood(case: cases.Case) -> None:
    expected = yaml.safe_load((case.directory / "expected.yaml").read_text())
    values = [operation["value"] for operation in expected["patch"] + expected["wouldPatch"]]
    [container] = [
        each for value in values if isinstance(value, list) for each in value if each.get("image") and "args" in each
    ]
    mounts = {mount["mountPath"]: mount.get("subPath", "") for mount in container["volumeMounts"]}
    app = [each for value in values for each in (value if isinstance(value, list) else [value]) if "subPath" in each]
    for wanted in read(container):
        inside = mounts[wanted.cache]
        assert wanted.directory == directory_of(wanted.source, wanted.filters), "who runs it by hand finds the same one"
        assert f"{inside}/{wanted.directory}/current".lstrip("/") in {mount["subPath"] for mount in app}
        assert wanted.tenant == (inside.removeprefix("namespaces/") if inside else None)


GLOBS = st.lists(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=9).filter(
        lambda glob: glob != "*" and not {"", ".", ".."} & set(glob.split("/"))
    ),
    max_size=3,
    unique=True,
)
SIZES = st.builds(
    lambda number, suffix: f"{number}{suffix}",
    st.sampled_from(["50", "1.5", "0.25", ".5", "+7", "003", "9."]),
    st.sampled_from(["Gi", "G", "Ti", "T", "e12", "E13", "e+10", "Pi"]),
)


@given(
    include=GLOBS,
    exclude=GLOBS,
    keep_free=st.one_of(st.just("0"), st.integers(0, 99).map("{}%".format), SIZES),
    max_size=st.none() | SIZES,
    limit=st.none() | SIZES,
    lease=st.tuples(*[st.integers(0, 99)] * 3).map("{0[0]}h{0[1]}m{0[2]}s".format),
    flags=st.tuples(*[st.booleans()] * 4),
    tenancy=st.sampled_from(["Namespace", "Cluster"]),
    level=st.sampled_from([Level.PRIVILEGED, Level.RESTRICTED]),
    source=st.sampled_from(
        ["s3://acme-models/llama", "s3://acme-models/a=b+c@d,e~f:g!h/", "s3://acme-models/model.gguf"]
    ),
)
def test_whatever_a_policy_says_is_understood_as_it_was_meant(
    *,
    include: list[str],
    exclude: list[str],
    keep_free: str,
    max_size: str | None,
    limit: str | None,
    lease: str,
    flags: tuple[bool, ...],
    tenancy: str,
    level: Level,
    source: str,
) -> None:
    exclude = [glob for glob in exclude if glob not in include]
    safetensors, page_cache, trust, continues = flags
    files = {"include": include, "exclude": exclude, "preferSafetensors": safetensors}
    model = {
        "files": files,
        "pageCache": page_cache,
        "onFailure": "Continue" if continues else "Retry",
        "redirect": False,
    }
    cache: Object = {"keepFree": keep_free, "lease": lease, "trustCache": trust, "tenancy": tenancy}
    cache["fallbackVolume"] = {"emptyDir": {"sizeLimit": limit} if limit else {}}
    if max_size:
        cache["maxSize"] = max_size
    pod = admitted(model, cache, builders.gpu_pod(source), level)
    [wanted] = read(kubelet.init_container(pod))
    is_shared = level is Level.PRIVILEGED
    most = [quantities.parse(size) for size in (max_size, None if is_shared else limit) if size]
    hours, minutes, seconds = (int(part[:-1]) for part in _parts(lease))
    assert wanted == Wanted(
        source=source.rstrip("/") + "/",
        cache="/warmpod/cache/tuned",
        directory=directory_of(source.rstrip("/") + "/", Filters(tuple(include), tuple(exclude), safetensors)),
        name="weights",
        tenant=("default" if tenancy == "Namespace" else "") if is_shared else None,
        filters=Filters(tuple(sorted(include)), tuple(sorted(exclude)), safetensors),
        keep_free=wanted.keep_free,
        max_size=int(min(most)) if most else None,
        trust_cache=trust,
        lease_seconds=hours * 3600.0 + minutes * 60 + seconds,
        page_cache=page_cache,
        continues=continues,
    )
    kept = [wanted.keep_free, keep_free]
    assert kept[0] == kept[1] or quantities.parse(kept[0]) == quantities.parse(kept[1])


def test_every_variable_that_it_reads_of_s3_clients_is_copied() -> None:
    """But for the names of profiles and of their files, which lie in the container's image or home."""
    pattern = re.compile(r'"((?:AWS|ALL|HTTPS?|NO|SSL)_[A-Z0-9_]+)"')
    read = {name for path in HYDRATOR.rglob("*.py") for name in pattern.findall(path.read_text())} - {"NO_COLOR"}
    assert {"AWS_REGION", "HTTPS_PROXY", "AWS_CA_BUNDLE"} <= read
    copied = credentials.CREDENTIALS | credentials.ENDPOINTS | credentials.AUTHORITIES
    files = {"AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}
    assert read - copied == files | {"ALL_PROXY"}
    assert {name.lower() for name in copied if name.endswith("_PROXY")} <= copied


def _parts(duration: str) -> list[str]:
    return duration.replace("h", "h ").replace("m", "m ").split()


@pytest.fixture(scope="module")
def bucket(object_store: ObjectStore) -> str:
    """The bucket that policies of these tests allow, with a model in it."""
    object_store.make("acme-models")
    for path, body in FILES.items():
        object_store.put("acme-models", f"llama/{path}", body)
    return "acme-models"


def variables(environment: dict[str, str]) -> list[Object]:
    return [{"name": name, "value": value} for name, value in environment.items()]


def reported(ended: kubelet.Ended) -> report.Report:
    found = report.read(ended.message)
    assert isinstance(found, report.Report), ended
    return found


@pytest.mark.parametrize(
    ("files", "left"),
    [
        pytest.param({}, set(FILES), id="all"),
        pytest.param(
            {"preferSafetensors": True, "exclude": ["original/*"]},
            {"config.json", "model.safetensors", "tokenizer/$vocab.txt"},
            id="some",
        ),
        pytest.param({"include": ["*.json", "$(HOME)", "*/$vocab.*"]}, {"config.json", "tokenizer/$vocab.txt"}, id="$"),
    ],
)
def test_it_brings_what_the_policy_wants_to_where_the_app_looks(
    bucket: str, object_store: ObjectStore, tmp_path: Path, files: Object, left: set[str]
) -> None:
    sent = builders.gpu_pod(f"s3://{bucket}/llama/", env=variables(object_store.environment()))
    pod = admitted({"files": files}, {"keepFree": "0"}, sent)
    first, second = kubelet.run(pod, tmp_path), kubelet.run(pod, tmp_path)
    assert (first.code, second.code) == (0, 0), first.log + second.log
    assert kubelet.seen(pod, tmp_path, "/models") == {path: FILES[path] for path in left}
    [brought, found] = map(reported, (first, second))
    assert (brought.result, found.result) == ("downloaded", "hit")
    assert brought.caches == ("tuned",)
    assert brought.models == found.models
    [model] = brought.models
    assert (model.tenant, model.cache, model.checked) == ("default", "tuned", True)
    assert model.bytes == sum(len(FILES[path]) for path in left)


def test_the_inventory_knows_it_by_the_label_that_the_next_pod_asks_for(
    bucket: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    """From the report to the label, and from the policy to the term: two ways to one name."""
    sent = builders.gpu_pod(f"s3://{bucket}/llama", env=variables(object_store.environment()))
    files = {"preferSafetensors": True}
    [model] = reported(kubelet.run(admitted({"files": files}, {"keepFree": "0"}, sent), tmp_path)).models
    held = builders.model(report.name(model), nodes=(2,), tenant=model.tenant)
    text = builders.tuned({"files": files}, {})
    decision = admit(builders.request(sent), builders.facts(text, inventory=builders.inventory(held)))
    assert decision.pod is not None
    node = decision.pod["spec"]["affinity"]["nodeAffinity"]
    [term] = node["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchExpressions"][0]["key"] == held.label


def test_it_believes_the_authorities_that_the_app_mounts(
    bucket: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    environment = object_store.environment(tls=True)
    trust = {"name": "trust", "mountPath": str(object_store.ca.parent), "readOnly": True}
    sent = builders.gpu_pod(f"s3://{bucket}/llama/", env=variables(environment), volumeMounts=[trust])
    sent["spec"]["volumes"] = [{"name": "trust", "configMap": {"name": "ca"}}]
    pod = admitted({"files": {"include": ["config.json"]}}, {"keepFree": "0"}, sent)
    ended = kubelet.run(pod, tmp_path)
    assert ended.code == 0, ended.log
    assert kubelet.seen(pod, tmp_path, "/models") == {"config.json": b"{}"}
    sent["spec"]["volumes"] = []
    sent["spec"]["containers"][0]["volumeMounts"] = []
    ended = kubelet.run(admitted({}, {"keepFree": "0"}, sent), tmp_path)
    assert ended.code == 6, "without the bundle nobody vouches for the server"


def test_a_tree_is_read_from_the_volume_of_the_policy(tmp_path: Path) -> None:
    shared = tmp_path / "fsx"
    for path, body in FILES.items():
        (shared / "llama" / path).parent.mkdir(parents=True, exist_ok=True)
        (shared / "llama" / path).write_bytes(body)
    volume = {"volume": {"name": "fsx", "persistentVolumeClaim": {"claimName": "fsx"}}, "mountPath": str(shared)}
    model = {"sourceVolume": volume, "allow": [f"file://{shared}/*"], "pageCache": True}
    pod = admitted(model, {"keepFree": "0", "maxSize": "1Gi"}, builders.gpu_pod(f"file://{shared}/llama"))
    ended = kubelet.run(pod, tmp_path)
    assert ended.code == 0, ended.log
    assert kubelet.seen(pod, tmp_path, "/models") == FILES
    assert [model.source for model in reported(ended).models] == [f"file://{shared}/llama/"]


def test_what_dies_with_the_pod_is_brought_and_not_told_of(
    bucket: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    cache = {"keepFree": "0", "fallbackVolume": {"emptyDir": {"sizeLimit": "1Gi"}}}
    sent = builders.gpu_pod(f"s3://{bucket}/llama/", env=variables(object_store.environment()))
    pod = admitted({}, cache, sent, Level.BASELINE)
    ended = kubelet.run(pod, tmp_path)
    assert ended.code == 0, ended.log
    assert kubelet.seen(pod, tmp_path, "/models") == FILES
    assert (reported(ended).models, reported(ended).caches) == ((), None)
    small = {**cache, "fallbackVolume": {"emptyDir": {"sizeLimit": "2M"}}}
    ended = kubelet.run(admitted({"files": {"exclude": ["x"]}}, small, sent, Level.BASELINE), tmp_path)
    assert ended.code == 28, "more than the kubelet would let it have"


def test_a_pod_that_may_start_without_its_model_does(object_store: ObjectStore, tmp_path: Path) -> None:
    sent = builders.gpu_pod("s3://acme-models/absent/", env=variables(object_store.environment()))
    model: dict[str, Any] = {"onFailure": "Continue", "redirect": False}
    ended = kubelet.run(admitted(model, {"keepFree": "0"}, sent), tmp_path)
    assert ended.code == 0, ended.log
    assert reported(ended).result == "error"
    retried = kubelet.run(admitted({}, {"keepFree": "0"}, sent), tmp_path)
    assert retried.code == 5, retried.log
    assert json.loads(retried.message)["reason"] == "NOT_FOUND"
