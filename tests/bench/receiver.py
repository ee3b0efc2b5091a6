"""The floor of a controller: lists nodes and watches them over TLS, and throws the bytes away as they come.

Whoever watches must at least do this. One argument each: address, file with the authority, file with the token.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from pathlib import Path


def main() -> None:
    """Read until the connection ends."""
    address, authority, token = sys.argv[1:]
    host, _, port = address.removeprefix("https://").partition(":")
    connection = http.client.HTTPSConnection(host, int(port), context=ssl.create_default_context(cafile=authority))
    headers = {"Authorization": f"Bearer {Path(token).read_text()}", "Accept": "application/json"}
    connection.request("GET", "/api/v1/nodes?limit=1", headers=headers)
    version = json.loads(connection.getresponse().read())["metadata"]["resourceVersion"]
    connection.request("GET", f"/api/v1/nodes?watch=1&resourceVersion={version}", headers=headers)
    answer = connection.getresponse()
    print("watching", flush=True)
    while answer.read1(65_536):
        pass


if __name__ == "__main__":
    main()
