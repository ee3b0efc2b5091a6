"""What a preset stands for, and what a volume says of the nodes it suits."""

from __future__ import annotations

import pytest

from webhook.ec2.systems import AL2, AL2023, BOTTLEROCKET, OTHER
from webhook.policy import presets, volume_source
from webhook.policy.parse import parse
from webhook.policy.presets import PRESETS, Place, PresetName
from webhook.policy.problem import Source


def cache(spec: str) -> str:
    return f"apiVersion: warmpod.dev/v1alpha1\nkind: NodeCache\nmetadata: {{name: c}}\nspec: {{{spec}}}\n"


@pytest.mark.parametrize(
    ("spec", "volume", "fallback", "systems"),
    [
        (
            "preset: al2023-raid0, size: 200Gi",
            {"hostPath": {"path": "/mnt/k8s-disks/0/warmpod", "type": "DirectoryOrCreate"}},
            {"emptyDir": {"sizeLimit": "200Gi"}},
            {AL2023, AL2},
        ),
        (
            "preset: bottlerocket",
            {"hostPath": {"path": "/mnt/.ephemeral/warmpod", "type": "DirectoryOrCreate"}},
            {"emptyDir": {}},
            {BOTTLEROCKET},
        ),
        ("preset: emptydir", {"emptyDir": {}}, None, set()),
        ("preset: emptydir, size: 3Gi", {"emptyDir": {"sizeLimit": "3Gi"}}, None, set()),
        (
            "preset: generic-ephemeral, size: 500Gi, storageClassName: local-nvme",
            {
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "500Gi"}},
                            "storageClassName": "local-nvme",
                        }
                    }
                }
            },
            None,
            set(),
        ),
        ("volume: {hostPath: {path: /mnt/k8s-disks/0/models}}", None, None, {AL2023, AL2, OTHER}),
        ("volume: {hostPath: {path: /mnt/.ephemeral}}", None, None, {BOTTLEROCKET, OTHER}),
        ("volume: {hostPath: {path: /mnt/k8s-disks-old/models}}", None, None, set()),
        ("volume: {nfs: {server: s, path: /mnt/k8s-disks/0}}", None, None, set()),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_cache_is_what_its_preset_stands_for(spec: str, volume: object, fallback: object, systems: set[str]) -> None:
    found = parse([Source("c.yaml", cache(spec))])
    assert found.problems == ()
    (made,) = found.caches
    assert made.systems == systems
    if volume is not None:
        assert (made.volume, made.fallback_volume) == (volume, fallback)
        assert made.preset == spec.split()[1].rstrip(",")


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_stands_for_could_be_written_out(preset: PresetName) -> None:
    place: Place = presets.place(preset, "200Gi", "local-nvme")
    assert list(volume_source.faults(place.volume, volume_source.CACHE_TYPES)) == []
    if place.fallback_volume is not None:
        assert list(volume_source.faults(place.fallback_volume, volume_source.FALLBACK_TYPES)) == []
