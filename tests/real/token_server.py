"""A token server for `docker-registry`: what a cloud's registry has behind it.

The protocol is the distribution project's "Token Authentication Specification": the registry answers 401 with this server's address
and a scope, the client asks here with HTTP basic auth, and shows the registry the JSON Web Token (RFC 7519) that it gets.
"""

import base64
import contextlib
import datetime as dt
import hmac
import json
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.real.http_server import Handler, serving

ISSUER = "token server of the tests"
SERVICE = "registry of the tests"
TOKEN_SECONDS = 300


@contextlib.contextmanager
def token_server(
    *, username: str, password: bytes, certificate_file: Path, refused: Collection[str] = (), accepts: Callable[[bytes], bool] | None = None
) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1 in a thread; gives the `realm`, this server's address.

    Writes the certificate that the registry trusts (`rootcertbundle`) into `certificate_file`. Whoever shows `username` and exactly
    the bytes of `password`, or another password that `accepts` takes, is granted the scope asked for; everybody else gets 401.
    `refused` are patterns of repositories for which nobody is granted anything: a token is given all the same, as Docker Hub does. It is
    looked at with each request.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key)
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    expected = base64.b64encode(username.encode() + b":" + password)

    class Realm(Handler):
        def do_GET(self) -> None:
            scheme, _, shown = self.headers.get("Authorization", "").partition(" ")
            other, _, password_shown = base64.b64decode(shown).partition(b":") if scheme == "Basic" else (b"", b"", b"")
            taken = accepts is not None and other == username.encode() and accepts(password_shown)
            if scheme != "Basic" or not (hmac.compare_digest(shown.encode(), expected) or taken):
                self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong username or password"}]})
                return
            scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
            scopes = [scope for scope in scopes if not any(fnmatchcase(scope.split(":", 1)[1].rpartition(":")[0], one) for one in refused)]
            self._answer(200, {"token": _token(key, certificate, username, scopes), "expires_in": TOKEN_SECONDS})

        def _answer(self, status: int, document: object) -> None:
            self.answer(status, "application/json", json.dumps(document).encode())

    with serving(Realm) as origin:
        yield f"{origin}/token"


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ISSUER)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def _token(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, username: str, scopes: list[str]) -> str:
    now = int(time.time())
    # A scope is `type:name:actions`, and the name may hold colons of its own (a host with a port).
    access = []
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    claims = {
        "iss": ISSUER, "sub": username, "aud": SERVICE, "jti": secrets.token_hex(8), "access": access,
        "iat": now, "nbf": now - 10, "exp": now + TOKEN_SECONDS,
    }  # fmt: skip
    chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
    signed = _part({"typ": "JWT", "alg": "ES256", "x5c": chain}) + b"." + _part(claims)
    # RFC 7518, section 3.4: R and S, 32 bytes each, not the DER that the library gives.
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return (signed + b"." + _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()


def _part(document: object) -> bytes:
    return _base64url(json.dumps(document).encode())


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
