"""What is decided about passkeys without asking anybody: counts, the last way in, and addresses that can have none."""

from pathlib import Path

import pytest

from tests.personas import settings_in
from webapp.accounts.passkey import has_gone_back, is_last_way_in, why_none


@pytest.mark.parametrize(
    ("stored", "said", "back"),
    [(0, 0, False), (0, 1, False), (1, 2, False), (1, 1, True), (2, 1, True), (1, 0, True)],
)
def test_a_count_has_to_grow_unless_it_is_none(stored: int, said: int, back: bool) -> None:
    assert has_gone_back(stored, said) is back


@pytest.mark.parametrize("has_password", [True, False])
@pytest.mark.parametrize("has_identity", [True, False])
@pytest.mark.parametrize("others", [0, 1, 2])
def test_any_other_way_is_one(has_password: bool, has_identity: bool, others: int) -> None:
    last = is_last_way_in(has_password=has_password, has_identity=has_identity, other_passkeys=others)
    assert last is (not has_password and not has_identity and others == 0)


@pytest.mark.parametrize(
    ("public_url", "domain", "says"),
    [
        ("http://localhost:8000", "localhost", ""),
        ("https://keys.example.com", "keys.example.com", ""),
        ("https://KEYS:8443", "keys", ""),
        ("http://127.0.0.1:8000", None, "WEBAPP_PUBLIC_URL=http://localhost:8000, and"),
        ("http://[::1]:8000", None, "WEBAPP_PUBLIC_URL=http://localhost:8000, and"),
        ("http://127.0.0.1", None, "WEBAPP_PUBLIC_URL=http://localhost, and"),
        ("https://192.0.2.1", None, "a name in the DNS"),
        ("https://[2001:db8::1]:8443", None, "a name in the DNS"),
    ],
)
def test_a_passkey_belongs_to_a_host_name(tmp_path: Path, public_url: str, domain: str | None, says: str) -> None:
    settings = settings_in(tmp_path, WEBAPP_PUBLIC_URL=public_url)
    assert settings.passkey_domain == domain
    assert says in why_none(settings)
    assert bool(why_none(settings)) is (domain is None)
