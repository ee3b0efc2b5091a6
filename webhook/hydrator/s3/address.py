"""Which host, path and ARN a bucket has. Facts: the endpoint rules and partitions that AWS publishes with its SDKs."""

from __future__ import annotations

import re
from typing import NamedTuple

from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.s3.settings import Settings

_SCHEME = "s3://"
_DIRECTORY_BUCKET = re.compile(r"[a-z0-9.-]+--([a-z0-9]+(?:-[a-z0-9]+)+)--x-s3")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")
_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_IP = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%A-Za-z]*")
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
_ENCODED = [chr(byte) if _PLAIN.fullmatch(chr(byte)) else f"%{byte:02X}" for byte in range(256)]
_DEFAULT_REGION = "us-east-1"
# Prefix of the region's name -> (partition, DNS suffix). The first that fits.
_PARTITIONS = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
    ("", "aws", "amazonaws.com"),
)


class Place(NamedTuple):
    """What a source names: a bucket, and a name in it without trailing slashes; "" is all of the bucket."""

    bucket: str
    name: str


class Endpoint(NamedTuple):
    """Where one bucket is asked for."""

    tls: bool
    host: str
    port: int
    authority: str
    """The Host header."""
    base: str
    """Path before the key's slash, percent-encoded."""
    region: str
    service: str
    """As it is signed for: `s3` or `s3express`."""
    partition: str
    overridden: bool
    """Somebody named it; it is not AWS's own for the region."""

    @property
    def url(self) -> str:
        """For people."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    def path(self, key: str) -> str:
        """Path of an object, percent-encoded as SigV4 wants it: once, nothing normalized."""
        return f"{self.base}/{encoded_path(key)}"


def encoded(text: str) -> str:
    """Percent-encoded UTF-8, as in a canonical query. Bytes that are no UTF-8 come as surrogates.

    Not urllib.parse's, which imports for milliseconds what few names need.
    """
    if _PLAIN.fullmatch(text):
        return text
    return "".join([_ENCODED[byte] for byte in text.encode("utf-8", "surrogateescape")])


def encoded_path(text: str) -> str:
    """The same, with slashes as they are."""
    return text if _PLAIN_PATH.fullmatch(text) else encoded(text).replace("%2F", "/")


def parse(source: str) -> Place:
    """Bucket and name of `s3://bucket/name/`; HydrationError USAGE."""
    if not source.startswith(_SCHEME):
        raise HydrationError(Exit.USAGE, f"{source!r} is no S3 source", "write s3://bucket/prefix/")
    bucket, _, name = source[len(_SCHEME) :].partition("/")
    if source.startswith("s3://arn:"):
        raise HydrationError(
            Exit.USAGE,
            f"{source!r} names a bucket by ARN",
            "write s3://bucket/prefix/; for an access point write its alias (it ends in -s3alias)",
        )
    if not _BUCKET.fullmatch(bucket):
        raise HydrationError(
            Exit.USAGE,
            f"{bucket!r} in {source!r} is no name of a bucket",
            "write s3://bucket/prefix/; a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens",
        )
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise HydrationError(Exit.USAGE, f"{source!r} is no UTF-8", "write the key in UTF-8") from None
    return Place(bucket, name.rstrip("/"))


def express_zone(bucket: str) -> str:
    """Zone of a directory bucket (S3 Express One Zone), which is in its name; "" for other buckets."""
    match = _DIRECTORY_BUCKET.fullmatch(bucket)
    return match[1] if match else ""


def is_region(text: str) -> bool:
    """Whether it can be a region's name, and so may become part of a host name."""
    return len(text) <= 40 and bool(_REGION.fullmatch(text))


def arn(endpoint: Endpoint, bucket: str, key: str = "") -> str:
    """ARN of a bucket, of an object in it (`key`), or of some (`key` with a `*`)."""
    if endpoint.service == "s3express":
        return f"arn:{endpoint.partition}:s3express:{endpoint.region}:*:bucket/{bucket}"
    return f"arn:{endpoint.partition}:s3:::{bucket}" + (f"/{key}" if key else "")


def resolve(bucket: str, settings: Settings) -> Endpoint:
    """Where to ask for a bucket; HydrationError USAGE for settings that cannot be."""
    region = settings.region or _DEFAULT_REGION
    if not is_region(region):
        raise HydrationError(Exit.USAGE, f"{region!r} is no name of a region", "check --region and AWS_REGION")
    partition, suffix = partition_of(region)
    zone = express_zone(bucket)
    if settings.endpoint_url:
        return _overridden(bucket, settings, region)
    dualstack = ".dualstack" if settings.dualstack else ""
    if settings.fips and partition == "aws-cn":
        raise HydrationError(Exit.USAGE, f"{region} has no FIPS endpoints", "unset AWS_USE_FIPS_ENDPOINT")
    fips = "-fips" if settings.fips else ""
    if zone:
        host = f"{bucket}.s3express{fips}-{zone}{dualstack}.{region}.{suffix}"
        return Endpoint(True, host, 443, host, "", region, "s3express", partition, False)
    host, base = f"s3{fips}{dualstack}.{region}.{suffix}", ""
    if settings.path_style or not _HOST_LABEL.fullmatch(bucket):  # a wildcard certificate covers no dots
        base = f"/{bucket}"
    else:
        host = f"{bucket}.{host}"
    return Endpoint(True, host, 443, host, base, region, "s3", partition, False)


def partition_of(region: str) -> tuple[str, str]:
    """Partition and DNS suffix of a region."""
    return next((name, dns) for prefix, name, dns in _PARTITIONS if region.startswith(prefix))


def named(url: str, setting: str, region: str, service: str) -> Endpoint:
    """The endpoint of a URL that `setting` holds; HydrationError USAGE, which shows no password in it."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - milliseconds, for those who name an endpoint

    hint = f"{setting} looks like https://host:port"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise HydrationError(Exit.USAGE, "the endpoint URL cannot be read", hint) from None
    if parts.username is not None or parts.query or parts.fragment:
        raise HydrationError(Exit.USAGE, "the endpoint URL holds a user name, a query or a fragment", hint)
    if parts.scheme not in {"http", "https"} or not (_HOST.fullmatch(host) or _IP.fullmatch(host)):
        raise HydrationError(Exit.USAGE, f"{url!r} is no endpoint URL", hint)
    tls = parts.scheme == "https"
    standard = 443 if tls else 80
    base = encoded_path(parts.path.rstrip("/")).replace("%25", "%")
    authority = _authority(host, port, standard)
    return Endpoint(tls, host, port or standard, authority, base, region, service, partition_of(region)[0], True)


def _overridden(bucket: str, settings: Settings, region: str) -> Endpoint:
    zone = express_zone(bucket)
    setting = "--endpoint-url, as AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL,"
    endpoint = named(settings.endpoint_url, setting, region, "s3express" if zone else "s3")
    path_style = settings.path_style
    if path_style is None:
        # Stores of other makers all know path style, and seldom have a DNS wildcard for the other one.
        amazon = any(endpoint.host.endswith(f".{suffix}") for _, _, suffix in _PARTITIONS)
        path_style = not amazon or not (zone or _HOST_LABEL.fullmatch(bucket))
    if path_style:
        return endpoint._replace(base=f"{endpoint.base}/{bucket}")
    host = f"{bucket}.{endpoint.host}"
    return endpoint._replace(host=host, authority=_authority(host, endpoint.port, 443 if endpoint.tls else 80))


def _authority(host: str, port: int | None, standard: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port in {None, standard} else f"{shown}:{port}"
