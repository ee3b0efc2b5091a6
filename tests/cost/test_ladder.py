from __future__ import annotations

import pytest

from webhook.cost.ladder import COLD, RUNGS, STOCK, WARM
from webhook.cost.seconds import line_rate
from webhook.cost.situation import Engine, Node, Workload

G6 = Node(line_rate(5), line_rate(10), line_rate(5), 0.0, 1, 8, 32 << 30)
VLLM = Workload(9_400_000_000, 16_400_000_000)


def test_every_way_has_a_name_of_its_own() -> None:
    assert len({rung.name for rung in RUNGS}) == len(RUNGS)


def test_a_warm_node_saves_what_the_image_and_the_model_take() -> None:
    stock, cold, warm = (rung.climb(VLLM, G6).seconds for rung in (STOCK, COLD, WARM))
    assert stock - cold == pytest.approx(50)  # a node less
    assert 200 < cold - warm < cold
    assert min(rung.climb(VLLM, G6).seconds for rung in RUNGS) == RUNGS[-1].climb(VLLM, G6).seconds


@pytest.mark.parametrize("engine", [Engine.EAGER, Engine.NONE])
def test_an_engine_that_does_not_compile_has_no_use_for_a_cache(engine: Engine) -> None:
    *_, streamed, cached = RUNGS
    assert streamed.climb(VLLM, G6, engine=engine).seconds == cached.climb(VLLM, G6, engine=engine).seconds
    assert streamed.climb(VLLM, G6).seconds > cached.climb(VLLM, G6).seconds
