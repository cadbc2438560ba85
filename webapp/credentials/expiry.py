"""When a credential's value stops to work: read from the value where it says so itself, otherwise the date that a member typed.

Read are a token of Amazon ECR (base64 of a JSON object whose `expiration` is in Unix seconds) and a JSON Web Token (`exp`, RFC 7519,
section 4.1.4, in the payload of a JWS in compact form, RFC 7515, section 3.1). Nothing is verified: whose signature a token carries is
the registry's to know, and what it says of itself is taken as a hint to people and as the moment from which it is handed to nobody.
"""

import base64
import binascii
import json
import math
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from webapp.clock import DAY, SECOND, in_words
from webapp.credentials.credential import AuthMethod, Credential, CredentialFields
from webapp.errors import Invalid

FROM_VALUE = "value"
TYPED = "typed"

_LATEST_YEAR = 2199
_LATEST = int(datetime(_LATEST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp()) * SECOND
_MOST_BYTES = 16 * 1024
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")


def read_from(value: bytes) -> int | None:
    """The Unix milliseconds at which this value expires, as it says itself; None for one that does not say so."""
    if len(value) > _MOST_BYTES:
        return None
    parts = value.split(b".")
    if len(parts) == 3:
        header, payload = _object(parts[0]), _object(parts[1])
        return _moment(payload.get("exp")) if "alg" in header else None
    token = _object(value)
    return _moment(token.get("expiration")) if "payload" in token else None


def through(text: str) -> int:
    """The Unix milliseconds at which the day that was typed is over, in UTC: a credential is good through its last day.

    Raises ValueError with a sentence.
    """
    typed = text.strip()
    if _DATE.fullmatch(typed):
        try:
            day = date.fromisoformat(typed)
        except ValueError:
            pass  # said below, as for every other text that is no date
        else:
            if day.year > _LATEST_YEAR:
                raise ValueError(f"The year {day.year} is too far away. Leave the date empty for a credential that does not expire.")
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
            return int(midnight.timestamp()) * SECOND
    raise ValueError("This is no date. Enter year, month and day, such as 2027-03-31.")


def last_day(expires_at: int) -> str:
    """The last day on which it is good, in UTC, as `through` reads it; empty for what is no time, as it may stand in the database."""
    try:
        return datetime.fromtimestamp((expires_at - 1) / SECOND, UTC).strftime("%Y-%m-%d")
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


def settled(fields: CredentialFields, stored: Credential | None, *, replaced: bool, now: int, dated: bool = False) -> CredentialFields:
    """The fields with the expiry that counts: of a new value (`replaced`, or nothing is `stored`) its own, or the date that was typed.

    A value that stays keeps what it says itself; a date that was typed for the one before does not count for a new one, unless it was
    said of that one by name (`dated`). Raises Invalid for what has expired already: it would be handed to nobody.
    """
    if fields.auth_method is AuthMethod.AWS_ECR:
        return replace(fields, expires_at=None, expiry_source="")
    of_stored = None if stored is None else stored.expires_at
    typed = fields.expires_at if fields.expiry_source == TYPED else None
    if fields.expiry_source == FROM_VALUE and fields.expires_at is not None:
        if fields.expires_at <= now:
            sentence = (
                f"This token says itself that it expired on {in_words(fields.expires_at)}, and by this server's clock it is"
                f" {in_words(now)}. Paste a fresh one."
            )
            raise Invalid({"password": sentence})
        return fields
    if stored is not None and not replaced and stored.expiry_source == FROM_VALUE:
        if typed is not None:
            sentence = "The stored value says itself when it expires. Leave the date empty, or enter a new value with it."
            raise Invalid({"expires_on": sentence})
        return replace(fields, expires_at=of_stored, expiry_source=FROM_VALUE)
    unchanged = not dated and stored is not None and stored.expiry_source == TYPED and typed == of_stored
    if typed is None or (unchanged and replaced):
        return replace(fields, expires_at=None, expiry_source="")
    if typed <= now and not unchanged:
        day = in_words(typed - DAY).partition(",")[0]
        sentence = f"{day} is over (UTC), and an expired credential is handed to nobody. Enter its last day, or leave the date empty."
        raise Invalid({"expires_on": sentence})
    return fields


def _object(encoded: bytes) -> dict[str, Any]:
    """The JSON object in base64 or base64url, padded or not; an empty one for anything else."""
    if not _BASE64.fullmatch(encoded):
        return {}
    bare = encoded.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        found = json.loads(base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True), parse_int=float)
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _moment(seconds: object) -> int | None:
    if not isinstance(seconds, float) or not math.isfinite(seconds) or not 0 < seconds * SECOND < _LATEST:
        return None
    return int(seconds * SECOND)
