"""The issuer itself: what it says of itself, that it is down, that it answers with too much, and its certificate."""

import gzip
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.accounts.stories_oidc import at_issuer, back, begin, environ, same_time, sign_in
from tests.personas import PASSWORD, House
from tests.real.authority import Authority
from tests.real.http_server import Handler
from tests.real.issuer import Issuer
from webapp.accounts import oidc_http
from webapp.accounts.oidc import Provider
from webapp.accounts.oidc_secrets import secrets_of
from webapp.app import create_app
from webapp.clock import HOUR, SECOND
from webapp.errors import ConfigurationError, Unavailable
from webapp.oidc_settings import OidcSettings
from webapp.settings import Settings

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # it is about the issuer

WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture
def house_environ(issuer: Issuer) -> dict[str, str]:
    return environ(issuer)


@pytest.fixture
def home(house: House, issuer: Issuer) -> House:
    same_time(house, issuer)
    return house


async def test_an_issuer_that_is_down_is_a_page_and_the_password_goes_on(home: House, issuer: Issuer) -> None:
    client = await home.client()
    issuer.down = {"*": (502, b"<html>")}
    answer = await client.get("/login/oidc")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Acme ID cannot be asked just now who you are. Try again in a minute, or sign in another way." in answer.text
    assert "Continue with Acme ID" in (await client.get("/login")).text
    assert (await client.post("/login", data={"email": "alice@example.com", "password": PASSWORD})).status_code == 303
    asked = len(issuer.asked)
    for _ in range(3):
        assert (await (await home.client()).get("/login/oidc")).status_code == 503
    assert len(issuer.asked) == asked, "strangers cannot have it asked all the time"
    issuer.down = {}
    home.clock.advance(5 * SECOND)
    assert (await sign_in(await home.client())).status_code == 303


@pytest.mark.parametrize("path", ["/token", "/jwks"])
async def test_an_issuer_that_goes_down_in_between_is_a_page(home: House, issuer: Issuer, path: str) -> None:
    client = await home.client()
    address = await at_issuer(await begin(client))
    for status, body in ((500, b"{}"), (200, b"not JSON"), (200, b"[]"), (302, b""), (200, b"[" * 100_000)):
        issuer.down = {path: (status, body)}
        answer = await back(client, address)
        assert answer.status_code in {403, 503}, (status, answer.text)
        assert "Acme ID" in answer.text
        address = await at_issuer(await begin(client))
        home.clock.advance(5 * SECOND)
    assert (await client.get("/images")).status_code == 303


async def test_a_token_endpoint_that_refuses_this_server_tells_whoever_runs_it(
    home: House, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    client = await home.client()
    address = await at_issuer(await begin(client))
    issuer.metadata = {}
    assert (await back(client, address)).status_code == 503
    assert "invalid_client); look at WEBAPP_OIDC_CLIENT_ID and its secret" in caplog.text


async def test_a_token_answer_without_an_id_token_is_refused(home: House, issuer: Issuer) -> None:
    for answer in ({"id_token": None}, {"id_token": 7}, {"id_token": "a.b.c"}, {"id_token": ""}, {"expires_in": "soon"}):
        issuer.token_answer = answer
        assert (await sign_in(await home.client())).status_code in {403, 503}, answer


async def test_an_address_that_is_not_in_the_id_token_is_asked_for(home: House, issuer: Issuer) -> None:
    """Core, section 5.4: where there is an access token, an issuer may leave it to UserInfo."""
    issuer.claims = {"email": None, "email_verified": None}
    assert "has verified your email address" in (await sign_in(await home.client())).text, "it names no such endpoint"
    issuer.metadata["userinfo_endpoint"] = f"{issuer.origin}/userinfo"
    home.clock.advance(HOUR)
    for answer, down in (
        ({"sub": "b-2"}, {}),
        ({"email_verified": False}, {}),
        ({}, {"/userinfo": (500, b"")}),
        ({}, {"/userinfo": (200, b"a.jwt.perhaps")}),
    ):
        issuer.userinfo, issuer.down = answer, down
        assert "has verified your email address" in (await sign_in(await home.client())).text, answer
    issuer.userinfo, issuer.down = {}, {}
    issuer.token_answer = {"access_token": "no\r\ntoken"}
    issuer.claims["at_hash"] = None
    assert "has verified your email address" in (await sign_in(await home.client())).text
    issuer.token_answer = {}
    assert (await sign_in(await home.client())).status_code == 303
    asked = issuer.asked.count("/userinfo")
    issuer.claims = {}
    assert (await sign_in(await home.client())).status_code == 303
    assert issuer.asked.count("/userinfo") == asked, "it was in the ID token"


ODD: list[tuple[dict[str, Any], str]] = [
    ({"issuer": "https://evil.example"}, "it calls itself 'https://evil.example'"),
    ({"issuer": None}, "it calls itself 'None'"),
    ({"authorization_endpoint": "http://evil.example/authorize"}, "its authorization_endpoint is no https:// address"),
    ({"authorization_endpoint": "javascript:alert(1)"}, "its authorization_endpoint"),
    ({"authorization_endpoint": "https://id.example/a\r\nSet-Cookie: x=y"}, "its authorization_endpoint"),
    ({"token_endpoint": "https://user:password@id.example/token"}, "its token_endpoint"),
    ({"token_endpoint": None}, "its token_endpoint"),
    ({"jwks_uri": ["https://id.example"]}, "its jwks_uri"),
    ({"userinfo_endpoint": "http://evil.example"}, "its userinfo_endpoint"),
    ({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}, "neither client_secret_basic nor client_secret_post"),
    ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "it signs ID tokens with none of"),
    ({"id_token_signing_alg_values_supported": "RS256"}, "it signs ID tokens with none of"),
]


async def test_an_issuer_that_says_odd_things_of_itself_is_not_used(home: House, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    client = await home.client()
    for metadata, why in ODD:
        issuer.metadata = metadata
        answer = await client.get("/login/oidc")
        assert answer.status_code == 503, metadata
        assert why in caplog.text, metadata
        assert "evil" not in answer.text
        home.clock.advance(5 * SECOND)


async def test_what_it_says_of_itself_is_looked_up_once_an_hour(home: House, issuer: Issuer) -> None:
    for _ in range(2):
        await begin(await home.client())
    assert issuer.asked.count(WELL_KNOWN) == 1
    home.clock.advance(HOUR)
    await begin(await home.client())
    assert issuer.asked.count(WELL_KNOWN) == 2


async def test_without_an_issuer_there_is_nothing(house: House) -> None:
    house.app.state.provider = None
    client = await house.client()
    assert "Continue with" not in (await client.get("/login")).text
    for address in ("/login/oidc", "/login/oidc/callback", "/login/oidc/refused"):
        assert (await client.get(address)).status_code == 404
    alice = await house.signed_in(house.alice)
    for address in ("/settings/sign-in/confirm/oidc", "/settings/sign-in/link/oidc"):
        assert (await alice.get(address)).status_code == 404


class _Raw(Handler):
    body_: bytes = b""
    head: tuple[tuple[str, str], ...] = ()

    def do_GET(self) -> None:
        self.send_response(200)
        for name, value in self.head:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body_)


@pytest.fixture
def tls_issuer(authority: Authority, tmp_path: Path) -> Iterator[str]:
    """What says of itself that it is an issuer, over TLS with a certificate of the tests' own authority."""
    files = authority.issue(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certificate"], files["key"])
    with ThreadingHTTPServer(("127.0.0.1", 0), _Raw) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        origin = f"https://localhost:{server.server_address[1]}"
        endpoints = dict.fromkeys(("authorization_endpoint", "token_endpoint", "jwks_uri"), f"{origin}/x")
        _Raw.head, _Raw.body_ = (), json.dumps({"issuer": origin, **endpoints}).encode()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield origin
        server.shutdown()
        thread.join()


def provider(origin: str, ca_file: Path | None) -> Provider:
    return Provider(OidcSettings(origin, "us", "", "Acme ID", ca_file), "https://keys.example", lambda: 0)


async def test_its_certificate_is_verified(house: House, tls_issuer: str, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    secrets = secrets_of(house.store.vault, "state")
    url = await provider(tls_issuer, authority.ca_file).authorization_url("state", secrets)
    assert url.startswith(f"{tls_issuer}/x?")
    with pytest.raises(Unavailable):
        await provider(tls_issuer, None).authorization_url("state", secrets)
    assert "its certificate is not one to trust (" in caplog.text
    assert "WEBAPP_OIDC_CA_FILE names those that are" in caplog.text


async def test_it_reads_no_more_than_a_mebibyte_and_nothing_compressed(tls_issuer: str, authority: Authority) -> None:
    trust = ssl.create_default_context(cafile=authority.ca_file)
    assert "issuer" in await oidc_http.fetch_document(trust, tls_issuer)
    _Raw.body_ = b'{"a":"' + b"x" * oidc_http.MOST_BODY + b'"}'
    with pytest.raises(oidc_http.NotAnswered, match="longer than 1024 KiB"):
        await oidc_http.fetch_document(trust, tls_issuer)
    _Raw.head, _Raw.body_ = (("Content-Encoding", "gzip"),), gzip.compress(b'{"a":1}')
    with pytest.raises(oidc_http.NotAnswered, match="compressed"):
        await oidc_http.fetch_document(trust, tls_issuer)


async def test_it_waits_no_longer_than_it_says(tls_issuer: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc_http, "SECONDS", 0.0)
    with pytest.raises(oidc_http.NotAnswered, match="did not answer within"):
        await oidc_http.fetch_document(ssl.create_default_context(cafile=authority.ca_file), tls_issuer)


def test_a_file_without_certificates_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    variables = {
        "WEBAPP_DATA_DIR": str(tmp_path / "data"),
        "WEBAPP_OIDC_ISSUER": "https://id.example.com",
        "WEBAPP_OIDC_CLIENT_ID": "us",
        "WEBAPP_OIDC_CA_FILE": str(tmp_path / "ca.pem"),
    }
    with pytest.raises(ConfigurationError, match=r"^WEBAPP_OIDC_CA_FILE: .* holds no certificates in PEM\.$"):
        create_app(Settings.from_environ(variables))
