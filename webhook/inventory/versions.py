"""Versions of Kubernetes, as far as what a feature needs goes: the minor one."""

from __future__ import annotations

import re

_VERSION = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,4})(?![0-9])")


def minor(version: str) -> str:
    """The minor version of a component that calls itself `v1.36.2-eks-1a2b3c4`: `1.36`. Empty for what is none."""
    found = _VERSION.match(version)
    return f"{int(found[1])}.{int(found[2])}" if found else ""
