"""What single strings in documents may be: names, paths, environment, sizes, sources. Each fault is one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from webhook.ec2.zones import zone_label
from webhook.kube import names
from webhook.kube.quantity import InvalidQuantity
from webhook.kube.quantity import parse as parse_quantity
from webhook.policy.allow import canonical_source, pattern_fault
from webhook.policy.finding import Finding, refusal

LABEL_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
IDENTIFIER_PATTERN = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
PERCENT_OR_QUANTITY_PATTERN = r"^([0-9]{1,2}%|[0-9.]+[A-Za-z0-9+-]*)$"
QUANTITY_PATTERN = r"^[0-9.]+[A-Za-z0-9+-]*$"
DURATION_PATTERN = r"^(?=.)([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
ALLOW_PATTERN = r"^(s3://|file:///|oci://)[^*]*\*?$"
S3_PATTERN = r"^s3://[^*]*$"

_LABEL = re.compile(LABEL_PATTERN[:-1])
_ENV = re.compile(ENV_PATTERN[:-1])
_IDENTIFIER = re.compile(IDENTIFIER_PATTERN[:-1])
_PERCENT = re.compile(r"[0-9]{1,2}%")
_PLAIN_QUANTITY = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,19})?(?:[kMGTPE]|[KMGTPE]i)?")
_DURATION = re.compile(DURATION_PATTERN[:-1])
_QUALIFIED = re.compile(
    r"(?:(?=.{1,253}/)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)
_RESOURCE = re.compile(r"[A-Za-z0-9*](?:[A-Za-z0-9_./*-]{0,251}[A-Za-z0-9*])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Words of CEL's grammar, which no variable may be called.
_CEL_WORDS = frozenset(
    {
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "null",
    }
    | {"package", "namespace", "return", "true", "var", "void", "while"}
)
# botocore, "Configuring credentials": what names a long-term or session credential.
SECRET_ENV = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"})
_SECRET_CONFIG = frozenset(name.lower() for name in SECRET_ENV)
_NEVER_MOUNTED_OVER = frozenset({"/", "/dev", "/proc", "/sys"})
MAX_ENV_VALUE = 4096
_LEAST_FREE = 1 << 20  # less is a percentage without its sign
_LONGEST_GLOB = 256
_LONGEST_LEASE = 366 * 24 * 3600

NO_SECRETS = "Warmpod never injects secrets"
NO_SECRETS_HINT = "give the pod's service account a role (EKS Pod Identity or IRSA)"


def _label(text: str) -> str | None:
    if _LABEL.fullmatch(text) is None:
        return "must be 1-63 lower-case letters, digits or '-', and begin and end with a letter or digit"
    return None


def own_name(text: str) -> str | None:
    """Fault of a name that we put into pods: a DNS-1123 label outside our reserved prefix."""
    if text.startswith(names.VOLUME_PREFIX):
        return f"names that begin with {names.VOLUME_PREFIX} are reserved for Warmpod's own"
    return _label(text)


def path_fault(text: str) -> str | None:
    """Fault of an absolute path: not normalised, or with characters that mount options and logs trip over."""
    if not text.startswith("/"):
        return "must be an absolute path"
    if ":" in text or _CONTROL.search(text):
        return 'must hold no ":" and no control characters'
    if len(text) > 1024:
        return "must not be longer than 1024 characters"
    segments = text[1:].split("/")
    if ".." in segments or "." in segments:
        return 'must hold no "." and no ".." segments'
    if "" in segments:
        return "must be normalised: no // and no / at the end" if text != "/" else "must not be /"
    return None


def _mount_path(text: str) -> str | None:
    fault = path_fault(text)
    if fault:
        return fault
    reserved = f"/{names.CACHE_ROOT.split('/')[1]}", names.AWS_CONFIG_DIRECTORY.rpartition("/")[0]
    for own in reserved:
        if f"{text}/".startswith(f"{own}/"):
            return f"{own} is reserved for Warmpod's own"
    if text in _NEVER_MOUNTED_OVER or text.startswith(("/proc/", "/sys/")):
        return f"nothing may be mounted over {text}"
    return None


def _env_name(text: str) -> str | None:
    return None if _ENV.fullmatch(text) else "must be letters, digits and '_', and not begin with a digit"


def _env_value(text: str) -> str | None:
    if len(text) > MAX_ENV_VALUE:
        return f"must not be longer than {MAX_ENV_VALUE} characters"
    return "must not hold NUL" if "\0" in text else None


def _identifier(text: str) -> str | None:
    if _IDENTIFIER.fullmatch(text) is None or len(text) > 63:
        return "must be a CEL identifier: letters, digits and '_', not beginning with a digit, at most 63"
    return f'"{text}" is a word of CEL itself' if text in _CEL_WORDS else None


def _keep_free(text: str) -> str | None:
    if _PERCENT.fullmatch(text):
        return None
    try:
        bytes_free = parse_quantity(text)
    except InvalidQuantity:
        return "must be a percentage below 100 (20%) or a quantity (50Gi)"
    if bytes_free and bytes_free < _LEAST_FREE:
        return f"{text} would be that many bytes: write a percentage (20%) or a quantity (50Gi)"
    return None


def _max_size(text: str) -> str | None:
    try:
        most = parse_quantity(text)
    except InvalidQuantity:
        return "must be a quantity (500Gi)"
    return None if most >= _LEAST_FREE else f"{text} would be that many bytes: write a quantity (500Gi)"


def _subdomain(text: str) -> str | None:
    if _SUBDOMAIN.fullmatch(text) and len(text) <= 253:
        return None
    return "must be lower-case letters, digits, '-' and '.', at most 253, as names of cluster objects are"


def _throughput(text: str) -> str | None:
    try:
        rate = parse_quantity(text)
    except InvalidQuantity:
        return "must be a quantity of bytes a second (1200M)"
    return None if rate >= _LEAST_FREE else f"{text} would be that many bytes a second: write a quantity (1200M)"


def _zone(text: str) -> str | None:
    return None if zone_label(text) else "must be a zone's id (use1-az4) or its name (us-east-1a)"


def _s3_prefix(text: str) -> str | None:
    if not text.startswith("s3://") or canonical_source(text) is None:
        return "must be a bucket or a prefix of one: s3://BUCKET/PREFIX/"
    return None


def plain_size(quantity: str | int) -> str:
    """Return a well-formed quantity as anybody reads it: bytes in place of signs, exponents and odd suffixes."""
    text = str(quantity)
    return text if _PLAIN_QUANTITY.fullmatch(text) else str(math.ceil(parse_quantity(text)))


def seconds(duration: str) -> int:
    """Return the seconds of a well-formed duration such as `24h` or `1h30m`."""
    found = _DURATION.fullmatch(duration)
    assert found is not None
    return sum(int(part[:-1]) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True) if part)


def _lease(text: str) -> str | None:
    if _DURATION.fullmatch(text) is None:
        return "must be a duration in hours, minutes and seconds: 24h, 1h30m"
    return "must not be longer than a year (8784h)" if seconds(text) > _LONGEST_LEASE else None


def _glob(text: str) -> str | None:
    if not text or len(text) > _LONGEST_GLOB or not text.isprintable():
        return f"must be 1-{_LONGEST_GLOB} printable characters"
    if text.startswith("/"):
        return "paths are relative to the source: they do not begin with /"
    if text.endswith("/"):
        return "names a directory, and only files are looked at: add a *"
    segments = text.split("/")
    return 'paths have no "", "." or ".." segments' if {"", ".", ".."}.intersection(segments) else None


def _qualified(text: str) -> str | None:
    return None if _QUALIFIED.fullmatch(text) else "must be a key like name or domain/name, each name at most 63"


def _flag(text: str) -> str | None:
    if not text.startswith("-") or text.strip("-") == "" or "=" in text or _CONTROL.search(text) or " " in text:
        return "must be a flag as the program knows it, like --model"
    return None


def _resource(text: str) -> str | None:
    return None if _RESOURCE.fullmatch(text) else 'must be a resource name or a pattern of it, like "nvidia.com/*"'


def _string(fault: Callable[[str], str | None], code: str = "P014") -> AfterValidator:
    def check(text: str) -> str:
        message = fault(text)
        if message:
            raise refusal(Finding(code, message))
        return text

    return AfterValidator(check)


def _no_secret(text: str) -> str:
    if text.upper() in SECRET_ENV:
        raise refusal(Finding("P018", f"{text} is refused: {NO_SECRETS}", NO_SECRETS_HINT, on_key=True))
    return text


def is_secret_config(key: str) -> bool:
    """Tell whether a key of an AWS configuration file holds a credential."""
    return key.lower() in _SECRET_CONFIG


Name = Annotated[str, _string(_label), Field(json_schema_extra={"pattern": LABEL_PATTERN})]
OwnName = Annotated[str, _string(own_name), Field(json_schema_extra={"pattern": LABEL_PATTERN})]
MountPath = Annotated[str, _string(_mount_path), Field(json_schema_extra={"pattern": "^/[^:]+$"})]
EnvName = Annotated[
    str, AfterValidator(_no_secret), _string(_env_name), Field(json_schema_extra={"pattern": ENV_PATTERN})
]
EnvValue = Annotated[str, _string(_env_value)]
Identifier = Annotated[str, _string(_identifier), Field(json_schema_extra={"pattern": IDENTIFIER_PATTERN})]
KeepFree = Annotated[str, _string(_keep_free), Field(json_schema_extra={"pattern": PERCENT_OR_QUANTITY_PATTERN})]
MaxSize = Annotated[str, _string(_max_size), Field(json_schema_extra={"pattern": QUANTITY_PATTERN})]
Lease = Annotated[str, _string(_lease), Field(json_schema_extra={"pattern": DURATION_PATTERN})]
Glob = Annotated[str, _string(_glob), Field(json_schema_extra={"minLength": 1, "maxLength": _LONGEST_GLOB})]
AllowPattern = Annotated[str, _string(pattern_fault), Field(json_schema_extra={"pattern": ALLOW_PATTERN})]
StorageClassName = Annotated[str, _string(_subdomain)]
Throughput = Annotated[str, _string(_throughput), Field(json_schema_extra={"pattern": QUANTITY_PATTERN})]
Zone = Annotated[str, _string(_zone), Field(json_schema_extra={"pattern": LABEL_PATTERN})]
S3Prefix = Annotated[str, _string(_s3_prefix), Field(json_schema_extra={"pattern": S3_PATTERN})]
Key = Annotated[str, _string(_qualified)]
Flag = Annotated[str, _string(_flag)]
ResourcePattern = Annotated[str, _string(_resource)]
