"""Whether a host is asked through a proxy: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as curl reads them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple

from webhook.hydrator.outcome import Exit, HydrationError


class Proxy(NamedTuple):
    """An HTTP proxy. Its password is in `authorization`, and shown nowhere."""

    host: str
    port: int
    authorization: str
    """Header line with its CRLF; "" without a user."""

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}"


def proxy_for(environ: Mapping[str, str], *, tls: bool, host: str, port: int) -> Proxy | None:
    """The proxy that the environment names for a host, if any. HydrationError USAGE when it cannot be one."""
    name = "HTTPS_PROXY" if tls else "HTTP_PROXY"
    text = ""
    for candidate in (name.lower(), name, "all_proxy", "ALL_PROXY"):
        if environ.get(candidate):
            name, text = candidate, environ[candidate].strip()
            break
    if not text or _excepted(environ.get("no_proxy") or environ.get("NO_PROXY") or "", host, port):
        return None
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415 - milliseconds, for those who have a proxy

    hint = f"{name} looks like http://proxy.example:3128"
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        proxy, proxy_port = url.hostname or "", url.port or 3128 if url.scheme != "http" else url.port or 80
    except ValueError:
        raise HydrationError(Exit.USAGE, f"{name} cannot be read", hint) from None  # it may hold a password
    if url.scheme != "http" or not proxy:
        raise HydrationError(Exit.USAGE, f"{name} names a proxy of the kind {url.scheme!r}: only http is known", hint)
    if url.username is None:
        return Proxy(proxy, proxy_port, "")
    user = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
    return Proxy(proxy, proxy_port, f"proxy-authorization:Basic {b64encode(user).decode()}\r\n")


def _excepted(no_proxy: str, host: str, port: int) -> bool:
    """Whether NO_PROXY names the host: `*`, a name or a parent of it, an address or network; with a port or without."""
    host = host.lower().rstrip(".")
    for item in no_proxy.lower().replace(",", " ").split():
        name, number = item, ""
        if item.count(":") == 1 or item.startswith("["):
            name, _, number = item.rpartition(":") if not item.endswith("]") else (item, "", "")
        if number and number != str(port):
            continue
        name = name.strip("[]").lstrip("*.") if name != "*" else name
        if name in {"*", host} or (name and host.endswith(f".{name}")) or ("/" in name and _in_network(host, name)):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    import ipaddress  # noqa: PLC0415 - few need it, and it takes milliseconds

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
