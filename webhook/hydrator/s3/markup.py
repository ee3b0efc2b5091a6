"""XML as S3 answers it: elements and text, nothing that expands. Built on expat, which reads hostile text safely.

A document type is refused, so there are no entities; depth is bounded, and so is the text, by whoever received it.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.parsers import expat

_MAX_DEPTH = 32


class NotXml(ValueError):
    """The text is not XML of the kind that S3 answers."""


def read(data: bytes, ended: Callable[[str, str, str], None]) -> None:
    """Call `ended(parent, name, text)` at the end of every element, `text` being what it holds outside of others.

    Parents come after their children; the parent of the outermost is "". NotXml.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    names: list[str] = [""]
    texts: list[str] = [""]

    def start(name: str, _: object) -> None:
        if len(names) > _MAX_DEPTH:
            raise NotXml("elements nested too deep")
        names.append(name)
        texts.append("")

    def end(name: str) -> None:
        names.pop()
        ended(names[-1], name, texts.pop())

    def text(data: str) -> None:
        texts[-1] += data

    def doctype(*_: object) -> None:
        raise NotXml("a document type")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise NotXml(str(error)) from None
