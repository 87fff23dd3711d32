"""Both sides of every border of the IANA special-purpose address registries."""

import pytest

from so8t_core.crawl.addresses import refused_address

PUBLIC, REFUSED = False, True

IPV4 = [
    *(("0.0.0.0", REFUSED), ("0.255.255.255", REFUSED), ("1.0.0.0", PUBLIC)),
    *(("9.255.255.255", PUBLIC), ("10.0.0.0", REFUSED), ("10.255.255.255", REFUSED)),
    *(("11.0.0.0", PUBLIC), ("100.63.255.255", PUBLIC), ("100.64.0.0", REFUSED)),
    *(("100.100.100.200", REFUSED), ("100.127.255.255", REFUSED), ("100.128.0.0", PUBLIC)),
    *(("126.255.255.255", PUBLIC), ("127.0.0.0", REFUSED), ("127.255.255.255", REFUSED)),
    *(("128.0.0.0", PUBLIC), ("168.63.129.15", PUBLIC), ("168.63.129.16", REFUSED)),
    *(("168.63.129.17", PUBLIC), ("169.253.255.255", PUBLIC), ("169.254.0.0", REFUSED)),
    *(("169.254.169.254", REFUSED), ("169.254.255.255", REFUSED), ("169.255.0.0", PUBLIC)),
    *(("172.15.255.255", PUBLIC), ("172.16.0.0", REFUSED), ("172.31.255.255", REFUSED)),
    *(("172.32.0.0", PUBLIC), ("191.255.255.255", PUBLIC), ("192.0.0.0", REFUSED)),
    *(("192.0.0.9", REFUSED), ("192.0.0.192", REFUSED), ("192.0.0.255", REFUSED)),
    *(("192.0.1.0", PUBLIC), ("192.0.1.255", PUBLIC), ("192.0.2.0", REFUSED)),
    *(("192.0.2.255", REFUSED), ("192.0.3.0", PUBLIC), ("192.31.195.255", PUBLIC)),
    *(("192.31.196.0", REFUSED), ("192.31.197.0", PUBLIC), ("192.52.192.255", PUBLIC)),
    *(("192.52.193.0", REFUSED), ("192.52.194.0", PUBLIC), ("192.88.98.255", PUBLIC)),
    *(("192.88.99.1", REFUSED), ("192.88.100.0", PUBLIC), ("192.167.255.255", PUBLIC)),
    *(("192.168.0.0", REFUSED), ("192.168.255.255", REFUSED), ("192.169.0.0", PUBLIC)),
    *(("192.175.47.255", PUBLIC), ("192.175.48.0", REFUSED), ("192.175.49.0", PUBLIC)),
    *(("198.17.255.255", PUBLIC), ("198.18.0.0", REFUSED), ("198.19.255.255", REFUSED)),
    *(("198.20.0.0", PUBLIC), ("198.51.99.255", PUBLIC), ("198.51.100.0", REFUSED)),
    *(("198.51.101.0", PUBLIC), ("203.0.112.255", PUBLIC), ("203.0.113.0", REFUSED)),
    *(("203.0.114.0", PUBLIC), ("223.255.255.255", PUBLIC), ("224.0.0.0", REFUSED)),
    *(("239.255.255.255", REFUSED), ("240.0.0.0", REFUSED), ("255.255.255.255", REFUSED)),
]
IPV6 = [
    *(("::", REFUSED), ("::1", REFUSED), ("::2", REFUSED)),
    *(("::8.8.8.8", REFUSED), ("::127.0.0.1", REFUSED), ("::ffff:0:8.8.8.8", REFUSED)),
    *(("::ffff:8.8.8.8", PUBLIC), ("::ffff:127.0.0.1", REFUSED), ("::fffe:8.8.8.8", REFUSED)),
    *(("::ffff:169.254.169.254", REFUSED), ("::1:0:0:0", REFUSED), ("64:ff9a::8.8.8.8", REFUSED)),
    *(("64:ff9b::8.8.8.8", PUBLIC), ("64:ff9b::10.0.0.1", REFUSED)),
    *(("64:ff9b::1:0:0", REFUSED), ("64:ff9b:1::8.8.8.8", REFUSED)),
    *(("64:ff9b:1:ffff::8.8.8.8", REFUSED), ("64:ff9b:2::8.8.8.8", REFUSED)),
    *(("100::", REFUSED), ("100::ffff:ffff:ffff:ffff", REFUSED), ("100:0:0:1::", REFUSED)),
    *(("1fff:ffff::", REFUSED), ("2000::", PUBLIC), ("2000:ffff:ffff::", PUBLIC)),
    *(("2001::", REFUSED), ("2001:0:53aa:64c:0:0:80ff:fffe", REFUSED), ("2001:1::1", REFUSED)),
    *(("2001:2::", REFUSED), ("2001:3::", REFUSED), ("2001:4:112::", REFUSED)),
    *(("2001:10::", REFUSED), ("2001:20::", REFUSED), ("2001:30::", REFUSED)),
    *(("2001:1ff:ffff::", REFUSED), ("2001:200::", PUBLIC), ("2001:db7:ffff::", PUBLIC)),
    *(("2001:db8::", REFUSED), ("2001:db8:ffff::", REFUSED), ("2001:db9::", PUBLIC)),
    *(("2002:808:808::", PUBLIC), ("2002:7f00:1::", REFUSED), ("2002:a00:1::1", REFUSED)),
    *(("2002:a9fe:a9fe::", REFUSED), ("2003::", PUBLIC), ("2606:4700::1111", PUBLIC)),
    *(("2620:4f:7fff::", PUBLIC), ("2620:4f:8000::", REFUSED), ("2620:4f:8001::", PUBLIC)),
    *(("2a00::5efe:7f00:1", REFUSED), ("2a00::5efe:808:808", PUBLIC)),
    *(("2a00::200:5efe:10.0.0.1", REFUSED), ("2a00::200:5efe:8.8.8.8", PUBLIC)),
    *(("2a00::100:5efe:10.0.0.1", PUBLIC), ("3ffe:ffff::", PUBLIC), ("3fff::", REFUSED)),
    *(("3fff:fff:ffff::", REFUSED), ("3fff:1000::", PUBLIC), ("3fff:ffff::", PUBLIC)),
    *(("4000::", REFUSED), ("5f00::", REFUSED), ("fbff:ffff::", REFUSED), ("fc00::", REFUSED)),
    *(("fd00:ec2::254", REFUSED), ("fdff:ffff::", REFUSED), ("fe00::", REFUSED)),
    *(("fe80::1%eth0", REFUSED), ("febf::1", REFUSED), ("fec0::1", REFUSED), ("ff02::1", REFUSED)),
]


@pytest.mark.parametrize(("address", "refused"), [*IPV4, *IPV6])
def test_only_public_unicast_addresses_are_connected_to(address: str, refused: bool) -> None:
    assert refused_address(address) is refused


def test_what_is_no_address_is_said_so() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        refused_address("127.1")
