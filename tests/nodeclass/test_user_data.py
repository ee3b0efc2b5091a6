"""User data is read as nodeadm, Karpenter, cloud-init and Bottlerocket read it, and each fault has its line."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.ec2 import systems
from webhook.nodeclass.multipart import parts
from webhook.nodeclass.toml_lines import lines_of
from webhook.nodeclass.user_data import UserData, user_data

ARCHIVE = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="BOUNDARY"

--BOUNDARY
Content-Type: text/x-shellscript; charset="us-ascii"

#!/bin/bash
systemctl stop containerd || true
echo '/dev/xvdb /var/lib/containerd xfs defaults,noatime 0 2' >> /etc/fstab
mountpoint -q /var/lib/containerd || mount /var/lib/containerd
ctr -n k8s.io images import /etc/eks/pause.tar

--BOUNDARY
Content-Type: application/node.eks.aws

apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  instance:
    localStorage:
      strategy: RAID0
      disabledMounts: [Containerd]
--BOUNDARY--
"""
CONFIG = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  featureGates:
    FastImagePull: true
"""
TOML = """\
# both tables
[settings.container-runtime]
snapshotter = "soci"

[settings.bootstrap-commands.k8s-ephemeral-storage]
commands = [
    ["apiclient", "ephemeral-storage", "init"],
    ["apiclient", "ephemeral-storage", "bind", "--dirs", "/var/lib/kubelet", "/mnt/models"],
]
essential = true
mode = "always"
"""


def told(said: UserData) -> list[str]:
    return [f"{fault.code} {fault.line}" for fault in said.faults]


def test_an_archive_has_both_parts() -> None:
    said = user_data(ARCHIVE, systems.AL2023)
    assert said.faults == ()
    (config,) = said.node_configs
    assert config.at("instance", "localStorage", "disabledMounts") == ["Containerd"]
    assert config.line == 16
    (one,) = said.scripts
    mount = one.script.mounted("/var/lib/containerd")
    assert mount is not None
    assert (mount.source, one.outer(mount.line)) == ("/dev/xvdb", 9)
    assert one.outer(one.script.stops_containerd) == 8
    assert one.outer(one.script.keeps_pause) == 11


@pytest.mark.parametrize("text", [CONFIG, f"---\n{CONFIG}", f"# comment\n{CONFIG}"], ids=["bare", "marked", "comment"])
def test_a_bare_node_config(text: str) -> None:
    said = user_data(text, systems.AL2023)
    assert said.faults == ()
    assert said.node_configs[0].at("featureGates", "FastImagePull") is True


def test_a_bare_script() -> None:
    said = user_data("#!/bin/bash\nmount --bind /mnt/a /mnt/b\n", systems.AL2023)
    assert said.faults == ()
    mount = said.scripts[0].script.mounted("/mnt/b")
    assert mount is not None
    assert mount.source == "/mnt/a"


def test_toml() -> None:
    said = user_data(TOML, systems.BOTTLEROCKET)
    assert said.faults == ()
    assert said.settings is not None
    assert said.settings.at("container-runtime", "snapshotter") == "soci"
    assert said.settings.line("container-runtime", "snapshotter") == 3
    assert said.settings.initialises
    (bind,) = said.settings.binds
    assert (bind.directories, bind.line) == (("/var/lib/kubelet", "/mnt/models"), 6)


BAD_ARCHIVES = {
    "empty line first": ("\n" + ARCHIVE, ["N001 1"]),
    "no blank line": (ARCHIVE.replace("eks.aws\n\n", "eks.aws\n"), ["N001 14"]),
    "not closed": (ARCHIVE.replace("--BOUNDARY--", ""), ["N001 22"]),
    "indented boundary": (
        ARCHIVE.replace("\n--BOUNDARY\nContent-Type: app", "\n --BOUNDARY\nContent-Type: app"),
        ["N001 13"],
    ),
    "boundary and more": (
        ARCHIVE.replace("\n--BOUNDARY\nContent-Type: app", "\n--BOUNDARYS\nContent-Type: app"),
        ["N001 13"],
    ),
    "empty part": (
        ARCHIVE.replace("\n--BOUNDARY\nContent-Type: app", "\n--BOUNDARY\n\n--BOUNDARY\nContent-Type: app"),
        ["N001 14"],
    ),
    "other boundary": (ARCHIVE.replace('"BOUNDARY"', '"OTHER"'), ["N001 3"]),
    "no boundary": (ARCHIVE.replace('; boundary="BOUNDARY"', ""), ["N001 2"]),
    "not multipart": (ARCHIVE.replace("multipart/mixed", "text/plain"), ["N001 1"]),
    "a part without a type": (ARCHIVE.replace("Content-Type: application/node.eks.aws\n", "\n"), ["N001 14"]),
    "a type nobody takes": (ARCHIVE.replace("node.eks.aws\n\n", "node.eks.aws+yaml\n\n"), ["N001 16"]),
    "base64": (ARCHIVE.replace("eks.aws\n\n", "eks.aws\nContent-Transfer-Encoding: base64\n\n"), ["N001 17"]),
    "script after an empty line": (ARCHIVE.replace("\n#!/bin", "\n\n#!/bin"), ["N007 7"]),
    "word misspelt": (ARCHIVE.replace("[Containerd]", "[containerd]"), ["N002 22"]),
    "field misspelt": (ARCHIVE.replace("disabledMounts", "disabledMount"), ["N002 22"]),
    "not YAML": (ARCHIVE.replace("strategy: RAID0", "strategy: [RAID0"), ["P002 22"]),
    "twice": (ARCHIVE.replace("strategy: RAID0", "strategy: RAID0\n      strategy: RAID0"), ["P003 22"]),
}


@pytest.mark.parametrize(("text", "found"), BAD_ARCHIVES.values(), ids=BAD_ARCHIVES.keys())
def test_faults_of_archives(text: str, found: list[str]) -> None:
    assert told(user_data(text, systems.AL2023)) == found


def test_a_last_delimiter_at_the_very_end_closes_the_archive() -> None:
    """Go's reader takes it so, and with it Karpenter, whose own example ends like this."""
    said = user_data(ARCHIVE.replace("--BOUNDARY--\n", "--BOUNDARY\n"), systems.AL2023)
    assert (said.faults, len(said.scripts), len(said.node_configs)) == ((), 1, 1)


BAD_CONFIGS = {
    "gate": ("FastImagePull: true", "FastImagePulls: true", ["N002 5"]),
    "gate as text": ("FastImagePull: true", 'FastImagePull: "true"', ["N002 5"]),
    "version": ("v1alpha1", "v1beta1", ["N002 1"]),
    "kind": ("kind: NodeConfig", "kind: NodeConfigs", ["N002 2"]),
    "second document": ("FastImagePull: true", "FastImagePull: true\n---\na: 1", ["N002 7"]),
    "root field": ("spec:", "status: {}\nspec:", ["N002 3"]),
    "strategy": (
        "FastImagePull: true",
        "FastImagePull: true\n  instance: {localStorage: {strategy: raid0}}",
        ["N002 6"],
    ),
    "flags": ("FastImagePull: true", "FastImagePull: true\n  kubelet: {flags: --a}", ["N002 6"]),
    "containerd": ("FastImagePull: true", "FastImagePull: true\n  containerd: {config: 'a ='}", ["N002 6"]),
    "bytes": ("FastImagePull: true", "FastImagePull: true\n  cluster: {certificateAuthority: '!'}", ["N002 6"]),
    "environment": ("FastImagePull: true", "FastImagePull: true\n  instance: {environment: {A: b}}", ["N002 6"]),
    "list": ("  featureGates:\n    FastImagePull: true", "  featureGates: [FastImagePull]", ["N002 4"]),
}


@pytest.mark.parametrize(("old", "new", "found"), BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_faults_of_node_configs(old: str, new: str, found: list[str]) -> None:
    assert old in CONFIG
    assert told(user_data(CONFIG.replace(old, new), systems.AL2023)) == found


BAD_TOML = {
    "syntax": ('"soci"', "soci", ["N003 3"]),
    "not closed": ('mode = "always"', 'mode = "always', ["N003 11"]),
    "unknown table": ("container-runtime]", "container-runtimes]", ["N004 2"]),
    "unknown key": ("snapshotter", "snapshoter", ["N004 3"]),
    "word": ('"soci"', '"stargz"', ["N004 3"]),
    "not below settings": ("[settings.container-runtime]", "[container-runtime]", ["N004 2"]),
    "essential as text": ("essential = true", 'essential = "true"', ["N004 10"]),
    "no apiclient": ('["apiclient", "ephemeral-storage", "init"]', '["mkfs", "/dev/nvme1n1"]', ["N004 6", "N006 6"]),
    "not to be bound": ("/var/lib/kubelet", "/var/lib/models", ["N006 6"]),
    "below the array": ("/mnt/models", "/mnt/.ephemeral/models", ["N006 6"]),
    "dropped": ('mode = "always"', 'mode = "always"\n[settings.kubernetes]\nreserved-cpus = "0"', ["N005 13"]),
}


@pytest.mark.parametrize(("old", "new", "found"), BAD_TOML.values(), ids=BAD_TOML.keys())
def test_faults_of_toml(old: str, new: str, found: list[str]) -> None:
    assert old in TOML
    assert told(user_data(TOML.replace(old, new, 1), systems.BOTTLEROCKET)) == found


@pytest.mark.parametrize(
    ("text", "place"),
    [("a = 1\nb = \n", (2, 5)), ("[settings]\n a = 1\n", (2, 1))],
    ids=["no value", "not known"],
)
def test_places_of_faults_in_toml(text: str, place: tuple[int, int]) -> None:
    (fault,) = user_data(text, systems.BOTTLEROCKET).faults
    assert (fault.line, fault.column) == place


def test_toml_that_is_deep_or_long_is_not_waited_for() -> None:
    for text in ("a" + ".a" * 2001 + " = 1", "a = " + "[" * 20_000, "[settings]\n" + "a = 1\nb = 1\n" * 4000):
        assert user_data(text, systems.BOTTLEROCKET).faults


def test_of_many_faults_fifty_are_told_and_the_rest_counted() -> None:
    text = "[settings]\n" + "".join(f"a{number} = 1\n" for number in range(60))
    faults = user_data(text, systems.BOTTLEROCKET).faults
    assert len(faults) == 51
    assert faults[-1].message == "10 more faults in this user data"


def test_lines_that_are_continued_and_comments() -> None:
    text = "#!/bin/bash\nmount \\\n  /dev/xvdb \\\n  /var/lib/containerd # mount /dev/xvdz /x\n# mount /dev/xvdc /y\n"
    said = user_data(text, systems.AL2023)
    assert [(each.source, each.path, each.line) for each in said.scripts[0].script.mounts] == [
        ("/dev/xvdb", "/var/lib/containerd", 2)
    ]


@pytest.mark.parametrize(
    ("line", "source"),
    [
        ("mount /dev/xvdb /var/lib/containerd", "/dev/xvdb"),
        ("sudo mount -t xfs -o noatime /dev/xvdb /var/lib/containerd", "/dev/xvdb"),
        ("mountpoint -q /var/lib/containerd || mount LABEL=images /var/lib/containerd", "LABEL=images"),
        ('mount "$DEVICE" "/var/lib/containerd"', "$DEVICE"),
        ("printf 'UUID=1-2\\t/var/lib/containerd\\txfs\\tdefaults\\n' >> /etc/fstab", "UUID=1-2"),
        ("What=/dev/xvdb\nWhere=/var/lib/containerd", "/dev/xvdb"),
        ("umount /var/lib/containerd", None),
        ("ls /dev/xvdb /var/lib/containerd", None),
    ],
)
def test_mounts_as_people_write_them(line: str, source: str | None) -> None:
    said = user_data(f"#!/bin/bash\n{line}\n", systems.AL2023)
    mount = said.scripts[0].script.mounted("/var/lib/containerd")
    assert (mount.source if mount else None) == source


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("ctr -n k8s.io images import /etc/eks/pause.tar", True),
        ("ctr --namespace k8s.io images pull registry.k8s.io/pause:3.10", True),
        ("rsync -a /var/lib/containerd/ /mnt/new/", True),
        ("cp -a /var/lib/containerd /mnt/new", True),
        ("ctr -n k8s.io images ls name==localhost/kubernetes/pause:latest", False),
        ("# ctr -n k8s.io images import /etc/eks/pause.tar", False),
        ("sleep 5 # pause:", False),
    ],
)
def test_what_keeps_the_pause_image(line: str, kept: bool) -> None:
    said = user_data(f"#!/bin/bash\n{line}\n", systems.AL2023)
    assert bool(said.scripts[0].script.keeps_pause) is kept


@pytest.mark.parametrize("text", [ARCHIVE, CONFIG, "#!/bin/bash\n"], ids=["archive", "config", "script"])
def test_bottlerocket_takes_toml_alone(text: str) -> None:
    assert told(user_data(text, systems.BOTTLEROCKET)) == ["N003 1"]


def test_a_number_of_thousands_of_digits_is_a_fault_of_the_text() -> None:
    text = f"[settings.kubernetes]\nmax-pods = {'9' * 5000}\n"
    assert told(user_data(text, systems.BOTTLEROCKET)) == ["N003 1"]


def test_too_long_for_ec2() -> None:
    assert told(user_data("#!/bin/bash\n" + "# a\n" * 4096, systems.AL2023)) == ["N001 1"]
    assert told(user_data("#!/bin/bash\n" + '"' * (1 << 20), systems.AL2023)) == ["N001 1"]


def test_lines_of_toml() -> None:
    text = textwrap.dedent(
        '''\
        a.b = """
        [not.a.table]
        """
        [x."y.z"]
        list = [
          "]", # [
          1]
        'q' = {in = 1}
        [[many]]
        n = 1
        '''
    )
    expected = {("a",): 1, ("a", "b"): 1, ("x",): 4, ("x", "y.z"): 4, ("x", "y.z", "list"): 5, ("x", "y.z", "q"): 8}
    assert lines_of(text) == expected | {("many",): 9, ("many", "n"): 10}


TEXTS = st.text(alphabet=st.sampled_from(list(" \n\t:-#=[]{}\"'\\abBOUNDARY/;.<>|&!0")), max_size=200)


@settings(deadline=None)
@given(
    text=st.one_of(TEXTS, st.text(max_size=80)), head=st.sampled_from(["", ARCHIVE, ARCHIVE[:70], CONFIG, TOML, "#!"])
)
def test_whatever_stands_there_is_read_without_an_exception(text: str, head: str) -> None:
    for system in (systems.AL2023, systems.AL2, systems.BOTTLEROCKET, systems.OTHER):
        for whole in (head + text, text + head):
            said = user_data(whole, system)
            assert all(1 <= fault.line <= whole.count("\n") + 1 for fault in said.faults), said.faults


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab\n ", max_size=20), max_size=4))
def test_parts_come_back_with_their_lines(contents: list[str]) -> None:
    archive = 'Content-Type: multipart/mixed; boundary="//"\n\n'
    for content in contents:
        archive += f"--//\nContent-Type: text/x-shellscript\n\n{content}\n"
    archive += "--//--\n"
    found, faults = parts(archive)
    assert [part.text for part in found] == contents or any("empty" in fault.message for fault in faults)
    lines = archive.split("\n")
    for part in found:
        assert part.text.split("\n")[0] == lines[part.line - 1]
