"""A small OpenID Connect issuer: discovery, a page to sign in on, codes with PKCE (RFC 7636), signed ID tokens, keys that change."""

import base64
import contextlib
import hashlib
import html
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tests.real.http_server import Handler, serving

CLIENT = "registry credentials"
"""With a blank, so that who forgets to encode it (RFC 6749, section 2.3.1) is found out."""
CLIENT_SECRET = "the issuer's & our secret: 50 % + more"
PASSWORD = "alice's password at the issuer"


@dataclass
class Somebody:
    """A person of the issuer."""

    subject: str
    email: str
    email_verified: object = True


@dataclass
class _Grant:
    asked: dict[str, str]
    who: Somebody
    auth_time: int


@dataclass
class Issuer:
    """The running issuer. What it does otherwise than it should is in `claims` and `metadata` (None leaves one out), `alg`, `key`,
    `userinfo`, `answer_iss`, `token_answer`, `error` and `down` (status and body, by path or `*`). `asked` are paths.
    """

    origin: str = ""
    clock: Callable[[], float] = time.time
    people: dict[str, Somebody] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    alg: str = "ES256"
    key: Any = None
    kid: str | None = "1"
    answer_iss: str | None = None
    down: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    token_answer: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    userinfo: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    verified_pkce: int = 0
    _keys: dict[str, Any] = field(default_factory=dict)
    _codes: dict[str, _Grant] = field(default_factory=dict)
    _tokens: dict[str, Somebody] = field(default_factory=dict)

    def begin(self) -> None:
        """Be as an issuer should be again, with alice and bob, and with nobody signed in: for the next test."""
        fresh = Issuer(self.origin)
        fresh.people = {"alice": Somebody("a-1", "alice@example.com"), "bob": Somebody("b-2", "bob@example.com")}
        fresh._keys = {"1": signing_key("ES256")}
        self.__dict__.update(fresh.__dict__)

    def settings(self, **more: str) -> dict[str, str]:
        """The variables with which a control plane lets this issuer's people in."""
        return {
            "WEBAPP_OIDC_ISSUER": self.origin,
            "WEBAPP_OIDC_CLIENT_ID": CLIENT,
            "WEBAPP_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "WEBAPP_OIDC_NAME": "Acme ID",
            **more,
        }

    def rotate(self, kid: str, *, keep: bool = False) -> None:
        """Sign with another key from now on."""
        self.kid, self.key = kid, None
        self._keys = {**(self._keys if keep else {}), kid: ECKey.generate_key("P-256")}

    def sign_with(self, alg: str) -> None:
        """Sign with a key for this algorithm."""
        self.alg, self._keys = alg, {"1": signing_key(alg)}
        self.metadata["id_token_signing_alg_values_supported"] = [alg]

    def document(self) -> dict[str, Any]:
        """What it says of itself."""
        whole = {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "jwks_uri": f"{self.origin}/jwks",
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            **self.metadata,
        }
        return {name: value for name, value in whole.items() if value is not None}

    def jwks(self) -> dict[str, Any]:
        """Its public keys, and others of no use."""
        others = [{"kty": "oct", "k": "c2VjcmV0", "kid": "o"}, {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "e"}, "no key"]
        return {"keys": [*others, *({**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in self._keys.items())]}

    def grant(self, asked: dict[str, str], name: str, auth_time: int) -> str:
        """Where the browser goes when this person has signed in."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = _Grant(asked, self.people[name], auth_time)
        return self._back(asked, {"code": code})

    def refuse(self, asked: dict[str, str], error: str) -> str:
        """Where the browser goes when nobody has."""
        return self._back(asked, {"error": error, "error_description": "<b>no</b>"})

    def why_not(self, asked: dict[str, str], redirect_uris: str) -> str:
        """What is wrong with a request for authorization, or ""."""
        if asked.get("client_id") != CLIENT or not asked.get("redirect_uri", "").endswith(redirect_uris):
            return "unknown client or redirect URI"
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            return "not a request of OpenID Connect"
        if asked.get("code_challenge_method") != "S256" or len(asked.get("code_challenge", "")) != 43:
            return "no PKCE"
        return "" if asked.get("state") and asked.get("nonce") else "no state or no nonce"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The answer of the token endpoint."""
        if not self._knows_client(form, authorization):
            return 401, {"error": "invalid_client"}
        grant = self._codes.pop(form.get("code", ""), None)
        if grant is None or form.get("grant_type") != "authorization_code" or grant.asked["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        hashed = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if hashed != grant.asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        self.verified_pkce += 1
        access_token = secrets.token_urlsafe(16)
        self._tokens[access_token] = grant.who
        answer = {"access_token": access_token, "token_type": "Bearer", "expires_in": 60, "id_token": self._id_token(grant, access_token)}
        whole = {**answer, **self.token_answer}
        return 200, {name: value for name, value in whole.items() if value is not None}

    def told_about(self, authorization: str) -> tuple[int, dict[str, Any]]:
        """The answer of the UserInfo endpoint."""
        who = self._tokens.get(authorization.removeprefix("Bearer "))
        if who is None:
            return 401, {}
        return 200, {"sub": who.subject, "email": who.email, "email_verified": who.email_verified, **self.userinfo}

    def _id_token(self, grant: _Grant, access_token: str) -> str:
        now = int(self.clock())
        digest = hashlib.sha256(access_token.encode()).digest()
        claims = {
            "iss": self.origin,
            "sub": grant.who.subject,
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "auth_time": grant.auth_time,
            "nonce": grant.asked["nonce"],
            "email": grant.who.email,
            "email_verified": grant.who.email_verified,
            **({"at_hash": base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()} if self.alg.endswith("256") else {}),
            **self.claims,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        key = self.key or self._keys[self.kid or "1"]
        header = {"alg": self.alg, **({"kid": self.kid} if self.kid else {})}
        return jwt.encode(header, said, key, registry=_Anything(algorithms=[self.alg]))

    def _knows_client(self, form: dict[str, str], authorization: str) -> bool:
        methods = self.metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "client_secret_basic" in methods:
            scheme, _, encoded = authorization.partition(" ")
            name, _, secret = base64.b64decode(encoded).decode().partition(":")
            return scheme == "Basic" and (unquote_plus(name), unquote_plus(secret)) == (CLIENT, CLIENT_SECRET)
        if authorization or form.get("client_id") != CLIENT:
            return False
        return methods == ["none"] or form.get("client_secret") == CLIENT_SECRET

    def _back(self, asked: dict[str, str], answer: dict[str, str]) -> str:
        iss = {} if self.answer_iss is None else {"iss": self.answer_iss}
        return asked["redirect_uri"] + "?" + urlencode({**answer, "state": asked["state"], **iss})


class _Anything(JWSRegistry):
    """Signs with whatever it is told, and warns of nothing."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


@cache
def signing_key(alg: str) -> Any:
    """A key for the algorithm; made once in a run, since RSA takes long."""
    if alg[:2] in {"RS", "PS"}:
        return RSAKey.generate_key(2048)
    if alg == "EdDSA":
        return OKPKey.generate_key("Ed25519")
    if alg[:2] == "HS":
        return OctKey.import_key(CLIENT_SECRET)
    return ECKey.generate_key({"ES384": "P-384", "ES512": "P-521"}.get(alg, "P-256"))


@contextlib.contextmanager
def issuer(host: str = "127.0.0.1") -> Iterator[Issuer]:
    """Serve on a free port of this machine, by this name of it, in a thread until the block ends."""
    state = Issuer()

    class Endpoint(_Endpoint):
        issuer = state

    with serving(Endpoint) as origin:
        state.origin = origin.replace("127.0.0.1", host)
        state.begin()
        yield state


class _Endpoint(Handler):
    issuer: Issuer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if self._is_down(parts.path):
            return
        if parts.path == "/.well-known/openid-configuration":
            self._json(200, self.issuer.document())
        elif parts.path == "/jwks":
            self._json(200, self.issuer.jwks())
        elif parts.path == "/userinfo":
            self._json(*self.issuer.told_about(self.headers.get("Authorization") or ""))
        elif parts.path == "/authorize":
            self._authorize({name: values[0] for name, values in parse_qs(parts.query).items()})
        else:
            self._json(404, {})

    def do_POST(self) -> None:
        form = {name: values[0] for name, values in parse_qs(self.body().decode(), keep_blank_values=True).items()}
        if self._is_down(self.path):
            return
        if self.path == "/token":
            self._json(*self.issuer.token(form, self.headers.get("Authorization") or ""))
            return
        asked = json.loads(form["asked"])
        if "cancel" in form:
            self._lead(self.issuer.refuse(asked, "access_denied"))
        elif form.get("password") == PASSWORD and form.get("user") in self.issuer.people:
            now = int(self.issuer.clock())
            self._lead(self.issuer.grant(asked, form["user"], now), f"issuer={form['user']}.{now}; Path=/; HttpOnly")
        else:
            self._page(asked)

    def _authorize(self, asked: dict[str, str]) -> None:
        why = self.issuer.why_not(asked, "/login/oidc/callback")
        name, _, at = (self.headers.get("Cookie") or "").partition("issuer=")[2].partition(".")
        fresh = at.isdigit() and int(self.issuer.clock()) - int(at) <= int(asked.get("max_age", "99999999"))
        if why:
            self.answer(400, "text/plain", why.encode())
        elif self.issuer.error:
            self._lead(self.issuer.refuse(asked, self.issuer.error))
        elif name in self.issuer.people and fresh:
            self._lead(self.issuer.grant(asked, name, int(at)))
        else:
            self._page(asked)

    def _page(self, asked: dict[str, str]) -> None:
        body = (
            '<!doctype html><html lang="en"><title>Acme ID</title><h1>Sign in to Acme ID</h1><form method="post" action="/authorize">'
            f'<input type="hidden" name="asked" value="{html.escape(json.dumps(asked))}"><label>User <input name="user"></label>'
            '<label>Password at Acme <input type="password" name="password"></label><button>Go on</button>'
            '<button name="cancel" value="1">Cancel</button></form></html>'
        )
        self.answer(200, "text/html; charset=utf-8", body.encode())

    def _lead(self, to: str, cookie: str = "") -> None:
        self.send_response(303)
        self.send_header("Location", to)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, status: int, document: dict[str, Any]) -> None:
        self.answer(status, "application/json", json.dumps(document).encode())

    def _is_down(self, path: str) -> bool:
        self.issuer.asked.append(path)
        found = self.issuer.down.get(path) or self.issuer.down.get("*")
        if found is not None:
            self.answer(found[0], "application/json", found[1])
        return found is not None
