"""What lies below a prefix of the bench's server, by the standard library."""

from __future__ import annotations

import os
import ssl
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote
from xml.etree import ElementTree as ET

_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def keys(url: str, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Keys and sizes. The authority of an https URL is read from the file that CA names."""
    context = ssl.create_default_context(cafile=os.environ["CA"]) if url.startswith("https") else None
    token = ""
    while True:
        query = f"list-type=2&prefix={quote(prefix, safe='')}" + (
            f"&continuation-token={quote(token)}" if token else ""
        )
        with urllib.request.urlopen(f"{url}/{bucket}?{query}", context=context) as answer:
            page = ET.fromstring(answer.read())
        for entry in page.iter(f"{_NAMESPACE}Contents"):
            yield entry.findtext(f"{_NAMESPACE}Key", ""), int(entry.findtext(f"{_NAMESPACE}Size", "0"))
        token = page.findtext(f"{_NAMESPACE}NextContinuationToken", "")
        if not token:
            return
