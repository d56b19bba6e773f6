"""What lies outside of the own network, in every way of writing an address; both who notify and who track ask here."""

from __future__ import annotations

import pytest

from headway.addresses import is_never_meant, is_public, look_up
from headway.errors import Unreachable

INSIDE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0.0.0.0",  # an address to refuse, not to bind
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]


@pytest.mark.parametrize("address", INSIDE)
def test_the_own_network_is_not_public_however_it_is_written(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111"])
def test_the_open_internet_is(address: str) -> None:
    assert is_public(address)
    assert not is_never_meant(address)


def test_metadata_and_groups_are_never_meant_by_a_name() -> None:
    assert [each for each in INSIDE if is_never_meant(each)] == ["169.254.169.254", "224.0.0.1", "fe80::1", "ff02::1"]


def test_a_host_that_is_none_cannot_be_found() -> None:
    with pytest.raises(Unreachable, match="cannot be found"):
        look_up("nobody.invalid", 443)
    assert look_up("127.0.0.1", 80) == ["127.0.0.1"]
