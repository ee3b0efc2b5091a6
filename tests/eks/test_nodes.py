"""User data and local disks of the recipes' node classes, and that their caches lie where those disks are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.eks.recipes import EKS
from webhook.cli.main import main
from webhook.ec2 import systems
from webhook.nodeclass.documents import read
from webhook.nodeclass.local_storage import CONTAINERD, KUBELET, PODS, SOCI, local_storage
from webhook.nodeclass.multipart import parts
from webhook.nodeclass.node_class import NodeClass, node_classes
from webhook.policy.presets import place
from webhook.policy.problem import Source

AL2023, BOTTLEROCKET = "/mnt/k8s-disks/0", "/mnt/.ephemeral"
DISKS = {
    "al2023-raid0-soci": (systems.AL2023, AL2023, {CONTAINERD, KUBELET, PODS, SOCI}),
    "al2023-snapshot": (systems.AL2023, AL2023, {KUBELET, PODS, SOCI}),
    "bottlerocket-raid0-soci": (systems.BOTTLEROCKET, BOTTLEROCKET, {CONTAINERD, KUBELET, PODS}),
    "bottlerocket-snapshot": (systems.BOTTLEROCKET, BOTTLEROCKET, {KUBELET, PODS}),
    "generic-ephemeral": (systems.AL2023, "/mnt/k8s-disks/1", set()),
}
"""By recipe: the system, where the local disks are mounted, and which directories lie on them."""

SNAPSHOTS = ("al2023-snapshot", "bottlerocket-snapshot")
SHARED = sorted(set(DISKS) - {"generic-ephemeral"})
OTHER = {"al2023-raid0": "bottlerocket", "bottlerocket": "al2023-raid0"}


def node_class(recipe: str) -> NodeClass:
    file = EKS / recipe / "nodes.yaml"
    found = read([Source(str(file), file.read_text())])
    assert found.problems == ()
    [one] = node_classes(found)
    return one


def test_every_node_class_is_looked_at() -> None:
    assert {path.parent.name for path in EKS.glob("*/nodes.yaml")} == set(DISKS)


@pytest.mark.parametrize("recipe", DISKS)
def test_user_data_says_what_it_should_without_a_fault(recipe: str) -> None:
    said = node_class(recipe).user_data
    assert said.faults == ()
    is_bottlerocket = DISKS[recipe][0] == systems.BOTTLEROCKET
    assert (said.settings is not None, len(said.node_configs)) == ((True, 0) if is_bottlerocket else (False, 1))
    if recipe in SNAPSHOTS:
        return
    # The snapshotter that pulls in parallel, where nothing unpacked for another one comes with the node.
    if said.settings is not None:
        assert said.settings.at("container-runtime", "snapshotter") == "soci"
    else:
        assert said.node_configs[0].at("featureGates", "FastImagePull") is True


@pytest.mark.parametrize("recipe", DISKS)
def test_local_disks_hold_what_they_should_and_not_the_images_of_a_snapshot(recipe: str) -> None:
    found = local_storage(node_class(recipe))
    system, mount_point, binds = DISKS[recipe]
    assert (found.system, found.mount_point, found.of) == (system, mount_point, "nvme")
    assert binds <= found.binds
    assert (CONTAINERD in found.binds) == (CONTAINERD in binds)


@pytest.mark.parametrize("recipe", SHARED)
def test_the_preset_lies_on_the_disks_of_its_recipe_and_the_other_one_is_found(recipe: str, tmp_path: Path) -> None:
    policy = (EKS / recipe / "policies" / "policy.yaml").read_text()
    named = re.search(r"preset: (\S+)", policy)
    assert named
    preset = named[1]
    assert preset in {"al2023-raid0", "bottlerocket"}
    path = place(preset, "", "").volume["hostPath"]["path"]  # type: ignore[arg-type]  # looked at above
    assert local_storage(node_class(recipe)).holds(path)
    changed = tmp_path / "policy.yaml"
    changed.write_text(policy.replace(f"preset: {preset}", f"preset: {OTHER[preset]}"))
    result = CliRunner().invoke(main, ["lint", str(changed), "--nodes", str(EKS / recipe / "nodes.yaml")])
    assert result.exit_code == 1
    assert re.search(r"\bN06[01]\b", result.output), result.output


def script() -> str:
    """The shell script in the user data of the AL2023 snapshot."""
    text = node_class("al2023-snapshot").document.at("spec", "userData")
    found, faults = parts(text)
    assert faults == ()
    [one] = [each.text for each in found if each.text.lstrip().startswith("#!")]
    return str(one)


def test_the_script_is_one(tmp_path: Path) -> None:
    file = tmp_path / "script.sh"
    file.write_text(script().lstrip())
    subprocess.run(["bash", "-n", file], check=True)
    if shellcheck := shutil.which("shellcheck"):
        subprocess.run([shellcheck, file], check=True)


STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
[ "$(basename "$0") $1 $2 $3 $4" = "ctr --namespace k8s.io images ls" ] && printf '%s' "$PAUSE"
exit 0
"""


@pytest.mark.parametrize("has_pause", [True, False], ids=["snapshot-has-the-pause-image", "snapshot-lacks-it"])
def test_the_script_mounts_first_and_sees_to_the_pause_image(tmp_path: Path, *, has_pause: bool) -> None:
    """Run against commands that write down their calls, and another fstab."""
    tools, calls, fstab = tmp_path / "bin", tmp_path / "calls", tmp_path / "fstab"
    tools.mkdir()
    for name in ("systemctl", "ctr", "mount", "xfs_growfs", "sleep"):
        (tools / name).write_text(STUB)
        (tools / name).chmod(0o755)
    text = script().replace("/etc/fstab", str(fstab))
    pause = "localhost/kubernetes/pause:latest\n" if has_pause else ""
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(calls), "PAUSE": pause}
    subprocess.run(["bash", "-c", text], env=environment, check=True)
    made = [line for line in calls.read_text().splitlines() if not line.startswith("sleep")]
    wanted = ["systemctl stop containerd", "mount /var/lib/containerd", "xfs_growfs /var/lib/containerd"]
    wanted += ["systemctl start containerd"]
    assert made[:4] == wanted
    assert fstab.read_text().split()[:3] == ["/dev/xvdb", "/var/lib/containerd", "xfs"]
    added = [line.split()[4] for line in made[5:]]
    assert added == ([] if has_pause else ["import", "label"])
    assert has_pause or made[5].endswith(" /etc/eks/pause.tar")
