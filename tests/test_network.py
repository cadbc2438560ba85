"""Whom an address stands for, where callers are counted by it."""

import pytest

from webapp.network import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        (None, "?"),
        ("a-socket", "a-socket"),
    ],
)
def test_one_subscriber_is_one_address(address: str | None, network: str) -> None:
    assert network_of(address) == network
