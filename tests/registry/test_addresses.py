"""Which addresses are of the public internet, and which may be reached when the operator says so."""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.registry.ssrf_corpus import INSIDE, IPV6, NEVER, embeddings
from webapp.registry import addresses
from webapp.registry.addresses import why_forbidden

PUBLIC = [
    "8.8.8.8",
    "93.184.215.14",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "192.167.255.255",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_may_be_asked(address: str) -> None:
    assert why_forbidden(address) is None
    assert why_forbidden(address, allowed=True) is None


@pytest.mark.parametrize("address", [*INSIDE, *IPV6, *NEVER, "169.254.170.23", "fd00:ec2::23"])
def test_the_inside_may_not(address: str) -> None:
    assert why_forbidden(address) is not None


@pytest.mark.parametrize("address", ["10.0.0.5", "172.31.255.255", "192.168.1.1", "127.0.0.1", "::1", "fd12:3456::1", "100.64.0.1"])
def test_a_network_of_ones_own_can_be_allowed(address: str) -> None:
    assert why_forbidden(address, allowed=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_what_is_no_registrys_cannot(address: str) -> None:
    assert why_forbidden(address, allowed=True) is not None


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "2130706433", "10.0.0.5 ", "1.2.3.4/32", "fe80::1%eth0", "2600::1%eth0"])
def test_what_is_no_plain_address_is_none(text: str) -> None:
    assert why_forbidden(text) is not None
    assert why_forbidden(text, allowed=True) is not None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_of_this_machine_may_not_whatever_network_it_is_of(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for networks in ("_ALWAYS", "_UNLESS_ALLOWED"):  # as one that is public: only root could give this machine another
        monkeypatch.setattr(addresses, networks, [])
    monkeypatch.setattr(addresses, "_GLOBAL_UNICAST", ip_network("::/0"))
    assert why_forbidden(address) == "an address of this server itself"
    assert why_forbidden(address, allowed=True) is None
    assert why_forbidden("10.0.0.5") is None, "it is somebody else's"


@settings(max_examples=50, deadline=None)
@given(st.ip_addresses(v=4))
def test_an_embedding_is_forbidden_whatever_it_holds(address: object) -> None:
    for embedded in embeddings(str(address)):
        assert why_forbidden(embedded) is not None
        assert embedded == "::1" or why_forbidden(embedded, allowed=True) is not None


@settings(max_examples=50, deadline=None)
@given(st.ip_addresses())
def test_what_can_be_allowed_is_forbidden_else(address: object) -> None:
    if why_forbidden(str(address)) is None:
        assert why_forbidden(str(address), allowed=True) is None
