"""A plan as what bakes it: the command of the public Bottlerocket script, and a builder's user data for AL2023.

Sources: aws-samples/bottlerocket-images-cache 3370ea0, snapshot.sh (options, commas between images, no quotes around
names in what it runs as root); clowdhaus/terraform-aws-ebs-snapshot-builder f330baf, user_data.sh (the AMI's own store
is kept, pulls are pinned); awslabs/amazon-eks-ami 81fec2e, templates/al2023/runtime/bin/cache-pause-container (pause
image by name and as /etc/eks/pause.tar). Names are canonical references, and quoted for the shell all the same.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from webhook.kube import image
from webhook.report.bake import Item, Plan

MOST_USER_DATA: Final = 16 * 1024
"""Bytes that EC2 takes of user data, before base64."""

_LEAST_GIB: Final = 20
# The hosts that may get ECR's password, as awslabs/amazon-ecr-credential-helper has them (ecr-login/api/client.go).
# A pod of anybody's can name an image 123456789012.dkr.ecr.us-west-2.evil.example/x.
_ECR: Final = re.compile(
    r"[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.([a-z0-9][a-z0-9-]*)\."
    r"(?:amazonaws\.(?:com(?:\.cn)?|eu)|on\.(?:aws|amazonwebservices\.com\.cn)"
    r"|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
)
# What snapshot.sh takes for ECR, whatever follows.
_ECR_TO_THE_SCRIPT: Final = re.compile(r"[0-9]*\.dkr\.ecr\.[a-z1-9-]*\.amazonaws\.com")
_BOUNDARY: Final = "==warmpod-bake=="


class Unbakeable(ValueError):
    """The plan cannot be written in this form. The text says why."""


def bottlerocket(plan: Plan, architecture: str) -> str:
    """The command that bakes the plan's images into a snapshot of a Bottlerocket data volume."""
    images = _images(plan)
    for one in images:
        if _ECR_TO_THE_SCRIPT.match(one.name) and not _region(one.name):
            raise Unbakeable(f"{one.name}: snapshot.sh would give ECR's password to this host, which is not ECR")
    size = max(plan.volume_gib, _LEAST_GIB)
    return (
        "# In a checkout of https://github.com/aws-samples/bottlerocket-images-cache. The AMI has to be that of your\n"
        "# nodes: /aws/service/bottlerocket/aws-k8s-VERSION-nvidia/x86_64/latest/image_id for NVIDIA GPUs.\n"
        f"{_left_out(plan)}"
        './snapshot.sh -r "${AWS_REGION:?}" -a "${BOTTLEROCKET_AMI_PARAMETER:?}" '
        f"-A {shlex.quote(architecture)} -s {size} {shlex.quote(','.join(one.name for one in images))}\n"
    )


def user_data(plan: Plan, platform: str) -> str:
    """MIME user data of a builder: an instance of the nodes' AL2023 EKS AMI with a second volume, which it fills.

    It stops itself when it is done; a snapshot of its second volume is what nodes mount at /var/lib/containerd.
    """
    pulls = [shlex.join(["pull", one.name, _region(one.name), one.digest]) for one in _images(plan)]
    template = files(__package__).joinpath("bake_builder.sh").read_text(encoding="utf-8")
    script = template.replace("@PLATFORM@", shlex.quote(platform)).replace("@PULLS@", "\n".join(pulls))
    document = (
        f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{_BOUNDARY}"\n\n--{_BOUNDARY}\n'
        f'Content-Type: text/x-shellscript; charset="us-ascii"\n\n{script}\n--{_BOUNDARY}--\n'
    )
    if len(document.encode()) > MOST_USER_DATA:
        raise Unbakeable(
            f"{len(pulls)} images come to {len(document.encode()):,} bytes of user data, and EC2 takes "
            f"{MOST_USER_DATA:,}: gzip them (cloud-init unpacks), or bake fewer"
        )
    return document


def _images(plan: Plan) -> Sequence[Item]:
    found = [one for one in plan.baked if one.kind == "image"]
    for one in found:
        if image.canonical(one.name) != one.name or "," in one.name:
            raise Unbakeable(f"{one.name!r} is no image reference")
    if not found:
        raise Unbakeable("the plan bakes no image")
    return found


def _region(name: str) -> str:
    """The region of an ECR repository; empty for other registries."""
    found = _ECR.fullmatch(name.partition("/")[0])
    return found[1] if found else ""


def _left_out(plan: Plan) -> str:
    count = sum(one.kind == "model" for one in plan.baked)
    return f"# snapshot.sh takes images only: the plan's models ({count}) are not in it.\n" if count else ""
