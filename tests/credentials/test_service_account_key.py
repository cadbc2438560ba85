"""The service account key file: taken whole or refused with the reason, and nothing of it is ever repeated."""

import base64
import json
import math
import re
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dh, ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.real.service_account import service_account_key
from webapp.credentials.service_account_key import MOST_BYTES, KeyFileFacts, check_key_file

KEY = service_account_key()
DOCUMENT: dict[str, Any] = json.loads(KEY)
PEM: str = DOCUMENT["private_key"]


def _with(**fields: object) -> bytes:
    """The key file with other values; a field that is None is left out."""
    return json.dumps({name: value for name, value in {**DOCUMENT, **fields}.items() if value is not None}).encode()


def _pem(key: Any, *, passphrase: bytes | None = None) -> str:
    sealing = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealing)
    return pem.decode()


def _key_of_primes(p: int, q: int) -> rsa.RSAPrivateKey:
    d = pow(65537, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _refusal(content: bytes, *, uploaded: bool = False) -> str:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        check_key_file(content, uploaded=uploaded)
    # An exception that this one was raised beside would carry the text that it failed on.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize("uploaded", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        KEY,
        KEY.replace(b"\n", b"\r\n"),
        KEY.rstrip(b"\n"),
        b"\n  " + KEY + b"\n\n",
        json.dumps(DOCUMENT).encode(),
        _with(token_uri="http://169.254.169.254/latest"),
        _with(note="Schlüssel für Köln", weights=[math.nan, math.inf, 10**400], nested={"a": {"b": []}}),
        _with(private_key=PEM.rstrip("\n")),
        _with(private_key=PEM.replace("\n", "\r\n")),
    ],
    ids=[
        "LF",
        "CRLF",
        "no newline at the end",
        "blank lines around",
        "one line",
        "any token_uri",
        "more fields",
        "PEM trimmed",
        "PEM CRLF",
    ],
)
def test_a_whole_key_file_says_whose_it_is(content: bytes, uploaded: bool) -> None:
    expected = KeyFileFacts(DOCUMENT["project_id"], DOCUMENT["client_email"], DOCUMENT["private_key_id"])
    assert check_key_file(content, uploaded=uploaded) == expected


def test_a_key_in_the_older_pem_form_loads_too() -> None:
    key = serialization.load_pem_private_key(PEM.encode(), None)
    older = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    assert check_key_file(_with(private_key=older.decode())).project_id == DOCUMENT["project_id"]


def test_the_facts_hold_no_secret() -> None:
    assert PEM.splitlines()[1] not in repr(check_key_file(KEY))
    assert KeyFileFacts.__slots__ == ("project_id", "client_email", "private_key_id")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \r\n\t", "is empty"),
        (KEY + b" " * (MOST_BYTES + 1 - len(KEY)), "has 16385 bytes, and a key file has at most 16384"),
        (b"a" * 17 * 1024, "has 17408 bytes"),
        (b"\xef\xbb\xbf" + KEY, "begins with a byte-order mark"),
        (KEY.decode().encode("utf-16"), "begins with a byte-order mark"),
        (KEY.replace(b"acme", b"acm\xe9", 1), "is not UTF-8: byte "),
        (KEY.decode().encode("utf-16-le"), "is not JSON (line 1, column 2)"),
        (b"nonsense!", "is not JSON (line 1, column 1)"),
        (b'{\n  "type": "service_account",\n  "project_id"\n}', "is not JSON (line 4, column 1)"),
        (KEY[:-3], "is not JSON (line "),
        (KEY + KEY, "is not JSON (line "),
        (KEY.replace(b'"', b"'"), "is not JSON (line 2, column 3)"),
        (b"[" + KEY + b"]", "an array and no object"),
        (b"[]", "an array and no object"),
        (b"null", "a single value and no object"),
        (b"12345678", "a single value and no object"),
        (b"9" * 5000, "a single value and no object"),
        (json.dumps(DOCUMENT["private_key_id"]).encode(), "a single value and no object"),
        (b'"e0ab34cd5e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b"', "a single value and no object"),  # begins as base64 of a { does
        (b"[" * 16_000, "is nested too deeply"),
        (b'{"type": "service_account", ' + KEY[1:], "has a member twice"),
        (_with(extra={"x": 1})[:-2] + b', "x": 2}}', "has a member twice"),
        (b"{}", 'is not of "type": "service_account"'),
        (_with(type=None), 'is not of "type": "service_account"'),
        (_with(type="authorized_user"), 'is not of "type": "service_account"'),
        (_with(type=["service_account"]), 'is not of "type": "service_account"'),
        (_with(client_email=None), "lacks client_email."),
        (_with(project_id=""), "lacks project_id."),
        (_with(project_id=12345), "lacks project_id."),
        (_with(private_key_id=" \n"), "lacks private_key_id."),
        (_with(token_uri=["https://oauth2.googleapis.com/token"]), "lacks token_uri."),
        (_with(private_key=None), "lacks private_key."),
        (_with(private_key={}, token_uri=None), "lacks token_uri and private_key."),
        (b'{"type": "service_account"}', "lacks client_email, project_id, private_key_id, token_uri and private_key."),
        (_with(client_email="\ud800@example.com"), "has control or invisible characters in client_email."),
        (_with(project_id="a\nb", client_email="a\u202eb"), "invisible characters in client_email and project_id."),
        (_with(private_key="not a key"), "private_key in the service account key does not load"),
        (_with(private_key="\ud800"), "does not load"),
        (_with(private_key="".join(PEM.splitlines()[1:-1])), "does not load"),
        (_with(private_key=PEM[: len(PEM) // 2]), "does not load"),
        (_with(private_key=PEM.replace(PEM[200:204], "AAAA")), "does not load"),
        (_with(private_key="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "does not load"),
        (
            _with(private_key=_pem(serialization.load_pem_private_key(PEM.encode(), None), passphrase=b"open sesame")),
            "without a passphrase",
        ),
        (_with(private_key=_pem(ec.generate_private_key(ec.SECP256R1()))), "is no RSA key"),
        (_with(private_key=_pem(ed25519.Ed25519PrivateKey.generate())), "is no RSA key"),
        (_with(private_key=_pem(_key_of_primes(2**2203 - 1, 2**2281 - 1))), "is longer than 4096 bits"),
        (_with(private_key=_pem(_key_of_primes(2**4253 - 1, 2**4423 - 1))), "is longer than 4096 bits"),
        (PEM.encode(), "is only the private key"),
        (PEM.replace("\n", "\r\n").encode(), "is only the private key"),
        (b"\n" + PEM.encode(), "is only the private key"),
        (json.dumps(PEM).encode(), "is only the private key"),
        (b'"private_key": ' + json.dumps(PEM).encode() + b",", "is only the private key"),
        (base64.b64encode(KEY), "is base64 of the JSON file"),
        (base64.encodebytes(KEY), "is base64 of the JSON file"),
        (base64.encodebytes(KEY).replace(b"\n", b"\r\n"), "is base64 of the JSON file"),
        (base64.urlsafe_b64encode(KEY).rstrip(b"="), "is base64 of the JSON file"),
        (base64.b64encode(b"\xef\xbb\xbf" + KEY), "is base64 of the JSON file"),
        (base64.b64encode(b"\n " + KEY)[:-3], "is base64 of the JSON file"),
        (b'"' + base64.b64encode(KEY) + b'"', "is base64 of the JSON file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_says_what_is_wrong_with_a_key_file(content: bytes, said: str) -> None:
    for uploaded in (False, True):
        refusal = _refusal(content, uploaded=uploaded)
        assert said in refusal
        assert "acme-images" not in refusal
        assert DOCUMENT["private_key_id"] not in refusal
        assert not any(line in refusal for line in PEM.splitlines())


@pytest.mark.parametrize("content", [b'{"a":' * 3_000, b"[" * 8_000 + b"]" * 8_000, b'{"a":[' * 1_300 + b"1" + b"]}" * 1_300])
def test_nesting_is_refused_whether_or_not_this_python_can_follow_it(content: bytes) -> None:
    assert re.search(r"nested too deeply|not JSON|an array|not of \"type\"", _refusal(content))


@pytest.mark.parametrize("content", [b"", base64.b64encode(KEY), PEM.encode(), b"[]", b"nonsense!", _with(private_key=None)])
def test_it_says_what_to_do_in_the_words_of_how_the_key_came(content: bytes) -> None:
    pasted, uploaded = _refusal(content), _refusal(content, uploaded=True)
    assert pasted.startswith("The service account key ")
    assert "Paste the JSON itself" in pasted
    assert uploaded.startswith("The uploaded file ")
    assert "Upload the .json file" in uploaded


def test_the_largest_file_is_taken() -> None:
    assert check_key_file(KEY + b" " * (MOST_BYTES - len(KEY))).project_id == "acme-images"


def test_a_key_that_the_library_would_warn_of_is_refused_without_a_warning() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        pem = _pem(dh.generate_parameters(generator=2, key_size=512).generate_private_key())
        serialization.load_pem_private_key(pem.encode(), None)
        assert heard, "else this test shows nothing"
        heard.clear()
        assert "is no RSA key" in _refusal(_with(private_key=pem))
    assert not heard


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_with_a_sentence(content: bytes) -> None:
    assert re.fullmatch(r"[ -~]+\.", _refusal(content))


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from(list(DOCUMENT)), inner, max_size=4),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(list(DOCUMENT)), _json, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_a_key_file_with_any_other_values_is_taken_or_refused_with_a_sentence(values: dict[str, Any]) -> None:
    content = json.dumps({**DOCUMENT, **values}).encode()
    try:
        facts = check_key_file(content)
    except ValueError as error:
        sentence = str(error)
    else:
        assert (facts.project_id + facts.client_email + facts.private_key_id).isprintable()
        return
    assert re.fullmatch(r"[ -~]+\.", sentence)


@given(st.integers(0, len(KEY) - 1), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_damaged_byte_is_never_told_with_what_stands_around_it(at: int, byte: int) -> None:
    damaged = KEY[:at] + bytes([byte]) + KEY[at + 1 :]
    try:
        check_key_file(damaged, uploaded=True)
    except ValueError as error:
        sentence = str(error)
    else:
        return
    words = set(re.findall(r"[A-Za-z0-9+/=]{12,}", damaged.decode("utf-8", "replace"))) - set(DOCUMENT) - {"service_account"}
    assert not [word for word in words if word in sentence]
