"""Free ports of the loopback interface."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def free(count: int) -> list[int]:
    """As many distinct TCP ports as asked, free on loopback at this moment.

    The kernel picks them. Another process may take one before ours binds it: whoever starts a server on one looks for
    `taken` in its log and tries again with fresh ports.
    """
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def taken(log: str) -> bool:
    """Whether a program's last words are that somebody took its port first. All of ours quote the system's message."""
    return "address already in use" in log.lower()


def answers(port: int) -> bool:
    """Whether something accepts connections on this port of loopback."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True
