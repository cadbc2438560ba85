"""A sign-in that goes through somebody else, an authenticator or an issuer, and comes back: what the browser keeps meanwhile.

It is in a cookie that is signed, so that strangers who begin sign-ins write nothing here; who ends one spends its challenge in the
transaction of what it was for, so that none counts twice.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson

from webapp.clock import MINUTE
from webapp.vault import Secret, Vault

Kind = Literal["passkey-create", "passkey-sign-in", "passkey-confirm", "oidc-sign-in", "oidc-confirm", "oidc-link", "oidc-refused"]

LIFETIME = 10 * MINUTE
LIFETIME_SECONDS = LIFETIME // 1000

_PURPOSE = "ceremony"
_LONGEST = 3500  # a browser keeps 4096 bytes of a cookie (RFC 6265, section 6.1)


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What was begun: `challenge` is what comes back, `accessor` the session's that it was begun in (empty for none).

    `expires_at` is in Unix milliseconds; `facts` are what the end of it needs to know.
    """

    kind: Kind
    challenge: str
    expires_at: int
    accessor: str = ""
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)


def begin_ceremony(kind: Kind, now: int, *, accessor: str = "", facts: Mapping[str, str] | None = None) -> Ceremony:
    """A new one, with a challenge of 256 random bits in base64url."""
    return Ceremony(kind, secrets.token_urlsafe(32), now + LIFETIME, accessor, facts or {})


def ceremony_text(vault: Vault, ceremony: Ceremony) -> Secret:
    """The cookie's text. Raises ValueError for more than a cookie holds."""
    whole = [ceremony.kind, ceremony.challenge, ceremony.expires_at, ceremony.accessor, dict(ceremony.facts)]
    body = base64.urlsafe_b64encode(orjson.dumps(whole))
    if len(body) > _LONGEST:
        raise ValueError("what is to be kept is longer than a cookie")
    return Secret(body + b"." + vault.cookie_mac(_PURPOSE, body).hex().encode("ascii"))


def ceremony_of(vault: Vault, unverified_text: str, kind: Kind, now: int, *, accessor: str = "") -> Ceremony | None:
    """The ceremony of this kind and session that the cookie stands for; None for one that is not ours, another one, or over."""
    body, _, mac = unverified_text.encode("utf-8", "surrogatepass").partition(b".")
    if not hmac.compare_digest(mac, vault.cookie_mac(_PURPOSE, body).hex().encode("ascii")):
        return None
    try:
        found = Ceremony(*orjson.loads(base64.urlsafe_b64decode(body)))
    except (binascii.Error, ValueError, TypeError):  # of another version of this program
        return None
    wanted = found.kind == kind and found.accessor == accessor and now < found.expires_at
    return found if wanted else None
