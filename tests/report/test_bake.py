"""What is baked and why, what is wanted how often, what is stale, and the scripts that come of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import facts, gpu_pod, policy, request
from tests.strategies import sound_pods
from webhook.admission import admit
from webhook.kube import Object, names
from webhook.report import bake, bake_document, bake_script
from webhook.report.bake import Contents, Demand, Item, Layer, Plan, Terms
from webhook.report.bake_check import Now, State, standings
from webhook.report.bake_document import Baked, UnreadablePlan
from webhook.report.bake_use import Uses, Wanted, per_node

GIB = 2**30
TERMS = Terms(100 * GIB, 70e6, 400e6)
A, B, C = (f"ghcr.io/acme/{name}:v1" for name in "abc")
ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "123")


def want(name: str, *, size: int = 10 * GIB, starts: int = 4, often: float = 0.5) -> Demand:
    return Demand(Wanted("image", name), starts, often, size)


def layers(*sizes: tuple[str, int]) -> Contents:
    return Contents(ONE, TWO, tuple(Layer(digest, size) for digest, size in sizes))


def reasons(plan: Plan) -> dict[str, str]:
    return {one.name: one.reason for one in (*plan.baked, *plan.left)}


def test_the_value_is_the_seconds_of_a_pull_times_the_nodes_that_need_it() -> None:
    found = bake.plan([want(A, size=7_000_000_000, often=0.25)], {}, TERMS)
    [item] = found.baked
    assert (item.seconds, item.saved) == (100.0, 25.0)
    assert item.disk == 7_000_000_000 * 3.15
    assert (found.saved, found.is_best, found.disk) == (25.0, True, item.disk)
    assert found.volume_gib == math.ceil(item.disk / 0.8 / GIB)


def test_shared_layers_count_once() -> None:
    contents = {A: layers((ONE, 20 * GIB), (TWO, 1 * GIB)), B: layers((ONE, 20 * GIB), (THREE, 2 * GIB))}
    terms = Terms(round(23 * 3.15 * GIB), 70e6, 400e6)
    found = bake.plan([want(A, size=1), want(B, size=1)], contents, terms)
    assert [one.name for one in found.baked] == [B, A]
    assert found.disk == sum(round(size * GIB * 3.15) for size in (20, 1, 2))
    assert {one.shared for one in found.baked} == {round(20 * GIB * 3.15)}
    assert [one.bytes for one in found.baked] == [22 * GIB, 21 * GIB]
    alone = bake.plan([want(A), want(B)], {}, Terms(terms.budget, 70e6, 400e6))
    assert {one.shared for one in alone.baked} == {0}, "layers that nobody knows are not shared"


def test_what_is_left_out_shares_with_what_is_baked() -> None:
    contents = {A: layers((ONE, GIB), (TWO, GIB)), B: layers((ONE, GIB), (THREE, 50 * GIB))}
    found = bake.plan([want(A), want(B)], contents, TERMS)
    assert [(one.name, one.shared) for one in found.baked] == [(A, 0)]
    assert [(one.name, one.shared) for one in found.left] == [(B, round(GIB * 3.15))]


@pytest.mark.parametrize(
    ("demand", "reason"),
    [
        (want(A, starts=0, often=0), "nothing that was counted wants it"),
        (want(A, size=0), "its size is not known"),
        (want(A, size=139_000_000), "it saves a new node less than a second"),
        (want(A, size=140_000_000), ""),
        (want(A, size=90 * GIB), "it alone takes 283.5 GiB, more than the budget"),
        (Demand(Wanted("model", "s3://b/m/"), 3, 0.5, GIB), "its cache ends with the pod"),
        (
            Demand(Wanted("model", "s3://b/m/", "team", "/mnt/k8s-disks/0/warmpod/x"), 3, 0.5, GIB),
            "its cache lies on the instance store, which no snapshot holds",
        ),
        (Demand(Wanted("model", "s3://b/m/", "team", "/var/lib/warmpod/x"), 3, 0.5, GIB), ""),
    ],
    ids=["unused", "no-size", "too-small", "large-enough", "too-large", "private", "instance-store", "on-the-volume"],
)
def test_what_is_left_out_is_told_why(demand: Demand, reason: str) -> None:
    found = bake.plan([demand], {}, TERMS)
    assert reasons(found) == {demand.wanted.name: reason}
    assert bool(found.baked) is not bool(reason)


@pytest.mark.parametrize("budget", [0, 1], ids=["none", "a-byte"])
def test_no_budget_bakes_nothing(budget: int) -> None:
    found = bake.plan([want(A), want(B)], {}, Terms(budget, 70e6, 400e6))
    assert (found.baked, found.saved, found.disk, found.volume_gib) == ((), 0.0, 0, 0)
    assert set(reasons(found)) == {A, B}


def test_nothing_wanted_is_an_empty_plan() -> None:
    assert bake.plan([], {}, TERMS).baked == ()


demands = st.lists(
    st.builds(
        want,
        st.sampled_from([A, B, C, "docker.io/library/x:1", "docker.io/library/y:1"]),
        size=st.integers(0, 30 * GIB),
        starts=st.integers(0, 9),
        often=st.floats(0, 1),
    ),
    unique_by=lambda one: one.wanted,
)


@given(demands, st.integers(0, 100 * GIB), st.randoms())
def test_a_plan_fits_and_does_not_depend_on_the_order(given_demands: list[Demand], budget: int, shuffle: Any) -> None:
    contents = {A: layers((ONE, GIB), (TWO, 2 * GIB)), B: layers((ONE, GIB))}
    terms = Terms(budget, 70e6, 400e6)
    found = bake.plan(given_demands, contents, terms)
    assert found.disk <= budget
    assert math.isclose(found.saved, sum(one.saved for one in found.baked), abs_tol=1e-4)
    assert len(found.baked) + len(found.left) == len(given_demands)
    assert found.is_best
    shuffle.shuffle(given_demands)
    assert bake.plan(given_demands, contents, terms) == found


# What pods want.


def live(image: str, digest: str = ONE, *, started: str = "2026-01-01T00:00:00Z", **status: Any) -> Object:
    pod = gpu_pod(image=image)
    state = {"name": "vllm", "image": "other", "imageID": f"ghcr.io/acme/a@{digest}"}
    told = {"containerStatuses": [{**state, "state": {"running": {"startedAt": started}}}], **status}
    return {**pod, "status": told}


def test_images_and_hydrated_models_of_a_pod_that_was_changed() -> None:
    known = facts(policy())
    pod = admit(request(gpu_pod(), namespace="team"), known).pod
    assert pod is not None
    uses = Uses()
    uses.add(pod)
    uses.add(pod, "gpu-1")
    source = "s3://acme-models/llama/"
    path = f"/mnt/k8s-disks/0/warmpod/namespaces/team/{names.directory(source)}"
    assert {wanted: use.starts for wanted, use in uses.found.items()} == {
        Wanted("image", "docker.io/vllm/vllm-openai:v0.11.0"): 2,
        Wanted("image", known.settings.hydrator_image): 2,
        Wanted("model", source, "team", path): 2,
    }
    assert all(use.nodes == {"gpu-1"} for use in uses.found.values())


def test_the_container_that_started_last_tells_the_digest() -> None:
    uses = Uses()
    uses.add(live(A, TWO, started="2026-02-01T00:00:00Z"))
    uses.add(live(A, ONE, started="2026-01-01T00:00:00Z"))
    uses.add(live(B, "sha256:" + "x" * 64))
    uses.add(live("NOT an image"))
    assert uses.digests == {A: TWO}
    assert {wanted.name for wanted in uses.found} == {A, B}


@given(sound_pods(), st.sampled_from([None, 3, [], {"args": ["--model={", "--model=[]", 3]}, {"args": 3}]))
def test_any_pod_can_be_counted(pod: Object, container: Any) -> None:
    spec = pod.get("spec")
    if isinstance(spec, dict):
        ours = {"name": names.INIT_CONTAINER, **container} if isinstance(container, dict) else container
        pod = {**pod, "spec": {**spec, "initContainers": [ours]}, "status": {"containerStatuses": container}}
    uses = Uses()
    uses.add(pod)
    assert uses.pods == 1


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_share_of_nodes_is_a_share_and_grows_with_starts(starts: int, nodes: int) -> None:
    share = per_node(starts, nodes)
    assert 0.0 <= share <= 1.0
    assert share <= per_node(starts + 1, nodes)
    assert not nodes or share * nodes <= starts + 1e-6, "no more nodes than starts"
    assert (share == 0.0) is (starts == 0 or nodes == 0)


# What is stale.


def standing(baked: Baked, now: dict[str, Now], used: set[str] | None = None) -> State:
    [found] = standings([baked], now, used, {})
    assert found.reason
    return found.state


PINNED = f"ghcr.io/acme/a@{ONE}"


@pytest.mark.parametrize(
    ("baked", "now", "used", "state"),
    [
        (Baked("image", A, ONE), {A: Now(ONE)}, None, State.CURRENT),
        (Baked("image", A, ONE), {A: Now(TWO)}, None, State.STALE),
        (Baked("image", A, ONE, TWO), {A: Now(TWO)}, None, State.CURRENT),
        (Baked("image", A, ONE, TWO), {A: Now(THREE, TWO)}, None, State.CURRENT),
        (Baked("image", A, TWO), {A: Now(ONE, TWO)}, None, State.CURRENT),
        (Baked("image", A, ONE, TWO), {A: Now(THREE, "")}, {A}, State.STALE),
        (Baked("image", A, ONE), {A: Now(gone=True)}, set(), State.MISSING),
        (Baked("image", A, ONE), {A: Now(TWO)}, {B}, State.UNUSED),
        (Baked("image", A, ONE), {}, {A}, State.UNKNOWN),
        (Baked("image", A), {A: Now(ONE)}, {A}, State.UNKNOWN),
        (Baked("image", A), {A: Now("")}, None, State.UNKNOWN),
        (Baked("image", PINNED), {}, {PINNED}, State.CURRENT),
        (Baked("image", PINNED), {}, set(), State.UNUSED),
        (Baked("model", "s3://b/m/"), {}, {"s3://b/m/"}, State.UNKNOWN),
    ],
    ids=[
        "same", "moved", "node-tells-platform", "only-index-moved", "plan-has-platform", "both-moved", "gone",
        "unused", "nobody-tells", "plan-does-not-say", "empty", "pinned", "pinned-unused", "model",
    ],
)  # fmt: skip
def test_how_a_baked_image_stands(baked: Baked, now: dict[str, Now], used: set[str] | None, state: State) -> None:
    assert standing(baked, now, used) is state


def test_a_plan_is_read_back_as_it_was_written() -> None:
    plan = bake.plan([want(A), want(B), want(C, size=0)], {A: layers((ONE, GIB))}, TERMS)
    told = bake_document.document(plan, platform="linux/arm64", counted="pods", nodes=3)
    found = bake_document.read(json.dumps(told).encode())
    assert found.platform == "linux/arm64"
    assert sorted(found.baked, key=lambda one: one.name) == [Baked("image", A, ONE, TWO), Baked("image", B)]


def test_a_plan_written_by_hand_may_name_images_as_people_do() -> None:
    (found,) = bake_document.read(b'{"schema": 1, "baked": [{"kind": "image", "name": "vllm/vllm-openai"}]}').baked
    assert found.name == "docker.io/vllm/vllm-openai:latest"


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"schema": 2, "baked": []}', b'{"schema": 1, "baked": [{"kind": "x", "name": "y"}]}', b"\xff",
     b"[" * 100_000, b'{"schema": 1, "baked": [{"kind": "image", "name": 3}]}',
     b'{"schema": 1, "baked": [{"kind": "image", "name": "a b"}]}'],
    ids=["empty", "list", "object", "schema", "kind", "bytes", "deep", "name", "reference"],
)  # fmt: skip
def test_what_is_no_plan(data: bytes) -> None:
    with pytest.raises(UnreadablePlan):
        bake_document.read(data)


# The scripts.


def planned(*found: str, kind: Any = "image", digest: str = ONE) -> Plan:
    items = tuple(Item(kind, name, "", "", digest, "", 1, 1.0, 1.0, 1.0, GIB, GIB, 0, "") for name in found)
    return Plan(TERMS, items, (), 1.0, 1.0, is_best=True, disk=30 * GIB, volume_gib=38)


ECR = "123456789012.dkr.ecr.us-west-2.amazonaws.com/team/vllm:v1"


def test_the_bottlerocket_script_gets_its_options_and_images_by_commas(tmp_path: Path) -> None:
    """What runs in place of snapshot.sh writes down its arguments."""
    script = bake_script.bottlerocket(planned(A, ECR), "arm64")
    (tmp_path / "snapshot.sh").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / "snapshot.sh").chmod(0o755)
    variables = {"AWS_REGION": "us-west-2", "BOTTLEROCKET_AMI_PARAMETER": "/aws/x y"}
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=variables, capture_output=True, check=True)
    expected = ["-r", "us-west-2", "-a", "/aws/x y", "-A", "arm64", "-s", "38", f"{A},{ECR}"]
    assert done.stdout.decode().splitlines() == expected
    refused = subprocess.run(["bash", "-euc", script], cwd=tmp_path, env={}, capture_output=True, check=False)
    assert refused.returncode != 0
    assert not refused.stdout


def part(document: str) -> str:
    payload = message_from_string(document).get_payload()
    assert isinstance(payload, list)
    [found] = payload
    assert isinstance(found, Message)
    assert found.get_content_type() == "text/x-shellscript"
    text = found.get_payload()
    assert isinstance(text, str)
    assert text.startswith("#!/bin/bash\n")
    return text


# What the builder's commands do, on a machine that is none: they write down how they were called.
PRETEND = """
exec 3>&1
ctr() {
  { printf 'ctr'; printf ' <%s>' "$@"; echo; } >&3
  case "$*" in *" ls "*) printf 'REF TYPE DIGEST\\nx y %s\\n' "$DIGEST" ;; esac
}
aws() { echo "secret-of-$4"; }
for name in systemctl mkfs.xfs mount umount cp mkdir sync; do eval "$name() { echo $name \\"\\$@\\"; }"; done
blkid() { [[ -n ${FILLED:-} ]]; }
sleep() { :; }
"""


def built(document: str, **variables: str) -> subprocess.CompletedProcess[str]:
    script = part(document).replace("[[ -b $DEVICE ]]", "true").replace("[[ ! -b $DEVICE ]]", "false")
    return subprocess.run(
        ["bash", "-c", PRETEND + script],
        env={"PATH": "/usr/bin:/bin", "DIGEST": ONE, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_builder_does_its_work_in_order() -> None:
    done = built(bake_script.user_data(planned(A, ECR), "linux/amd64"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    label = "<--label> <io.cri-containerd.image=managed> <--label> <io.cri-containerd.pinned=pinned>"
    pull = "ctr <-n> <k8s.io> <images> <pull> <--platform> <linux/amd64>"
    wanted = [
        "systemctl stop kubelet",
        "systemctl stop containerd",
        "mkfs.xfs -q /dev/xvdb",
        "cp -a /var/lib/containerd/. /mnt/warmpod-bake/",
        "mount -o noatime /dev/xvdb /var/lib/containerd",
        "systemctl start containerd",
        "ctr <-n> <k8s.io> <images> <label> <localhost/kubernetes/pause:latest> <io.cri-containerd.pinned=pinned>",
        f"warmpod-bake: baked {A} {ONE}",
        f"{pull} {label} <--user> <AWS:secret-of-us-west-2> <{ECR}>",
        f"warmpod-bake: baked {ECR} {ONE}",
        "systemctl stop containerd",
        "umount /var/lib/containerd",
        "warmpod-bake: DONE",
        "systemctl poweroff",
    ]
    assert f"{pull} {label} <{A}>" in lines
    assert [line for line in lines if line in wanted] == wanted
    assert "import" not in done.stdout, "the AMI's own pause image is there"


@pytest.mark.parametrize(
    ("variables", "said"),
    [({"DIGEST": TWO}, f"{A} is {TWO} now"), ({"FILLED": "1"}, "/dev/xvdb is not empty")],
    ids=["moved", "filled"],
)
def test_the_builder_stops_where_the_snapshot_would_be_wrong(variables: dict[str, str], said: str) -> None:
    done = built(bake_script.user_data(planned(A), "linux/amd64"), **variables)
    assert done.returncode != 0
    assert said in done.stdout
    assert "poweroff" not in done.stdout
    assert "DONE" not in done.stdout


def test_a_lost_pause_image_is_put_back() -> None:
    done = built(bake_script.user_data(planned(A, digest=""), "linux/amd64"), DIGEST="")
    assert "<images> <import> </etc/eks/pause.tar>" in done.stdout
    assert "DONE" in done.stdout


HOSTILE = ["$(reboot)", "a;reboot", "a b", "a\nreboot", "a,b", "'", "a:v1 # x", "", "../x:y$", "A:v1", "@PULLS@"]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("form", [bake_script.bottlerocket, bake_script.user_data], ids=["bottlerocket", "user-data"])
def test_hostile_names_reach_no_script(form: Callable[[Plan, str], str], name: str) -> None:
    with pytest.raises(bake_script.Unbakeable):
        form(planned(name), "linux/amd64")


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.us-west-2.evil.example",
        "123456789012.dkr.ecr.us-west-2.amazonaws.com.evil.example",
        "123456789012.dkr.ecr.us-west-2.amazonaws.com:8443",
        "x.123456789012.dkr.ecr.us-west-2.amazonaws.com",
        "12.dkr.ecr.us-west-2.amazonaws.com",
    ],
)
def test_the_password_of_ecr_goes_to_ecr(host: str) -> None:
    name = f"{host}/x:v1"
    assert f"pull {name} '' " in bake_script.user_data(planned(name), "linux/amd64")
    if ".amazonaws.com" in host and not host.startswith("x"):
        with pytest.raises(bake_script.Unbakeable, match="is not ECR"):
            bake_script.bottlerocket(planned(name), "amd64")


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("123456789012.dkr.ecr.us-west-2.amazonaws.com", "us-west-2"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
        ("public.ecr.aws", "''"),
    ],
)
def test_the_region_of_an_ecr_repository(host: str, region: str) -> None:
    assert f"pull {host}/x:v1 {region} " in bake_script.user_data(planned(f"{host}/x:v1"), "linux/amd64")


def test_models_are_for_no_script_and_nothing_is_no_script() -> None:
    both = replace(planned(A), baked=(*planned(A).baked, *planned("s3://b/m/", kind="model").baked))
    assert "the plan's models (1) are not in it" in bake_script.bottlerocket(both, "amd64")
    with pytest.raises(bake_script.Unbakeable, match="bakes no image"):
        bake_script.bottlerocket(planned("s3://b/m/", kind="model"), "amd64")


def test_user_data_that_ec2_would_refuse_is_not_made() -> None:
    with pytest.raises(bake_script.Unbakeable, match="EC2 takes 16,384"):
        bake_script.user_data(
            planned(*(f"ghcr.io/acme/{'x' * 200}-{number}:v1" for number in range(70))), "linux/amd64"
        )


def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    for name, text in (
        ("builder.sh", part(bake_script.user_data(planned(A, ECR), "linux/amd64"))),
        ("bottlerocket.sh", "#!/bin/bash\n" + bake_script.bottlerocket(planned(A, ECR), "amd64")),
    ):
        (tmp_path / name).write_text(text)
        shellcheck = Path(sys.executable).with_name("shellcheck")
        done = subprocess.run([shellcheck, tmp_path / name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
