"""The transit engine of OpenBao or Vault as what wraps the root key: two requests over HTTPS, without a library for it.

The context goes along as `associated_data`, which AEAD keys authenticate (aes128-gcm96, aes256-gcm96, chacha20-poly1305); the engine
refuses it for keys of other types. Redirects are not followed and no proxy is used, so that the token goes to the address that was named.
"""

import base64
import binascii
import http.client
import json
import re
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from webapp.errors import AppError, ConfigurationError
from webapp.kms_key import TransitKey
from webapp.names import printable
from webapp.vault.kms import UNWRAP, WRAP, Context, does_not_open, not_now, refused
from webapp.vault.secret import Secret
from webapp.withheld import withhold

_SECONDS = 10
_MOST_ANSWER = 64 * 1024
_PIECE = 8 * 1024
_LONGEST_REASON = 200
_TOKEN = "WEBAPP_TRANSIT_TOKEN"  # noqa: S105  the setting's name
_CIPHERTEXT = re.compile(rb"vault:v[0-9]{1,10}:[A-Za-z0-9+/]{40,}={0,2}")


class Transit:
    """A key of a transit engine. `token` is called at each use; it raises ConfigurationError."""

    def __init__(self, key: TransitKey, token: Callable[[], str], ca_file: Path | None) -> None:
        self._key = key
        self._token = token
        self._ca_file = ca_file

    def wrap(self, key: Secret, context: Context) -> bytes:
        """Encrypt the root key. The errors are those of `Kms.wrap`."""
        data = self._ask(WRAP, "encrypt", {"plaintext": _encoded(key.reveal())}, context)
        wrapped = str(data.get("ciphertext")).encode()
        if not _CIPHERTEXT.fullmatch(wrapped):
            raise self._odd(WRAP)
        return wrapped

    def unwrap(self, wrapped: bytes, context: Context) -> Secret:
        """Decrypt the root key. The errors are those of `Kms.unwrap`."""
        if not _CIPHERTEXT.fullmatch(wrapped):
            raise does_not_open(self._key)
        data = self._ask(UNWRAP, "decrypt", {"ciphertext": wrapped.decode("ascii")}, context)
        try:
            return Secret(base64.b64decode(str(data.get("plaintext")), validate=True))
        except binascii.Error:
            raise self._odd(UNWRAP) from None

    def _ask(self, verb: str, operation: str, fields: dict[str, str], context: Context) -> dict[str, Any]:
        token = self._token()
        if not token:
            raise ConfigurationError(f"{_TOKEN}: it is missing; {self._key} is asked with it. Set it, or {_TOKEN}_FILE.")
        body = json.dumps({**fields, "associated_data": _encoded(json.dumps(dict(context), sort_keys=True).encode())})
        try:
            status, answer = self._post(f"/v1/{self._key.mount}/{operation}/{self._key.name}", body, token)
        except ssl.SSLCertVerificationError as error:
            reason = f"its certificate is not one to trust ({error.verify_message}); WEBAPP_TRANSIT_CA_FILE names those that are"
            raise refused(self._key, verb, reason) from None
        except TimeoutError:
            raise not_now(self._key, verb, f"it did not answer within {_SECONDS} s") from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise not_now(self._key, verb, f"it cannot be reached ({reason})") from None
        document = _document(answer)
        if status != 200:
            raise self._refusal(verb, status, withhold(_reason(document), token, fields.get("plaintext", "")))
        data = document.get("data")
        if not isinstance(data, dict):
            raise self._odd(verb)
        return data

    def _post(self, path: str, body: str, token: str) -> tuple[int, bytes]:
        deadline = time.monotonic() + _SECONDS
        headers = {"X-Vault-Token": token, "X-Vault-Request": "true", "Content-Type": "application/json"}
        with closing(self._connection()) as connection:
            connection.request("POST", path, body, headers)
            with connection.getresponse() as response:
                pieces, length = [], 0
                while piece := response.read1(_PIECE):
                    pieces.append(piece)
                    length += len(piece)
                    if length > _MOST_ANSWER:
                        raise http.client.HTTPException("the answer is too long")
                    if time.monotonic() > deadline:
                        raise TimeoutError
                if response.length:
                    raise http.client.IncompleteRead(b"", response.length)
                return response.status, b"".join(pieces)

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._key.origin)
        host = parts.hostname or ""
        if parts.scheme == "http":  # of this machine: the settings refuse every other
            return http.client.HTTPConnection(host, parts.port, timeout=_SECONDS)
        try:
            trust = ssl.create_default_context(cafile=self._ca_file)
        except OSError:  # SSLError is one
            raise ConfigurationError(f"WEBAPP_TRANSIT_CA_FILE: {self._ca_file} holds no certificates in PEM.") from None
        trust.minimum_version = ssl.TLSVersion.TLSv1_2
        return http.client.HTTPSConnection(host, parts.port, timeout=_SECONDS, context=trust)

    def _refusal(self, verb: str, status: int, reason: str) -> AppError:
        if status in {401, 403}:
            return refused(self._key, verb, f"it refuses {_TOKEN} ({status}): that is no valid token, or one that may not do this")
        if 300 <= status < 400:
            return refused(self._key, verb, f"it answers with a redirect ({status}), which is not followed")
        if status in {412, 429} or status >= 500:
            return not_now(self._key, verb, f"it cannot do it now ({status}{reason})")
        if verb == UNWRAP and "authentication failed" in reason:
            return does_not_open(self._key)
        return refused(self._key, verb, f"it refuses ({status}{reason})")

    def _odd(self, verb: str) -> ConfigurationError:
        return refused(self._key, verb, "its answer is not one of a transit engine")


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _document(answer: bytes) -> dict[str, Any]:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _reason(document: dict[str, Any]) -> str:
    """What the server says, as the end of what is in brackets; "" when it says nothing."""
    errors = document.get("errors")
    said = " ".join(" ".join(str(error) for error in errors).split()) if isinstance(errors, list) else ""
    return f": {printable(said)[:_LONGEST_REASON]}" if said else ""
