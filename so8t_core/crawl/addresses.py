"""Which IP addresses a crawler has no business with.

Source: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), here in full and not
by `ipaddress`, whose table changes with Python's version and calls some of them global; RFC 5771
and RFC 4291 for multicast, RFC 3879 for site-local.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_SPECIAL_IPV4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers; a cloud's metadata service in it
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # a cloud's metadata service on an address that counts as public
            "169.254.0.0/16",  # link-local; clouds' metadata services
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; a cloud's metadata service
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays, deprecated
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, limited broadcast
        ),
    )
)
_UNICAST_IPV6 = IPv6Network("2000::/3")
"""Global unicast: all else is unassigned, local, multicast or special."""
_SPECIAL_IPV6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarking, AMT, AS112, ORCHID, DETs
            "2001:db8::/32",  # documentation
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")
_ISATAP = frozenset((0x0000_5EFE, 0x0200_5EFE))


def refused_address(text: str) -> bool:
    """Whether an IP address is not a public unicast one, or is a cloud's metadata service.

    An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4, ISATAP) is judged as IPv4; those that
    hide it (Teredo) or leave it to a local network (64:ff9b:1::/48) are refused. Raises
    `ValueError` where the text is no address.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return any(address in network for network in _SPECIAL_IPV4)
    inner = _embedded(address)
    if inner is not None and refused_address(str(inner)):
        return True
    if address in _MAPPED or address in _NAT64:
        return False
    return address not in _UNICAST_IPV6 or any(address in network for network in _SPECIAL_IPV6)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one carries. Source: RFC 4291, 6052, 3056, 5214."""
    value = int(address)
    if address in _6TO4:
        return IPv4Address(value >> 80 & 0xFFFF_FFFF)
    if address in _MAPPED or address in _NAT64 or value >> 32 & 0xFFFF_FFFF in _ISATAP:
        return IPv4Address(value & 0xFFFF_FFFF)
    return None
