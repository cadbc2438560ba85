"""An authenticator in software: it keeps keys, and makes what a browser hands over of them (WebAuthn, https://www.w3.org/TR/webauthn-3/).

It does as it is told, so that a test can have it lie: each lie is a named argument.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

Options = Mapping[str, Any]
"""What the server asks for, as JSON."""

PRESENT, VERIFIED, MAY_BE_SYNCED, SYNCED, NEW_KEY = 0x01, 0x04, 0x08, 0x10, 0x40
"""The flags of authenticator data (section 6.1)."""


@dataclass
class Key:
    """One passkey in the authenticator."""

    user: bytes
    rp_id: str
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    count: int = 0


@dataclass
class Authenticator:
    """A device with keys in it, in a browser that is at `origin`. `counts` is whether it counts signatures; many keep zero."""

    origin: str
    counts: bool = True
    synced: bool = False
    keys: list[Key] = field(default_factory=list)

    def create(self, options: Options, *, origin: str = "", rp_id: str = "", verified: bool = True, key_id: bytes = b"") -> dict[str, Any]:
        """Make a key, as `navigator.credentials.create()` does; what its `toJSON` says."""
        known = {text_of(key.id) for key in self.keys}
        assert not known & {entry["id"] for entry in options["excludeCredentials"]}, "a browser refuses to make it again"
        key = Key(bytes_of(options["user"]["id"]), rp_id or options["rp"]["id"])
        key.id = key_id or key.id
        self.keys.append(key)
        numbers = key.private.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}  # EC2, ES256, P-256 (RFC 9053)
        attested = bytes(16) + len(key.id).to_bytes(2) + key.id + cbor2.dumps(cose)
        data = self._data(key, verified, NEW_KEY) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": text_of(self._client_data("webauthn.create", options["challenge"], origin)),
            "attestationObject": text_of(attestation),
            "transports": ["internal", "hybrid", "carrier-pigeon"],
        }
        return {"id": text_of(key.id), "rawId": text_of(key.id), "type": "public-key", "response": response}

    def get(
        self, options: Options, *, origin: str = "", rp_id: str = "", verified: bool = True, signs: bool = True, which: int = 0
    ) -> dict[str, Any]:
        """Sign with a key, as `navigator.credentials.get()` does; what its `toJSON` says."""
        allowed = {entry["id"] for entry in options.get("allowCredentials", [])}
        key = [key for key in self.keys if not allowed or text_of(key.id) in allowed][which]
        key.count += self.counts
        data = self._data(Key(key.user, rp_id, count=key.count) if rp_id else key, verified)
        client_data = self._client_data("webauthn.get", options["challenge"], origin)
        signature = key.private.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": text_of(client_data),
            "authenticatorData": text_of(data),
            "signature": text_of(signature if signs else signature[:-1] + bytes([signature[-1] ^ 1])),
            "userHandle": text_of(key.user),
        }
        return {"id": text_of(key.id), "rawId": text_of(key.id), "type": "public-key", "response": response}

    def _data(self, key: Key, verified: bool, more: int = 0) -> bytes:
        flags = PRESENT | more | (VERIFIED if verified else 0) | (MAY_BE_SYNCED | SYNCED if self.synced else 0)
        return hashlib.sha256(key.rp_id.encode()).digest() + bytes([flags]) + key.count.to_bytes(4)

    def _client_data(self, kind: str, challenge: str, origin: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": origin or self.origin, "crossOrigin": False}).encode()


def text_of(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def bytes_of(text: str) -> bytes:
    """What that base64url stands for."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
