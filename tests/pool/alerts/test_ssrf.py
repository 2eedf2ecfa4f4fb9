from __future__ import annotations

from ipaddress import ip_address

import pytest

from pool.alerts.ssrf import literal_address, why_forbidden

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
FORBIDDEN = {
    "127.0.0.1": "loopback",
    "127.8.9.10": "loopback",
    "::1": "loopback",
    "10.1.2.3": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "private",
    "192.0.0.192": "private",
    "198.18.0.1": "private",
    "240.0.0.1": "private",
    "255.255.255.255": "private",
    "fc00::1": "private",
    "fec0::1": "private",
    "3fff::1": "private",
    "3fff:fff::1": "private",
    "5f00::1": "private",
    "64:ff9b:1::808:808": "private",
    "2001:db8::1": "private",
    "169.254.1.1": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "169.254.169.254": "metadata",
    "169.254.170.2": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "fd00:ec2::254": "metadata",
    "0.0.0.0": "no address",
    "0.1.2.3": "no address",
    "::": "no address",
    "224.0.0.1": "multicast",
    "ff02::1": "multicast",
}
CARRIERS = {
    "mapped": "::ffff:{}",
    "compatible": "::{}",
    "nat64": "64:ff9b::{}",
    "siit": "::ffff:0:{}",
    "isatap": "2606:4700::5efe:{}",
    "isatap with a global bit": "2606:4700::200:5efe:{}",
}


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_public_internet_is_allowed(text: str) -> None:
    assert why_forbidden(ip_address(text)) is None


@pytest.mark.parametrize(("text", "kind"), FORBIDDEN.items())
def test_another_one_is_refused_with_its_kind_and_the_remedy(text: str, kind: str) -> None:
    reason = why_forbidden(ip_address(text))

    assert reason is not None
    assert kind in reason
    assert "allow_private = true" in reason


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16"])
def test_an_ipv6_address_is_judged_by_the_ipv4_address_inside(carrier: str, inner: str) -> None:
    assert why_forbidden(ip_address(CARRIERS[carrier].format(inner))) is not None


@pytest.mark.parametrize("text", ["2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::"])
def test_tunnels_to_private_addresses_are_refused(text: str) -> None:
    assert why_forbidden(ip_address(text)) is not None


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("[::1]", "::1"),
    ],
)
def test_an_address_is_known_in_whatever_form_it_is_written(host: str, address: str) -> None:
    assert literal_address(host) == ip_address(address)


@pytest.mark.parametrize("host", ["example.com", "localhost", "", "1.2.3.4.5", "a" * 300])
def test_a_name_is_no_address(host: str) -> None:
    assert literal_address(host) is None
