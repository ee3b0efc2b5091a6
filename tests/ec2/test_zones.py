"""Zones by their shape, and systems by what kubelets call them."""

from __future__ import annotations

import pytest

from webhook.ec2.systems import AL2, AL2023, BOTTLEROCKET, OTHER, TITLES, system_of
from webhook.ec2.zones import ZONE_ID, ZONE_NAME, bucket_zone, zone_label


@pytest.mark.parametrize(
    ("zone", "label"),
    [
        *((zone, ZONE_ID) for zone in ("use1-az4", "apne1-az1", "usgw1-az2", "usw2-lax1-az1", "euc1-az10")),
        *(
            (zone, ZONE_NAME)
            for zone in (
                "us-east-1a",
                "ap-northeast-1c",
                "us-gov-west-1b",
                "us-west-2-lax-1a",
                "us-east-1-wl1-bos-wlz-1",
                "eu-central-1b",
                "mx-central-1a",
            )
        ),
        *((text, "") for text in ("", "us-east-1", "use1", "use1-az", "zone a", "US-EAST-1A", "use1-az4\n", "1a")),
    ],
)
def test_a_zone_is_known_by_its_shape(zone: str, label: str) -> None:
    assert zone_label(zone) == label


@pytest.mark.parametrize(
    ("source", "zone"),
    [
        ("s3://models--use1-az4--x-s3/llama/", "use1-az4"),
        ("s3://a--b--usw2-lax1-az1--x-s3/", "usw2-lax1-az1"),
        ("s3://models/use1-az4--x-s3/", ""),
        ("s3://models-use1-az4-x-s3/llama/", ""),
        ("file:///models--use1-az4--x-s3/", ""),
        ("oci://models--use1-az4--x-s3/a:b", ""),
    ],
)
def test_a_directory_bucket_names_its_zone(source: str, zone: str) -> None:
    assert bucket_zone(source) == zone


@pytest.mark.parametrize(
    ("os_image", "system"),
    [
        ("Amazon Linux 2023.9.20251110", AL2023),
        ("Amazon Linux 2", AL2),
        ("Bottlerocket OS 1.50.0 (aws-k8s-1.34-nvidia)", BOTTLEROCKET),
        ("Bottlerocket (EKS Auto, Nvidia) 2025.10.2 (aws-k8s-1.33-nvidia)", BOTTLEROCKET),
        ("Ubuntu 24.04.3 LTS", OTHER),
        ("", ""),
    ],
)
def test_a_system_is_known_by_its_name(os_image: str, system: str) -> None:
    assert system_of(os_image) == system
    assert system == "" or TITLES[system]
