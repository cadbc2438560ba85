"""An ID token and the keys that it may be signed with, by joserfc and Authlib. Imported when first needed: they take long.

The rules are those of OpenID Connect Core 1.0, section 3.1.3.7.
"""

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, InvalidKeyIdError, JoseError, MissingClaimError, UnsupportedAlgorithmError
from joserfc.jwk import JWKRegistry, Key, KeySet
from joserfc.jws import JWSRegistry

LEEWAY = 60
"""Seconds by which two clocks may differ."""

_KINDS = frozenset({"RSA", "EC", "OKP"})
_SHORTEST_RSA = 342
"""Characters of a modulus of 2048 bits in base64url (RFC 7518, section 3.3)."""


class NotToken(Exception):
    """What came is no ID token for us; `why` says which rule it breaks, in words of ours."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class UnknownKey(NotToken):
    """It is signed with a key that is not among these."""


class _Registry(JWSRegistry):
    """The algorithms that are allowed, and no others: an issuer's certificates in a header may be long."""

    max_header_length = 8 * 1024

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(f"{name!r} is not allowed")
        return self.algorithms[name]


def keys_of(document: Mapping[str, Any]) -> KeySet:
    """The public keys of a JWK Set that may sign (RFC 7517, section 5); others in it are passed over. Raises NotToken for none."""
    found: list[Key] = []
    keys = document.get("keys")
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, dict) or key.get("kty") not in _KINDS or key.get("use", "sig") != "sig":
            continue
        if key["kty"] == "RSA" and len(str(key.get("n", ""))) < _SHORTEST_RSA:
            continue
        with contextlib.suppress(JoseError, ValueError, TypeError, LookupError):  # a curve that is not known, or no key at all
            found.append(JWKRegistry.import_key(key))
    if not found:
        raise NotToken("the issuer has no key that could sign it")
    return KeySet(found)


def claims_of(
    id_token: str,
    keys: KeySet,
    *,
    algorithms: Collection[str],
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str | None,
    now: int,
) -> Mapping[str, Any]:
    """The claims of an ID token that is meant for this sign-in; `now` in Unix seconds. Raises NotToken, UnknownKey."""
    try:
        token = jwt.decode(id_token, keys, registry=_Registry(algorithms=algorithms, strict_check_header=False))
        options = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}}
        claims = CodeIDToken(token.claims, token.header, options, {"nonce": nonce, "client_id": client_id, "access_token": access_token})
        claims.validate(now=now, leeway=LEEWAY)
    except InvalidKeyIdError:
        problem: NotToken = UnknownKey("it is signed with a key that the issuer does not publish")
    except ExpiredTokenError:
        problem = NotToken("it has expired; or one of the two clocks is wrong")
    except (InvalidClaimError, MissingClaimError) as error:
        problem = NotToken(f"what it says is not right, or missing ({error.claim})")
    except UnsupportedAlgorithmError:
        problem = NotToken("it is signed in a way that is not allowed")
    except (JoseError, ValueError, TypeError, AttributeError, LookupError, RecursionError, OverflowError):
        problem = NotToken("its signature is not right")
    else:
        return dict(claims)
    # Raised out here: what the libraries raise quotes the token.
    raise problem
