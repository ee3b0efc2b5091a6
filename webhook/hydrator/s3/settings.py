"""How to reach S3: what the command line says, else the environment variables that every AWS client reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

_MAX_PROFILE_FILE = 1 << 20


class Settings(NamedTuple):
    """Where S3 is and how to talk to it. Empty text: found out or not used."""

    endpoint_url: str = ""
    region: str = ""
    path_style: bool | None = None
    """None: path style where the host name cannot carry the bucket's."""
    request_payer: bool = False
    ca_bundle: str = ""
    fips: bool = False
    dualstack: bool = False
    unsigned: bool = False
    stall_seconds: float = 20.0
    """Without a byte for so long, a connection counts as dead."""
    connect_seconds: float = 5.0
    attempts: int = 10
    """Of one request while planning."""


def settings_from(environ: Mapping[str, str], **flags: object) -> Settings:
    """The settings of an environment. Flags of Settings' names outrank it; None, "" and False mean not given.

    Names and their order: AWS SDKs and Tools Reference Guide; AWS_REQUEST_PAYER as in GDAL and others.
    """
    found: dict[str, Any] = {
        "endpoint_url": environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or "",
        "request_payer": environ.get("AWS_REQUEST_PAYER", "").lower() == "requester",
        "ca_bundle": environ.get("AWS_CA_BUNDLE") or environ.get("SSL_CERT_FILE") or "",
        "fips": environ.get("AWS_USE_FIPS_ENDPOINT", "").lower() == "true",
        "dualstack": environ.get("AWS_USE_DUALSTACK_ENDPOINT", "").lower() == "true",
    }
    # path_style=False says something; the other flags are switches.
    found.update({name: value for name, value in flags.items() if value or (name == "path_style" and value is False)})
    if not found.get("region"):
        found["region"] = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or _region_of_profile(environ)
    return Settings()._replace(**found)


def _region_of_profile(environ: Mapping[str, str]) -> str:
    """`region` of the profile in the shared config file; "" where there is none that can be read."""
    path = environ.get("AWS_CONFIG_FILE") or os.path.join(environ.get("HOME") or "/", ".aws", "config")
    profile = environ.get("AWS_PROFILE") or "default"
    try:
        with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
            lines = file.read(_MAX_PROFILE_FILE).splitlines()
    except (OSError, ValueError):
        return ""
    wanted = {f"profile {profile}", "default"} if profile == "default" else {f"profile {profile}"}
    here = False
    for line in lines:
        text = line.strip()
        if text.startswith("["):
            here = " ".join(text[1:].partition("]")[0].split()) in wanted
        elif here and not line[:1].isspace():  # indented lines belong to a nested setting
            name, _, value = text.partition("=")
            if name.strip().lower() == "region":
                return value.split(" #")[0].split(" ;")[0].strip()
    return ""
