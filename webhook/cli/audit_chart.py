"""The pictures of the audit's page, as SVG that stands in it: a histogram of seconds, and a bar in a table's cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from webhook.cli.audit_words import short, span
from webhook.report.spread import Bar

_WIDTH: Final = 920
_HEIGHT: Final = 240
_LEFT: Final = 48
_TOP: Final = 28
_BOTTOM: Final = 44
_LINES: Final = 4
_METER: Final = 130
_MOST_LABELS: Final = 12
_LABEL: Final = 52
_WIDEST: Final = 96  # one bar alone is no wall


def histogram(bars: Sequence[Bar]) -> str:
    """How many pods there are for how many seconds. The bar without an end is of another colour."""
    most = max(bar.values for bar in bars)
    step = _step(most)
    top = -(-most // step) * step
    room, width = _HEIGHT - _TOP - _BOTTOM, min((_WIDTH - _LEFT) / len(bars), _WIDEST)
    floor = _TOP + room
    parts = []
    for value in range(0, top + 1, step):
        y = floor - room * value / top
        parts.append(f'<line class="axis" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>')
    every = -(-len(bars) // _MOST_LABELS)
    crowded = len(bars) - 1 - every if bars[-1].high is None else len(bars)  # the last bar's mark stands before it
    for place, bar in enumerate(bars):
        x = _LEFT + width * place
        height = max(room * bar.values / top, 1.5 if bar.values else 0)
        kind = "bar" if bar.high is not None else "rest"
        gap = min(2.0, width / 8)
        parts.append(
            f'<rect class="{kind}" x="{x + gap:.1f}" y="{floor - height:.1f}" width="{width - 2 * gap:.1f}" '
            f'height="{height:.1f}" rx="1.5"><title>{told(bar)}: {bar.values:,}</title></rect>'
        )
        if bar.high is None:
            parts.append(f'<text x="{_WIDTH}" y="{floor + 16}" text-anchor="end">{short(bar.low)}+</text>')
        elif place % every == 0 and place < crowded:
            # A label that would leave the picture on the right ends with it.
            at = f'x="{x:.1f}"' if x + _LABEL <= _WIDTH else f'x="{_WIDTH}" text-anchor="end"'
            parts.append(f'<text {at} y="{floor + 16}">{short(bar.low)}</text>')
    parts.append(f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">time saved for a pod</text>')
    parts.append('<text x="0" y="11">pods</text>')
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Histogram: pods by seconds saved">{"".join(parts)}</svg>'
    )


def meter(done: float, would: float, most: float) -> str:
    """A bar of what is saved and what is to gain, as parts of the most that any has."""
    if most <= 0:
        return ""
    first = _METER * min(max(done, 0.0) / most, 1.0)
    second = min(_METER * max(would, 0.0) / most, _METER - first)
    return (
        f'<svg class="meter" viewBox="0 0 {_METER} 6" width="{_METER}" height="6" aria-hidden="true">'
        f'<rect class="bg" width="{_METER}" height="6" rx="3"/><rect class="d" width="{first:.1f}" height="6" rx="2"/>'
        f'<rect class="w" x="{first:.1f}" width="{second:.1f}" height="6" rx="2"/></svg>'
    )


def told(bar: Bar) -> str:
    """`60 s to 70 s`, or `10 min and more`."""
    return f"{span(bar.low)} and more" if bar.high is None else f"{span(bar.low)} to {span(bar.high)}"


def _step(most: int) -> int:
    """The least round number that makes at most four steps to `most`."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if most <= factor * size * _LINES:
                return factor * size
        size *= 10
