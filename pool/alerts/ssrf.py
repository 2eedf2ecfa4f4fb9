"""Addresses that a webhook may be at: those of the public internet.

A pool that posts to any address it is given can be turned against its own network (SSRF): the
metadata service of its cloud, a database on loopback. So what counts is the address a name resolved
to, in whatever form it is written, at every delivery; and the connection goes to that address.
An IPv6 address that carries an IPv4 address inside is judged by that one, too.
"""

from __future__ import annotations

import socket
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_METADATA = {
    ip_address("169.254.169.254"),
    ip_address("169.254.170.2"),
    ip_address("100.100.100.200"),
    ip_address("168.63.129.16"),  # looks public, and answers inside Azure alone
    ip_address("fd00:ec2::254"),
}
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
"""IPv4 addresses in a form of IPv6: of old, and as translators write them (SIIT)."""
_ISATAP = (0x00005EFE, 0x02005EFE)
"""What stands before an IPv4 address in the lower half of one that is tunnelled to it."""
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_RESERVED = (
    IPv4Network("192.0.0.0/24"),  # of the protocols, and the metadata service of one cloud
    IPv4Network("192.88.99.0/24"),
    IPv6Network("fec0::/10"),  # site-local, of old
    IPv6Network("3fff::/20"),  # for documentation
    IPv6Network("5f00::/16"),  # segments of a provider's own network
    IPv6Network("64:ff9b:1::/48"),  # NAT64 of a network's own, at whatever length
)
"""What Python's own lists let pass, in one version or another."""


def literal_address(host: str) -> Address | None:
    """The address that a host is written as, also in the old forms (``2130706433``, ``0x7f.1``);
    None for a name.
    """
    bare = host.strip("[]")
    try:
        return ip_address(bare)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


def _inside(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that packets to this one may end at."""
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    is_carrier = any(address in network for network in (_NAT64, *_COMPATIBLE))
    if is_carrier or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(each for each in found if each is not None)


def why_forbidden(address: Address) -> str | None:
    """Why a webhook must not be there; None where it may."""
    kind = _kind(address)
    if kind is None and isinstance(address, IPv6Address):
        kind = next(filter(None, map(_kind, _inside(address))), None)
    if kind is None:
        return None
    return f"{address} is {kind}: name a public address, or set allow_private = true"


def _kind(address: Address) -> str | None:
    if address in _METADATA:
        return "a cloud's metadata service"
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified or address in _THIS_NETWORK:
        return "no address of a host"
    is_reserved = any(address in network for network in _RESERVED)
    return None if address.is_global and not is_reserved else "a private or reserved address"
