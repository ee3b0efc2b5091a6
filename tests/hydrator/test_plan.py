"""What a source lists becomes one tree below a directory, or a sentence that says which name cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import File, Filters, Plan, make

SOURCE = "s3://acme-models/llama/"


def file(path: str, size: int = 1, etag: str = '"e"') -> File:
    return File(path, size, etag, f"llama/{path}")


def paths(plan: Plan) -> list[str]:
    return [entry.path for entry in plan.files]


def test_files_stand_in_the_order_of_their_paths_whatever_the_listing() -> None:
    plan = make(SOURCE, [file("b/c"), file("a"), file("b.txt"), file("b/a", 5)], Filters())
    assert paths(plan) == ["a", "b.txt", "b/a", "b/c"]
    assert plan.bytes == 8


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../x", "'..' between slashes"),
        ("a/../../x", "'..' between slashes"),
        ("a/./x", "'.' between slashes"),
        ("/etc/passwd", "begins with a slash"),
        ("a//b", "an empty name"),
        ("a/b/", "an empty name"),
        ("a\0b", "a NUL"),
        ("x" * 256, "longer than 255 bytes"),
        ("é" * 128, "longer than 255 bytes"),
        ("/".join(["d" * 200] * 20), "longer than 3840 bytes"),
        ("", "an empty name"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_name_that_cannot_be_a_file_is_refused_by_name(path: str, why: str) -> None:
    with pytest.raises(HydrationError) as caught:
        make(SOURCE, [file("good"), file(path)], Filters())
    assert caught.value.exit_code is Exit.UNSAFE
    assert why in caught.value.message
    assert "--exclude" in caught.value.hint
    assert len(caught.value.message) < 500


def test_names_that_only_look_odd_are_kept() -> None:
    odd = ["..a", "a..", "...", "a b", "a\nb", "-rf", "~", "$(x)", "A", "a", "\udcff", "e\u0301", "\u00e9"]
    assert sorted(odd) == paths(make(SOURCE, [file(name) for name in odd], Filters()))


def test_a_file_that_is_also_a_directory_is_refused() -> None:
    with pytest.raises(HydrationError, match=r"'llama/a' is a file, and others lie below it"):
        make(SOURCE, [file("a"), file("a/b/c")], Filters())
    with pytest.raises(HydrationError, match=r"'llama/a/b' is a file"):
        make(SOURCE, [file("a/b/c"), file("a/b")], Filters())
    assert paths(make(SOURCE, [file("a"), file("a/b/c")], Filters(exclude=("a/b/*",)))) == ["a"]


def test_a_name_listed_twice_is_refused() -> None:
    with pytest.raises(HydrationError, match="listed twice"):
        make(SOURCE, [file("a"), file("a", 2)], Filters())


def test_markers_of_directories_are_passed_over() -> None:
    assert paths(make(SOURCE, [file("", 0), file("a/", 0), file("a/b", 0)], Filters())) == ["a/b"]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (Filters(), ["a/m.bin", "a/m.safetensors", "b/m.bin", "config.json"]),
        (Filters(include=("*.json",)), ["config.json"]),
        (Filters(include=("a/*",)), ["a/m.bin", "a/m.safetensors"]),
        (Filters(include=("a/*",), exclude=("*.bin",)), ["a/m.safetensors"]),
        (Filters(prefer_safetensors=True), ["a/m.safetensors", "b/m.bin", "config.json"]),
        (Filters(exclude=("*.safetensors",), prefer_safetensors=True), ["a/m.bin", "b/m.bin", "config.json"]),
        (Filters(include=("*.JSON",)), []),
    ],
    ids=["all", "include", "directory", "both", "safetensors", "excluded first", "case"],
)
def test_filters(filters: Filters, left: list[str]) -> None:
    listed = [file(name) for name in ["config.json", "a/m.bin", "a/m.safetensors", "b/m.bin"]]
    if left:
        assert paths(make(SOURCE, listed, filters)) == left
    else:
        with pytest.raises(HydrationError, match="none of its 4 files is left") as caught:
            make(SOURCE, listed, filters)
        assert caught.value.exit_code is Exit.NOT_FOUND


def test_an_empty_source_is_not_found() -> None:
    with pytest.raises(HydrationError, match="it is empty") as caught:
        make(SOURCE, [file("a/", 0)], Filters())
    assert caught.value.exit_code is Exit.NOT_FOUND


names = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["..", ".", "", "a", "a/b", "a/../b", "/"])


@given(st.lists(st.builds(file, st.lists(names, max_size=4).map("/".join), st.integers(0, 9)), max_size=8))
def test_whatever_is_listed_a_plan_stays_below_its_directory_or_is_refused(listed: list[File]) -> None:
    try:
        plan = make(SOURCE, listed, Filters())
    except HydrationError as error:
        assert error.exit_code in {Exit.UNSAFE, Exit.NOT_FOUND}  # noqa: PT017 - the other way out is no error
        return
    wanted = paths(plan)
    assert len(set(wanted)) == len(wanted)
    for path in wanted:
        assert os.path.normpath(f"/tree/{path}") == f"/tree/{path}"
        assert not any(other.startswith(f"{path}/") for other in wanted)


@given(st.lists(st.builds(file, st.sampled_from("abcdef"), st.integers(0, 9), st.sampled_from("xyz")), min_size=1))
def test_a_version_tells_contents_apart_and_nothing_else(listed: list[File]) -> None:
    unique = list({entry.path: entry for entry in listed}.values())
    plan = make(SOURCE, unique, Filters())
    assert plan.version == make("s3://elsewhere/", reversed(unique), Filters()).version
    first = plan.files[0]
    for changed in (first._replace(size=first.size + 1), first._replace(etag="w"), first._replace(path="g")):
        other = Plan(SOURCE, (changed, *plan.files[1:]))
        assert other.version != plan.version
        assert other != plan
        assert Plan(SOURCE, plan.files) == plan
        assert hash(Plan(SOURCE, plan.files)) == hash(plan)


def test_a_plan_can_be_written_to_a_real_directory(tmp_path: Path) -> None:
    plan = make(SOURCE, [file("a\nb/" + "x" * 255), file("\udcff"), file("é/è")], Filters())
    for entry in plan.files:
        target = tmp_path / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"x" * entry.size)
    assert sum(len(found) for _, _, found in os.walk(tmp_path)) == 3
