"""What an API token says of itself."""

import pytest

from webapp.accounts.api_token import ApiToken


@pytest.mark.parametrize(
    ("revoked_at", "now", "state"),
    [(None, 9, "active"), (None, 10, "expired"), (None, 11, "expired"), (5, 9, "revoked"), (5, 11, "revoked")],
)
def test_it_is_active_until_it_expires_or_is_revoked(revoked_at: int | None, now: int, state: str) -> None:
    token = ApiToken("t", "a", "CI", "viewer", "m", "ana@example.com", "viewer", 1, 10, None, revoked_at)
    assert token.state(now) == state
