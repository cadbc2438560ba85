"""Tokens that say themselves when they expire, as registries hand them out; signed by nobody."""

import base64
import json


def ecr_token(expires_at: int) -> str:
    """A token of Amazon ECR as `aws ecr get-login-password` prints it; it expires at these Unix milliseconds."""
    token = {"payload": "c2VhbGVk" * 40, "datakey": "a2V5" * 40, "version": "2", "type": "DATA_KEY", "expiration": expires_at // 1000}
    return base64.b64encode(json.dumps(token).encode()).decode()


def jwt(claims: dict[str, object], header: object = None) -> str:
    """A JSON Web Token of these claims, in compact form."""
    parts = [json.dumps(part).encode() for part in (header or {"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in [*parts, b"signature"])
