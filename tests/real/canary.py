"""A secret that is planted so that it can be looked for: in every form that it may have where it must not be."""

import base64
import html
import json
import re
import urllib.parse

CANARY = "Kanarie+7f3a/9c=%Zwitschert"


def forms_of(secret: str) -> list[bytes]:
    """The secret as it may appear, each form once: raw, hex, percent-encoded, UTF-16, base64 at each of the three offsets, and as text of
    JSON, HTML and Python has it.
    """
    raw, percent = secret.encode(), urllib.parse.quote(secret, safe="")
    in_json = json.dumps(secret)[1:-1]
    texts = [
        raw.hex(),
        raw.hex().upper(),
        percent,
        re.sub("%..", lambda byte: byte[0].lower(), percent),
        urllib.parse.quote(secret),
        urllib.parse.quote_plus(secret),
        in_json,
        in_json.replace("/", "\\/"),
        json.dumps(secret, ensure_ascii=False)[1:-1],
        re.sub("[<>&']", lambda sign: f"\\u{ord(sign[0]):04x}", in_json),
        html.escape(secret),
        html.escape(secret).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        repr(secret)[1:-1],
        repr(raw)[2:-1],
    ]
    forms = [raw, secret.encode("utf-16-le"), secret.encode("utf-16-be"), *(text.encode() for text in texts)]
    for offset in range(3):
        encoded = base64.b64encode(b"\x00" * offset + raw)
        whole = encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4]
        forms += [whole, whole.replace(b"+", b"-").replace(b"/", b"_")]
    return list(dict.fromkeys(forms))


def found_in(data: bytes, secret: str = CANARY) -> list[bytes]:
    """The forms of the secret that the data holds: none, where all is well."""
    return [form for form in forms_of(secret) if form in data]
