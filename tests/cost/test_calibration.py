"""What was published of starts and their parts, against what the model says of them (tests/cost/points.py).

The likely value has to come as near as the point says, and what was published has to lie between the best and the worst
case, widened by `_SLACK` on each side: the published conditions leave much open.
"""

from __future__ import annotations

import pytest

from tests.cost.points import POINTS, Point
from webhook.cost.figures import Assumed
from webhook.cost.start import start

_SLACK = 0.05


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_published(point: Point) -> None:
    found = start(point.workload, point.node, point.techniques, Assumed(given=point.given))
    if point.tolerance:
        assert found.seconds == pytest.approx(point.published, rel=point.tolerance)
    else:
        assert 0 < found.seconds <= point.published  # "under five seconds" is all that was published
    assert found.best * (1 - _SLACK) <= point.published <= found.worst * (1 + _SLACK)
