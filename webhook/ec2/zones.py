"""Availability zones: which label says a zone, and which zone a directory bucket lies in.

A zone's name (`us-east-1a`) is another zone in another account; its id (`use1-az4`) is the same everywhere. Sources:
Amazon EC2 User Guide, "Regions and Zones"; Amazon S3 User Guide, "Directory bucket naming rules"; the EKS cloud
provider's labels on nodes.
"""

from __future__ import annotations

import re

ZONE_NAME = "topology.kubernetes.io/zone"
ZONE_ID = "topology.k8s.aws/zone-id"

# use1-az4, apne1-az1; of Local Zones usw2-lax1-az1.
_ID = re.compile(r"[a-z]{2,6}[0-9](?:-[a-z]{3}[0-9])?-az[0-9]{1,2}")
# us-east-1a, us-gov-west-1b; of Local Zones us-west-2-lax-1a; of Wavelength Zones us-east-1-wl1-bos-wlz-1.
_NAME = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,5})?-[a-z]{4,10}-[0-9]{1,2}(?:[a-z]|(?:-[a-z0-9]{3,4})+-[0-9]{1,2}[a-z]?)")
_DIRECTORY_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9-]*--((?:[a-z0-9]+-)+az[0-9]+)--x-s3/")


def zone_label(zone: str) -> str:
    """The node label whose value a zone is, by its shape; empty for what is no zone."""
    if _ID.fullmatch(zone):
        return ZONE_ID
    return ZONE_NAME if _NAME.fullmatch(zone) else ""


def bucket_zone(source: str) -> str:
    """The id of the zone that a canonical source's directory bucket lies in; empty for every other source."""
    found = _DIRECTORY_BUCKET.match(source)
    return found[1] if found and _ID.fullmatch(found[1]) else ""
