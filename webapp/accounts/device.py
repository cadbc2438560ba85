"""The device cookie: a browser in which a member signed in before has its own allowance of tries.

So strangers who guess at an account do not delay its owner (OWASP, "Device cookies"). It signs nobody in: all
that it gives is a try of its own. It is worth nothing once the password is another one: who knew the one before could have many.
"""

import hmac
import re
import secrets

from webapp.vault import Secret, Vault

LIFETIME_SECONDS = 400 * 24 * 3600
"""As long as browsers keep a cookie (RFC 6265bis, section 5.5)."""

_PURPOSE = "device"
_FORM = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})")


def device_of(vault: Vault, unverified_text: str, member_id: str, password_hash: str) -> str | None:
    """The id of the device that this cookie stands for; None when it is none, another member's, or of a password that is not theirs now."""
    match = _FORM.fullmatch(unverified_text)
    if match is None:
        return None
    return match[1] if hmac.compare_digest(match[2], _mac(vault, match[1], member_id, password_hash)) else None


def device_cookie(vault: Vault, member_id: str, password_hash: str, device: str | None = None) -> Secret:
    """The cookie's text for this device of the member's; for a new one without a device."""
    device = device or secrets.token_hex(16)
    return Secret(f"{device}.{_mac(vault, device, member_id, password_hash)}".encode("ascii"))


def _mac(vault: Vault, device: str, member_id: str, password_hash: str) -> str:
    return vault.cookie_mac(_PURPOSE, f"{device} {member_id} {password_hash}".encode()).hex()
