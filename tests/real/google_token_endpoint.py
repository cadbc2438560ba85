"""What speaks as Google's token endpoint does: it looks at the assertion (RFC 7523), and mints an access token for who signed it."""

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from tests.real.http_server import Handler, serving

AUDIENCE = "https://oauth2.googleapis.com/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass
class GoogleTokenEndpoint:
    """The running endpoint. `know` an account's key first. `lives` (seconds) is what a token is good for; `asked` counts the questions.

    `refusal` is the status and the `error` with which it fails; `tokens` and `claims` are all that it has given and was shown.
    """

    origin: str
    lives: int = 3599
    refusal: tuple[int, str] | None = None
    asked: int = 0
    tokens: list[str] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, RSAPublicKey] = field(default_factory=dict)

    def know(self, key_file: bytes) -> None:
        """Know the service account of this key file, as Google does."""
        document = json.loads(key_file)
        key = serialization.load_pem_private_key(document["private_key"].encode(), None)
        assert isinstance(key, RSAPrivateKey)
        self.keys[f"{document['client_email']} {document['private_key_id']}"] = key.public_key()

    def settings(self) -> dict[str, str]:
        """The variable with which a control plane asks here and not at Google."""
        return {"WEBAPP_GOOGLE_TOKEN_ENDPOINT": self.origin}

    def accepts(self, password: bytes) -> bool:
        """Whether this is a token that was given: for a registry's token server."""
        return password.decode("utf-8", "replace") in self.tokens

    def begin(self) -> None:
        """Forget what was said and counted: for the next test."""
        self.lives, self.refusal, self.asked = 3599, None, 0
        for each in (self.tokens, self.claims, self.keys):
            each.clear()

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, object]]:
        """What is answered to this."""
        self.asked += 1
        if self.refusal is not None:
            return self.refusal[0], {"error": self.refusal[1], "error_description": "no"}
        form = parse_qs(body.decode())
        if path != "/token" or form.get("grant_type") != [GRANT]:
            return 400, {"error": "unsupported_grant_type"}
        claims = self._verified(form["assertion"][0])
        if claims is None or claims["aud"] != AUDIENCE or not claims["iat"] - 60 <= time.time() < claims["exp"] <= claims["iat"] + 3600:
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        self.claims.append(claims)
        self.tokens.append(f"ya29.google-token-{len(self.tokens) + 1}-{'y' * 200}")
        return 200, {"access_token": self.tokens[-1], "expires_in": self.lives, "token_type": "Bearer"}

    def _verified(self, assertion: str) -> dict[str, Any] | None:
        signed, _, signature = assertion.rpartition(".")
        header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        key = self.keys.get(f"{claims['iss']} {header.get('kid')}")
        if key is None or header["alg"] != "RS256":
            return None
        try:
            key.verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return None
        return dict(claims)


@contextlib.contextmanager
def google_token_endpoint() -> Iterator[GoogleTokenEndpoint]:
    """Serve on a free port of 127.0.0.1 in a thread until the block ends."""
    state = GoogleTokenEndpoint("")

    class Endpoint(Handler):
        def do_POST(self) -> None:
            status, document = state.answer(self.path, self.body())
            self.answer(status, "application/json", json.dumps(document).encode())

    with serving(Endpoint) as origin:
        state.origin = origin
        yield state


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
