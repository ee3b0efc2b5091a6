"""Runs the init container of an admitted pod on this machine as a kubelet would: its arguments, variables, confinement.

Two things differ: what it mounts at `/warmpod/cache` lies below a directory of the test, and a projected volume or a
ConfigMap is wherever its files are already.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

from webhook.kube import Object, names
from webhook.kube import pod as pods


class Ended(NamedTuple):
    """How the container ended: exit code, what it logged, and its termination message."""

    code: int
    log: str
    message: str


@cache
def can_confine() -> bool:
    """Whether the container's security context can be had: for root alone, who may mount."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv"))):
        return False
    return subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def init_container(pod: Object) -> Object:
    """Ours."""
    [found] = [each for each in pod["spec"]["initContainers"] if each["name"] == names.INIT_CONTAINER]
    made: Object = found
    return made


def run(pod: Object, root: Path) -> Ended:
    """Run it; the volumes lie below `root`."""
    container = init_container(pod)
    for mount in container["volumeMounts"]:
        if mount["mountPath"].startswith(f"{names.CACHE_ROOT}/"):
            (root / mount["mountPath"][1:]).mkdir(parents=True, exist_ok=True)
    log = root / "termination-log"
    log.touch()
    environment = {
        entry["name"]: value
        for entry in container.get("env", [])
        if (value := pods.env_value(container, entry["name"])) is not None
    }
    words = [
        expanded(word).replace(f'"{names.CACHE_ROOT}/', f'"{root}{names.CACHE_ROOT}/') for word in container["args"]
    ]
    ended = subprocess.run(
        [*_confinement(container["securityContext"], root), sys.executable, "-m", "webhook.cli.start", *words],
        env={**environment, "PATH": os.environ["PATH"], "WARMPOD_TERMINATION_LOG": str(log)},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout + ended.stderr, log.read_text())


def expanded(argument: str) -> str:
    """An argument without references, as the program gets it."""
    assert "$(" not in argument.replace("$$", ""), "the kubelet would look for a variable"
    return argument.replace("$$", "$")


def seen(pod: Object, root: Path, path: str) -> dict[str, bytes]:
    """The files that the pod's first container finds at a mount of one of our caches, by their paths below it."""
    [mount] = [each for each in pod["spec"]["containers"][0]["volumeMounts"] if each["mountPath"] == path]
    [ours] = [each for each in init_container(pod)["volumeMounts"] if each["name"] == mount["name"]]
    inside = ours.get("subPath", "")
    assert mount["subPath"].startswith(f"{inside}/" if inside else "")
    # The kubelet resolves links on the host, and refuses what leads out of the volume.
    volume = (root / ours["mountPath"][1:]).resolve()
    tree = (volume / mount["subPath"].removeprefix(f"{inside}/" if inside else "")).resolve(strict=True)
    assert tree.is_relative_to(volume)
    files = [each for each in tree.rglob("*") if not each.is_dir()]
    assert all(each.stat().st_mode & 0o444 == 0o444 for each in files), "readable by whatever user the app runs as"
    assert all(
        each.stat().st_mode & 0o555 == 0o555 for each in [tree, *(one for one in tree.rglob("*") if one.is_dir())]
    )
    return {str(each.relative_to(tree)): each.read_bytes() for each in files}


def _confinement(context: Object, root: Path) -> list[str]:
    """Commands that stand before one which is to run without capabilities, on a filesystem that is read-only."""
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    if not can_confine():
        return []
    here = shlex.quote(str(root))
    script = (
        f"mount --make-rprivate / && mount --bind {here} {here} && mount -o remount,bind,ro / && "
        'exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh"]
