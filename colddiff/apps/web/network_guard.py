"""A process that talks to this machine only, whatever the libraries in it would like to ask elsewhere."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from typing import Any

LOOPBACK = "127.0.0.1"
OWN_NAMES = ("", "localhost")
# What looks up a name has it as its first argument, what sends has an address as its second.
LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyname_ex", "socket.gethostbyaddr")
SENDING = ("socket.connect", "socket.sendto", "socket.sendmsg")


def stay_offline(host: str) -> None:
    """From now on, for as long as this process lives, no socket connects and no name is looked up beyond this machine.

    A server that fetches addresses for whoever asks reaches what only this machine can reach, and gradio does so: a
    picture may be given as an URL. Those are refused here, and whatever else a library would send.

    Args:
        host: the address that is served, which is this machine's own.
    """
    sys.addaudithook(lambda event, arguments: _check(event, arguments, host))


def is_own(name: object, host: str) -> bool:
    """Whether a host's name or address is this machine's: loopback, unspecified, or the one that is served."""
    if name is None or (isinstance(name, bytes) and not name) or name == host:
        return True
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    if text in OWN_NAMES:
        return True
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _check(event: str, arguments: tuple[Any, ...], host: str) -> None:
    if event in LOOKUPS:
        name = arguments[0]
    elif event in SENDING:
        address = arguments[1]
        if not isinstance(address, tuple):  # a Unix socket, or one that is connected
            return
        name = address[0]
    else:
        return
    if not is_own(name, host):
        raise ConnectionRefusedError(f"the app asks nothing of other machines: {name!r} was refused")
