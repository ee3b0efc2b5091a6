"""Nodes whose labels are not what they should be, those with most to gain first."""

from __future__ import annotations

from bisect import bisect_left, insort


class Backlog:
    """Names of nodes by what they gain, in bytes; to change one does not sort them all."""

    def __init__(self) -> None:
        self._gains: dict[str, int] = {}
        self._ordered: list[tuple[int, str]] = []

    def put(self, node: str, gain: int) -> None:
        """The node is behind, by so many bytes of artifacts that it holds without a label."""
        if self._gains.get(node) != gain:
            self.remove(node)
            self._gains[node] = gain
            insort(self._ordered, (-gain, node))

    def remove(self, node: str) -> None:
        """The node is not behind."""
        gain = self._gains.pop(node, None)
        if gain is not None:
            del self._ordered[bisect_left(self._ordered, (-gain, node))]

    def names(self) -> list[str]:
        """All that are behind, most bytes first."""
        return [node for _, node in self._ordered]
