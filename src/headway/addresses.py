"""Which addresses lie outside of the own network: asked by everything that connects to a place which others name."""

from __future__ import annotations

import ipaddress
import socket

from headway.errors import Unreachable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def look_up(host: str, port: int) -> list[str]:
    """Return every address of a host; connect to one of these, since a second look-up may lead elsewhere.

    Raises:
        Unreachable: there is no such host.
    """
    try:
        return [str(where[0]) for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} cannot be found", cause=str(error)) from None


def is_public(text: str) -> bool:
    """Whether an address is one of the open internet, and carries no other address inside it that is not."""
    address = ipaddress.ip_address(text)
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    return address not in _NAT64 and (inner is None or is_public(str(inner)))


def is_never_meant(text: str) -> bool:
    """Whether an address is a machine's own cloud's metadata or a group's: no name should lead there."""
    address = ipaddress.ip_address(text)
    return address.is_link_local or address.is_multicast
