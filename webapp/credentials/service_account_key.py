"""The check of a Google service account key file, before it is stored byte for byte.

What such a file holds: https://cloud.google.com/iam/docs/keys-create-delete#creating. No message here repeats anything that
stands in the file, and no exception is raised while another is handled: those of `json`, `str` and the RSA loader hold the
text that they failed on, and would carry the key along as their successor's context.
"""

import base64
import binascii
import json
import math
import re
import warnings
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

MOST_BYTES = 16 * 1024

_MOST_KEY_BITS = 4096
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SHOWN = ("client_email", "project_id", "private_key_id")
_REQUIRED = ("client_email", "project_id", "private_key_id", "token_uri", "private_key")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=\s_-]", re.ASCII)
_OBJECT = re.compile(rb'\{[ \t\r\n\0]*(?:["}]|\Z)')  # a { alone is what every 25th hexadecimal word decodes to
_BASE64_LOOKED_AT = 64  # characters: enough to see the { that a JSON object begins with

_PASTE = "Paste the JSON itself, from its first { to its last }, or upload the .json file."
_UPLOAD = "Upload the .json file as Google handed it out, or paste the JSON itself."


@dataclass(frozen=True, slots=True)
class KeyFileFacts:
    """What may be shown of a key file: strings that can be printed, none of them secret."""

    project_id: str
    client_email: str
    private_key_id: str


def check_key_file(content: bytes, *, uploaded: bool = False) -> KeyFileFacts:
    """The facts of a whole service account key file of at most 16 KiB, pasted or uploaded.

    Raises ValueError with a sentence that says what is wrong and what would be right. `token_uri` may be any string: nothing
    ever calls it.
    """
    what, way_out = ("The uploaded file", _UPLOAD) if uploaded else ("The service account key", _PASTE)
    if not content.strip():
        raise ValueError(f"{what} is empty. {way_out}")
    if len(content) > MOST_BYTES:
        raise ValueError(f"{what} has {len(content)} bytes, and a key file has at most {MOST_BYTES}. {way_out}")
    if content.startswith(_BYTE_ORDER_MARKS):
        raise ValueError(
            f"{what} begins with a byte-order mark, which JSON must not (RFC 8259, section 8.1). Save it as UTF-8 without one."
        )
    document, problem = _read(content)
    if document is None:
        raise ValueError(f"{what} {problem}. {way_out}")
    if document.get("type") != "service_account":
        raise ValueError(f'{what} is not of "type": "service_account". Create a key of a service account at Google, and use its JSON file.')
    fields = {name: document.get(name) for name in _REQUIRED}
    texts = {name: value for name, value in fields.items() if isinstance(value, str) and value.strip()}
    missing = [name for name in _REQUIRED if name not in texts]
    if missing:
        raise ValueError(f"{what} lacks {_listed(missing)}. {way_out}")
    # Half a surrogate pair, which JSON can escape, could not even be sent to the browser.
    unprintable = [name for name in _SHOWN if not texts[name].isprintable()]
    if unprintable:
        raise ValueError(f"{what} has control or invisible characters in {_listed(unprintable)}. {way_out}")
    problem = _private_key_problem(texts["private_key"])
    if problem:
        raise ValueError(f"The private_key in the service account key {problem}. {way_out}")
    return KeyFileFacts(texts["project_id"], texts["client_email"], texts["private_key_id"])


def _read(content: bytes) -> tuple[dict[str, Any] | None, str]:
    """The JSON object in these bytes, or None and what is wrong, to follow the name of the file in a sentence."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, f"is not UTF-8: byte {error.start + 1} is not a part of it"
    if "-----BEGIN" in text and "{" not in text:
        return None, "is only the private key out of the JSON file"
    repeated = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(pairs)
        repeated = repeated or len(found) != len(pairs)
        return found

    try:
        # Python refuses an int of more than 4300 digits, with a message of its own; no number is looked at here.
        document = json.loads(text, object_pairs_hook=members, parse_int=float)
    except json.JSONDecodeError as error:
        if _is_base64_of_json(text):
            return None, "is base64 of the JSON file"
        return None, f"is not JSON (line {error.lineno}, column {error.colno})"
    except RecursionError:
        return None, "is nested too deeply"
    if isinstance(document, str) and _is_base64_of_json(document):
        return None, "is base64 of the JSON file"
    if not isinstance(document, dict):
        return None, f"is JSON, but {'an array' if isinstance(document, list) else 'a single value'} and no object"
    if repeated:
        return None, "has a member twice, so that two programs may read it differently"
    return document, ""


def _is_base64_of_json(text: str) -> bool:
    """Whether this is base64 or base64url, wrapped in lines or not, whole or cut off, of something that begins with a {."""
    if _NOT_BASE64.search(text):
        return False
    beginning = "".join(text.split())[:_BASE64_LOOKED_AT].rstrip("=").replace("-", "+").replace("_", "/")
    beginning = beginning[: len(beginning) // 4 * 4]
    try:
        decoded = base64.b64decode(beginning, validate=True)
    except binascii.Error:
        return False
    for mark in _BYTE_ORDER_MARKS:
        decoded = decoded.removeprefix(mark)
    return decoded.isascii() and _OBJECT.match(decoded.lstrip(b" \t\r\n\0")) is not None


def _private_key_problem(pem: str) -> str:
    """What is wrong with a private key, to follow its name in a sentence, or nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the library would rather not load is Google's choice, and not for our log
            key = load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
            if not isinstance(key, RSAPrivateKey):
                return "is no RSA key"
            numbers = key.private_numbers()
            public = numbers.public_numbers
            if max(number.bit_length() for number in (public.n, numbers.p, numbers.q)) > _MOST_KEY_BITS:
                return f"is longer than {_MOST_KEY_BITS} bits, which no key of Google's is"
            # That the numbers belong together (RFC 8017, section 3.2). Whether p and q are prime takes 0.3 s at 4096 bits, in
            # which nobody else would be served, and a slip of the hand that kept the rest in order is none.
            if public.n != numbers.p * numbers.q or public.e * numbers.d % math.lcm(numbers.p - 1, numbers.q - 1) != 1:
                raise ValueError
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted; ValueError: also half a surrogate pair
        return "does not load as an RSA key in PEM form, without a passphrase"
    return ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
