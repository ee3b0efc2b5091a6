"""Versions of Kubernetes, as far as what a feature needs goes: the minor one."""

from __future__ import annotations

import re

_VERSION = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,4})(?![0-9])")

# From which version on a runtime mounts images: KEP-4639; containerd 2.1, release notes, "Image Volume Support"; CRI-O
# 1.31. Of others nothing is known.
_MOUNTING = {"containerd": (2, 1), "cri-o": (1, 31)}


def minor(version: str) -> str:
    """The minor version of a component that calls itself `v1.36.2-eks-1a2b3c4`: `1.36`. Empty for what is none."""
    found = _VERSION.match(version)
    return f"{int(found[1])}.{int(found[2])}" if found else ""


def number(minor_version: str) -> tuple[int, int]:
    """`1.36` as what can be compared; (0, 0) for anything else, such as a kubelet that is named with its runtime."""
    major, _, rest = minor_version.partition(".")
    return (int(major), int(rest)) if major.isdecimal() and rest.isdecimal() else (0, 0)


def kubelet(version: str, runtime: str) -> str:
    """The minor version of a node's kubelet, from `node.status.nodeInfo`: `1.36`, or empty where it does not say.

    `1.36 on containerd 1.7` where the container runtime (`containerd://1.7.27`) lacks what kubelets leave to it: it
    mounts no images.
    """
    found = minor(version)
    name, separator, its_version = runtime.partition("://")
    if not found or not separator:
        return found
    of_runtime = minor(its_version)
    return f"{found} on {name} {of_runtime}".rstrip() if number(of_runtime) < _MOUNTING.get(name, (0, 0)) else found
