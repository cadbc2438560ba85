"""A secret that is planted so that it can be looked for: in every form that it may have where it must not be."""

import base64
import urllib.parse

CANARY = "Kanarie+7f3a/9c=%Zwitschert"


def forms_of(secret: str) -> list[bytes]:
    """The secret as it may appear: raw, hex, URL-encoded, and base64 at each of the three offsets."""
    raw = secret.encode()
    forms = [
        raw,
        raw.hex().encode(),
        raw.hex().upper().encode(),
        urllib.parse.quote(secret, safe="").encode(),
        urllib.parse.quote_plus(secret).encode(),
    ]
    for offset in range(3):
        encoded = base64.b64encode(b"\x00" * offset + raw)
        whole = encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4]
        forms += [whole, whole.replace(b"+", b"-").replace(b"/", b"_")]
    return forms


def found_in(data: bytes, secret: str = CANARY) -> list[bytes]:
    """The forms of the secret that the data holds: none, where all is well."""
    return [form for form in forms_of(secret) if form in data]
