"""User data of nodes: what form it has, its parts, and what each says.

Amazon Linux 2023 takes a NodeConfig, a shell script, or both in a MIME archive; Bottlerocket takes TOML. Karpenter
tells the first three apart by how the text begins (karpenter-provider-aws 1d92708,
pkg/providers/amifamily/bootstrap/nodeadm.go), and so do we.

Tests of node classes read them by `webhook.nodeclass.documents.read`, and look at what each says:

    found = read([Source("nodes.yaml", text)])
    assert not found.problems
    for node_class in node_classes(found):          # webhook.nodeclass.node_class
        assert node_class.user_data.faults == ()

or a bare text: `user_data(text, systems.AL2023).faults == ()`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import yaml

from webhook.ec2 import systems
from webhook.nodeclass import multipart
from webhook.nodeclass.bottlerocket import Settings, bottlerocket
from webhook.nodeclass.fault import Fault
from webhook.nodeclass.node_config import NodeConfig, node_config
from webhook.nodeclass.script import Script, script

#: EC2 takes no more, before base64 (EC2 User Guide, "Add user data"). Karpenter's own part comes on top.
MOST_BYTES = 16 << 10
MOST_FAULTS = 50  # told of one user data
_LONGEST = 1 << 16  # nothing longer is looked at

NODE_CONFIG = "application/node.eks.aws"
SHELL = "text/x-shellscript"
# What cloud-init makes of a part (cloud-init, "User-data formats").
_OF_CLOUD_INIT = frozenset(
    {
        "text/cloud-boothook",
        "text/cloud-config",
        "text/cloud-config-archive",
        "text/jinja2",
        "text/part-handler",
        "text/x-include-once-url",
        "text/x-include-url",
        "text/x-shellscript-per-boot",
        "text/x-shellscript-per-instance",
        "text/x-shellscript-per-once",
    }
)
_SCRIPTS = frozenset({SHELL, "text/cloud-boothook", *(each for each in _OF_CLOUD_INIT if each.startswith(SHELL))})


@dataclass(frozen=True, slots=True)
class ReadScript:
    """A script, and the line of the user data that is its first: lines of the script count from there."""

    script: Script
    line: int

    def outer(self, line: int) -> int:
        """Return the line of the user data that is this line of the script."""
        return self.line + line - 1


@dataclass(frozen=True, slots=True)
class UserData:
    """What user data says: the parts of its form, and what is wrong. Lines of faults count within the user data."""

    node_configs: tuple[NodeConfig, ...] = ()
    scripts: tuple[ReadScript, ...] = ()
    settings: Settings | None = None
    """Of Bottlerocket; None on other systems, and where it cannot be read."""
    faults: tuple[Fault, ...] = ()


def user_data(text: str, system: str) -> UserData:
    """Return what user data says to nodes of a system (`webhook.ec2.systems`), with all its faults. Never raises.

    Of a system other than Amazon Linux and Bottlerocket, nothing is said.
    """
    if not text.strip() or system == systems.OTHER:
        return UserData()
    size = len(text.encode("utf-8", "replace"))
    too_long = Fault("N001", f"{size} bytes of user data; EC2 takes {MOST_BYTES}", "fetch the rest from S3 by a script")
    if size > _LONGEST:
        return UserData(faults=(too_long,))
    read = _toml(text) if system == systems.BOTTLEROCKET else _parts(text, system)
    faults = ((too_long,) if size > MOST_BYTES else ()) + read.faults
    more = len(faults) - MOST_FAULTS
    if more > 0:
        last = faults[MOST_FAULTS - 1]
        faults = (*faults[:MOST_FAULTS], replace(last, message=f"{more} more faults in this user data", hint=""))
    return replace(read, faults=faults)


def _toml(text: str) -> UserData:
    if multipart.is_multipart(text) or text.lstrip().startswith(("#!", "apiVersion:", "---")):
        hint = "write TOML: [settings.kubernetes]; a NodeConfig or script is for Amazon Linux 2023"
        return UserData(faults=(Fault("N003", "Bottlerocket takes TOML, and nothing else, as user data", hint),))
    settings, faults = bottlerocket(text)
    return UserData(settings=settings, faults=faults)


def _parts(text: str, system: str) -> UserData:
    if not multipart.is_multipart(text):
        kind = NODE_CONFIG if system == systems.AL2023 and _is_mapping(text) else SHELL
        return _read((multipart.Part(kind, text, 1),), (), system)
    found, faults = multipart.parts(text)
    return _read(found, faults, system)


def _is_mapping(text: str) -> bool:
    """Whether Karpenter takes user data without MIME for a NodeConfig: where it is YAML of a mapping, or of nothing."""
    if text.lstrip().startswith("#!"):
        return False
    try:
        event = next(
            each
            for each in yaml.parse(text, Loader=yaml.SafeLoader)
            if isinstance(each, (yaml.NodeEvent, yaml.StreamEndEvent))
        )
    except yaml.YAMLError:
        # Broken YAML becomes a script. That nobody means, where it begins as a NodeConfig.
        return text.lstrip().removeprefix("---").lstrip().startswith(("apiVersion:", "kind:"))
    return isinstance(event, (yaml.MappingStartEvent, yaml.StreamEndEvent))


def _read(parts: tuple[multipart.Part, ...], before: tuple[Fault, ...], system: str) -> UserData:
    configs: list[NodeConfig] = []
    scripts: list[ReadScript] = []
    faults = list(before)
    for part in parts:
        if part.encoding not in {"", "7bit", "8bit", "binary"}:
            message = f"a part in {part.encoding}, which is not looked into"
            faults.append(Fault("N001", message, "write it as text, so that it can be reviewed", part.line))
        elif part.media_type == NODE_CONFIG:
            config, found = node_config(part.text)
            faults += [each.below(part.line) for each in found]
            if config is not None:
                configs.append(NodeConfig(config.data, config.line + part.line - 1))
            if system != systems.AL2023:
                message = "only Amazon Linux 2023 has nodeadm, which reads a NodeConfig"
                faults.append(Fault("N001", message, "amiSelectorTerms: [{alias: al2023@...}]", part.line))
        elif part.media_type in _SCRIPTS:
            said, found = script(part.text)
            faults += [each.below(part.line) for each in found]
            scripts.append(ReadScript(said, part.line))
        elif part.media_type and part.media_type not in _OF_CLOUD_INIT:
            message = f"neither nodeadm nor cloud-init takes a part of type {part.media_type}"
            hint = f"{NODE_CONFIG} for a NodeConfig, {SHELL} for a script"
            faults.append(Fault("N001", message, hint, part.line))
    return UserData(tuple(configs), tuple(scripts), None, tuple(faults))
