"""docs/when-it-helps.md is what the model computes, and what its words claim holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.cost.cases import CASES, EMBEDDING, LLAMA, SNAPSHOT, Case
from tests.cost.page import page
from webhook.cost.ladder import COLD, EQUIPPED, RUNGS, STOCK, WARM
from webhook.cost.start import start

PAGE = Path(__file__).parents[2] / "docs" / "when-it-helps.md"


def test_the_page_is_the_models() -> None:
    assert PAGE.read_text() == page(), "python -m tests.cost.page > docs/when-it-helps.md"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} on {case.type}")
def test_a_warm_node_loses_to_no_other_of_its_reader(case: Case) -> None:
    warm = case.climb(WARM).seconds
    assert all(warm <= case.climb(rung).seconds + 3 for rung in (STOCK, COLD, EQUIPPED))


def test_the_claims() -> None:
    """Each stands as a sentence on the page; a figure that moves must not make it false."""
    one, eight = (
        start(LLAMA.workload, dataclasses.replace(LLAMA.node, disks=disks), WARM.techniques).seconds for disks in (1, 8)
    )
    assert EMBEDDING.climb(COLD).seconds - EMBEDDING.climb(WARM).seconds < 30
    assert one == eight
    assert LLAMA.climb(SNAPSHOT).seconds > LLAMA.climb(STOCK).seconds
    init = LLAMA.climb(WARM).phases[-1]
    assert init.seconds > LLAMA.climb(WARM).seconds / 2
    assert LLAMA.climb(RUNGS[-1]).seconds < LLAMA.climb(WARM).seconds / 2
