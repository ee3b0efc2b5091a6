"""Node classes and volumes: each code has a small bad file that says what is found where, and a good twin."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.lint.lint import Report, review
from webhook.lint.node_lustre import rounded
from webhook.lint.node_review import CODES
from webhook.policy.problem import CODES as READING_CODES
from webhook.policy.problem import Source

HERE = Path(__file__).parent
BAD = sorted((HERE / "bad" / "nodes").glob("*.yaml"))
GOOD = sorted((HERE / "good" / "nodes").glob("*.yaml"))
RECIPES = sorted((HERE.parents[1] / "manifests" / "eks").glob("*/kustomization.yaml"))


def looked_at(name: str, text: str) -> Report:
    """The review of a file whose policies and other documents are told apart, each with its own lines."""
    documents = text.split("---\n")
    own = ["warmpod.dev/" in each for each in documents]
    empty = ["\n" * each.count("\n") for each in documents]
    policies, nodes = (
        "---\n".join(
            each if wanted is is_own else blank for each, blank, is_own in zip(documents, empty, own, strict=True)
        )
        for wanted in (True, False)
    )
    return review([Source(name, policies)] if any(own) else [], nodes=[Source(name, nodes)])


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_what_is_found(path: Path) -> None:
    text = path.read_text()
    expected = text.partition("\n")[0].removeprefix("# finds: ").split(", ")
    report = looked_at(path.name, text)
    assert [f"{each.code} {each.line}:{each.column}" for each in report.problems] == expected
    for each in report.problems:
        assert each.hint or each.code in READING_CODES, each


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_the_good_twin_is_silent(path: Path) -> None:
    report = looked_at(path.name, path.read_text())
    assert report.problems == ()
    assert report.nodes.documents


def test_each_bad_file_has_its_twin_and_each_code_a_bad_file() -> None:
    assert [path.name for path in BAD] == [path.name for path in GOOD]
    found = {code for path in BAD for code in re.findall(r"N\d{3}", path.read_text().partition("\n")[0])}
    assert sorted(CODES) == sorted(found)


def test_twins_differ_by_little() -> None:
    for bad, good in zip(BAD, GOOD, strict=True):
        changed = [
            line
            for line in difflib.ndiff(good.read_text().split("\n"), bad.read_text().split("\n")[1:])
            if line[0] in "+-"
        ]
        assert 1 <= len(changed) <= 10, bad.name


def test_places_are_in_the_text() -> None:
    for path in BAD:
        lines = path.read_text().split("\n")
        for line, column in re.findall(r"[NP]\d{3} (\d+):(\d+)", lines[0]):
            assert 1 <= int(column) <= len(lines[int(line) - 1]) + 1, path.name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_recipes_are_clean(path: Path) -> None:
    files = [each for each in path.parent.glob("*.yaml") if each.name != "kustomization.yaml"]
    policies = [path.parent / "policies" / "policy.yaml"]
    report = review(
        [Source(str(each), each.read_text()) for each in policies if each.exists()],
        nodes=[Source(str(each), each.read_text()) for each in files],
    )
    assert report.problems == ()


def test_a_comment_silences_a_finding_in_user_data() -> None:
    text = (HERE / "bad" / "nodes" / "store-without-pause.yaml").read_text()
    marked = text.replace("  userData: |", "  # warmpod-lint: ignore N016 -- the snapshot has it\n  userData: |")
    report = looked_at("nodes.yaml", marked)
    assert report.problems == ()
    assert [(each.problem.code, each.reason) for each in report.ignored] == [("N016", "the snapshot has it")]


def test_a_comment_that_is_not_needed_is_a_finding() -> None:
    text = (HERE / "good" / "nodes" / "store-without-pause.yaml").read_text()
    marked = text.replace("  userData: |", "  # warmpod-lint: ignore N016 -- the snapshot has it\n  userData: |")
    assert [each.code for each in looked_at("nodes.yaml", marked).problems] == ["W020"]


def test_lines_are_of_the_outer_file_however_the_text_is_written() -> None:
    toml = '[settings.container-runtime]\nsnapshoter = "soci"\n'
    head = (HERE / "good" / "nodes" / "settings-not-known.yaml").read_text().partition("  userData")[0]
    line = head.count("\n") + 1
    block = "".join(f"      {each}\n" for each in toml.splitlines())
    places = {
        "literal": (f"  userData: |\n{block}", line + 2),
        "indented": (f"  userData: |2-\n{block}".replace("|2-", "|4-"), line + 2),
        "quoted": (f"  userData: {toml!r}\n".replace("'", '"').replace('"soci"', "'soci'"), line),
    }
    for name, (written, expected) in places.items():
        (found,) = looked_at("nodes.yaml", head + written).problems
        assert (found.code, found.line) == ("N004", expected), name


def test_what_other_people_write_in_the_same_file_is_passed_over() -> None:
    other = "apiVersion: example.com/v1\nkind: Thing\nspec: {answer: 017, <<: {}, a: 1, a: 2}\n---\n"
    text = (HERE / "good" / "nodes" / "mountpoint-prefix.yaml").read_text()
    report = looked_at("nodes.yaml", f"{other}{text}---\n{other}")
    assert report.problems == ()
    assert [each.kind for each in report.nodes.documents] == ["PersistentVolume", "PersistentVolumeClaim"]


def test_a_list_is_taken_apart() -> None:
    text = (HERE / "bad" / "nodes" / "mountpoint-class.yaml").read_text().partition("\n")[2]
    items = "".join(f"{'  - ' if number == 0 else '    '}{line}\n" for number, line in enumerate(text.splitlines()))
    report = looked_at("nodes.yaml", f"apiVersion: v1\nkind: List\nitems:\n{items}")
    assert [(each.code, each.line, each.column) for each in report.problems] == [("N045", 7, 18)]


def test_the_same_volume_in_two_files_is_one_volume() -> None:
    text = (HERE / "good" / "nodes" / "mountpoint-prefix.yaml").read_text()
    other = text.replace("bucketName: models", "bucketName: models\n      mountpointEnv.HTTPS_PROXY: proxy:3128")
    assert review([], nodes=[Source("a.yaml", text), Source("b.yaml", other)]).problems == ()


@pytest.mark.parametrize("way", ["volumeName", "claimRef"])
def test_a_claim_is_known_by_either_end(way: str) -> None:
    text = (HERE / "bad" / "nodes" / "mountpoint-claim-of-another-class.yaml").read_text()
    line = "  volumeName: models\n" if way == "claimRef" else "  claimRef: {namespace: serving, name: models}\n"
    assert line in text
    assert [each.code for each in looked_at("a.yaml", text.replace(line, "")).problems] == ["N041"]
    apart = text.replace("  volumeName: models\n", "").replace(
        "namespace: serving, name: models}", "namespace: x, name: y}"
    )
    assert looked_at("a.yaml", apart).problems == ()


@pytest.mark.parametrize(
    ("size", "deployment", "storage", "throughput", "expected"),
    [
        (1, "SCRATCH_1", "SSD", "", 1200),
        (3600, "SCRATCH_1", "SSD", "", 3600),
        (2400, "SCRATCH_2", "SSD", "", 2400),
        (1200, "", "SSD", "", 1200),
        (1201, "", "SSD", "", 2400),
        (3599, "SCRATCH_1", "SSD", "", 3600),
        (3601, "SCRATCH_1", "SSD", "", 7200),
        (2399, "SCRATCH_2", "SSD", "", 2400),
        (2401, "PERSISTENT_2", "SSD", "125", 4800),
        (1801, "PERSISTENT_1", "HDD", "40", 3600),
        (1801, "PERSISTENT_1", "HDD", "12", 6000),
    ],
)
def test_sizes_that_fsx_makes(size: int, deployment: str, storage: str, throughput: str, expected: int) -> None:
    assert rounded(size, deployment, storage, throughput) == expected


def test_a_claim_of_a_volume_that_is_there_is_not_rounded() -> None:
    text = (HERE / "bad" / "nodes" / "lustre-size.yaml").read_text()
    assert (
        looked_at("a.yaml", text.replace("storageClassName: fsx", "storageClassName: fsx\n  volumeName: a")).problems
        == ()
    )


def test_a_volume_without_a_class_is_of_none() -> None:
    text = (HERE / "good" / "nodes" / "mountpoint-prefix.yaml").read_text()
    first = text.replace('  storageClassName: ""\n', "", 1)
    assert first != text
    assert looked_at("a.yaml", first).problems == ()


@pytest.mark.parametrize(
    "change", [("name: gpu}\n      req", "name: cpu}\n      req"), ("EC2NodeClass, name", "NodeClass, name")]
)
def test_a_pool_of_another_node_class_is_not_blamed(change: tuple[str, str]) -> None:
    text = (HERE / "bad" / "nodes" / "pool-without-local-disks.yaml").read_text()
    assert change[0] in text
    assert looked_at("a.yaml", text.replace(*change)).problems == ()


def test_families_of_instances() -> None:
    text = (HERE / "bad" / "nodes" / "pool-without-local-disks.yaml").read_text()
    old = "{key: karpenter.sh/capacity-type, operator: In, values: [spot]}"
    assert old in text

    def told(*requirements: str) -> list[str]:
        lines = "\n        - ".join(requirements)
        return [each.message for each in looked_at("a.yaml", text.replace(old, lines)).problems]

    family, kind = "karpenter.k8s.aws/instance-family", "node.kubernetes.io/instance-type"
    assert told(f"{{key: {family}, operator: In, values: [g5, g6]}}") == []
    assert (
        "inf2.24xlarge, inf2.48xlarge, inf2.8xlarge and others of this pool"
        in told(f"{{key: {family}, operator: In, values: [g5, inf2]}}")[0]
    )
    assert told(f"{{key: {family}, operator: In, values: [g5, m7gd]}}") == []  # not an accelerator's: not known
    both = (
        f"{{key: {family}, operator: In, values: [g5, inf2]}}",
        f"{{key: {kind}, operator: In, values: [g5.xlarge]}}",
    )
    assert told(*both) == told(*reversed(both)) == []
    assert told("{key: eks.amazonaws.com/instance-local-nvme, operator: Exists}") == []
    assert told("{key: karpenter.k8s.aws/instance-local-nvme, operator: Lt, values: ['9']}") != []


def test_parallel_pulls_need_their_own_directory_on_local_disks_and_no_other() -> None:
    text = (HERE / "bad" / "nodes" / "soci-default-throughput.yaml").read_text()
    command = (
        "    [settings.bootstrap-commands.disks]\n"
        '    commands = [["apiclient", "ephemeral-storage", "init"],'
        ' ["apiclient", "ephemeral-storage", "bind", "--dirs", "{}"]]\n'
    )
    assert looked_at("a.yaml", text + command.format("/var/lib/soci-snapshotter")).problems == ()
    found = looked_at("a.yaml", text + command.format("/var/lib/containerd")).problems
    assert [each.code for each in found] == ["N011"]


WORDS = st.sampled_from(
    [
        "spec",
        "userData",
        "blockDeviceMappings",
        "ebs",
        "deviceName",
        "csi",
        "driver",
        "s3.csi.aws.com",
        "RAID0",
        "/dev/xvdb",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_the_fields_hold_nothing_is_raised(data: st.DataObject) -> None:
    """A good document in which some field holds anything."""
    path = data.draw(st.sampled_from(GOOD))
    documents = [each for each in yaml.safe_load_all(path.read_text()) if "warmpod.dev" not in each["apiVersion"]]
    document = data.draw(st.sampled_from(documents))
    holder = document
    for _ in range(data.draw(st.integers(0, 5))):
        below = [
            each for each in (holder.values() if isinstance(holder, dict) else holder) if isinstance(each, dict | list)
        ]
        if not [each for each in below if each]:
            break
        holder = data.draw(st.sampled_from([each for each in below if each]))
    key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))))
    holder[key] = data.draw(VALUES)
    review([], nodes=[Source("nodes.yaml", "---\n".join(json.dumps(each) + "\n" for each in documents))])
