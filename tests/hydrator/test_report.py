"""The last words: no longer than what a kubelet keeps, whatever there is to say, and believed by the controller."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from webhook.hydrator import report
from webhook.hydrator.report import Gone, Report, Stock
from webhook.hydrator.request import directory_of
from webhook.inventory.report import Report as Read
from webhook.inventory.report import read


def believed(message: bytes) -> Read:
    found = read(message.decode("ascii"))
    assert isinstance(found, Read), found
    return found


def stock(source: str, size: int = 5, *, cache: str = "nvme", tenant: str = "serving", checked: bool = False) -> Stock:
    return Stock(cache, tenant, source, directory_of(source), "0" * 32, size, checked)


SOURCES = st.one_of(
    st.text(max_size=2000),
    st.from_regex(r"s3://[a-z0-9.-]{3,63}/[A-Za-z0-9_.=+@,~:!/-]{0,900}", fullmatch=True),
    st.sampled_from(
        ["s3://b/", "s3://" + "b/" * 600, 's3://b/"}],"models":[', "s3://b/\ud800", "file:///", "s3://b/\0"]
    ),
)
NAMES = st.one_of(st.sampled_from(["nvme", "", "serving"]), st.text(max_size=300))
STOCKS = st.lists(
    st.builds(
        Stock,
        cache=NAMES,
        tenant=NAMES,
        source=SOURCES,
        directory=st.one_of(st.just("0123456789abcdef"), st.text(max_size=20)),
        version=st.text(max_size=100),
        bytes=st.integers(-1, 2**70),
        checked=st.booleans(),
    ),
    max_size=8,
)
FACTS = st.dictionaries(
    st.sampled_from(["message", "seconds", "reason"]), st.one_of(st.text(max_size=5000), st.floats(), st.integers())
)


@given(
    result=st.sampled_from(["hit", "downloaded", "error"]),
    stocks=st.none() | st.tuples(STOCKS, st.integers(0, 60)).map(lambda pair: pair[0] * pair[1]),
    filler=st.integers(0, 300),
    evicted=st.lists(st.builds(Gone, NAMES, NAMES, SOURCES, st.text(max_size=20)), max_size=5),
    caches=st.lists(NAMES, max_size=60),
    facts=FACTS,
)
def test_any_report_is_short_and_believed(
    *,
    result: str,
    stocks: list[Stock] | None,
    filler: int,
    evicted: list[Gone],
    caches: list[str],
    facts: dict[str, Any],
) -> None:
    if stocks is not None:
        stocks = stocks + [stock(f"s3://b/{number}/") for number in range(filler)]
    message = report.encode(Report(result, stocks, evicted, caches, facts))
    assert len(message) <= 4096
    assert message.count(b"\n") == 0
    found = believed(message)
    assert found.result == result
    if stocks is not None and found.omitted is not None:
        assert found.omitted == len(set(stocks)) - len(found.models)
        if found.omitted == 0:
            assert {one.source for one in found.models} == {one.source for one in stocks}


def test_what_is_said_is_what_is_read() -> None:
    models = [stock("s3://b/m/", checked=True), stock("s3://b/all/", cache="efs", tenant="")]
    evicted = [Gone("nvme", "serving", "s3://b/old/", directory_of("s3://b/old/"))]
    message = report.encode(Report("downloaded", models, evicted, ["nvme", "efs"], {"seconds": 1.5}))
    told = json.loads(message)
    assert told["seconds"] == 1.5
    assert not any("directory" in one for one in told["models"] + told["evicted"])
    found = believed(message)
    assert (found.omitted, found.caches) == (0, ("efs", "nvme"))
    assert [one.cache for one in found.models] == ["nvme", "efs"]
    assert [one.cache for one in found.evicted] == ["nvme"]
    assert {(one.source, one.tenant, one.version, one.bytes, one.checked) for one in found.models} == {
        ("s3://b/m/", "serving", "0" * 32, 5, True),
        ("s3://b/all/", "", "0" * 32, 5, False),
    }
    assert [(one.source, one.tenant) for one in found.evicted] == [("s3://b/old/", "serving")]


def test_some_files_of_a_source_are_told_by_their_directory() -> None:
    some = stock("s3://b/m/")._replace(directory="ac194a9317b224ac")
    found = believed(report.encode(Report("hit", [some], [Gone(*some[:4])], ["nvme"])))
    assert found.models[0].directory == found.evicted[0].directory == "ac194a9317b224ac"


def test_models_of_this_run_come_first_then_what_is_gone_then_the_biggest() -> None:
    others = [stock(f"s3://b/{number:04}/{'x' * 60}/", 1000 + number) for number in range(100)]
    own = stock("s3://b/own/", 1, checked=True)
    gone = Gone("nvme", "serving", "s3://b/gone/", directory_of("s3://b/gone/"))
    found = believed(report.encode(Report("downloaded", [*others, own], [gone], ["nvme"], {"message": "x" * 9000})))
    assert found.models[0].source == "s3://b/own/"
    assert [one.bytes for one in found.models[1:]] == [1099 - place for place in range(len(found.models) - 1)]
    assert found.omitted == 101 - len(found.models) > 0
    assert len(found.evicted) == 1


def test_a_list_is_never_called_whole_for_no_cache_or_when_nothing_could_be_read() -> None:
    assert believed(report.encode(Report("error", None, (), ["nvme"]))).omitted is None
    assert believed(report.encode(Report("hit", [], (), []))).omitted is None
    assert believed(report.encode(Report("hit", [], (), ["nvme"]))).omitted == 0


def test_it_replaces_what_was_said_before(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("x" * 5000)
    assert report.write(str(path), b'{"schema":1}') == ""
    assert path.read_text() == '{"schema":1}'


def test_where_it_cannot_be_written_says_so(tmp_path: Path) -> None:
    assert "Is a directory" in report.write(str(tmp_path), b"{}")
    assert report.write("a\0b", b"{}") != ""
    os.mkfifo(tmp_path / "fifo")
    assert "No such device" in report.write(str(tmp_path / "fifo"), b"{}")
