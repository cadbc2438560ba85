"""What an issuer, or somebody in between, answers that it should not: none of it signs anybody in."""

from typing import Any

import pytest

from tests.accounts.stories_oidc import CALLBACK, at_issuer, back, begin, environ, query, same_time, sign_in
from tests.personas import House
from tests.real.issuer import Issuer, signing_key
from webapp.accounts.oidc_secrets import secrets_of
from webapp.clock import HOUR, MINUTE, SECOND

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # it is the issuer's answers that differ here; test_oidc.py asks for links on both

NOW = 1_793_714_700


@pytest.fixture
def house_environ(issuer: Issuer) -> dict[str, str]:
    return environ(issuer)


@pytest.fixture
def home(house: House, issuer: Issuer) -> House:
    same_time(house, issuer)
    return house


WRONG_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"iss": "https://evil.example"}, "(iss)"),
    ({"iss": None}, "(iss)"),
    ({"aud": "another client"}, "(aud)"),
    ({"aud": None}, "(aud)"),
    ({"aud": []}, "(aud)"),
    ({"aud": ["registry credentials", "another client"]}, "(azp)"),
    ({"azp": "another client"}, "(azp)"),
    ({"nonce": "of another sign-in"}, "(nonce)"),
    ({"nonce": None}, "(nonce)"),
    ({"exp": NOW - 60}, "expired"),
    ({"exp": "never"}, "(exp)"),
    ({"exp": None}, "(exp)"),
    ({"iat": NOW + 61}, "(iat)"),
    ({"iat": None}, "(iat)"),
    ({"nbf": NOW + 61}, "(nbf)"),
    ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "(at_hash)"),
    ({"sub": None}, "(sub)"),
    ({"sub": ""}, "(sub)"),
    ({"sub": 7}, "(sub)"),
    ({"sub": "x" * 256}, "(sub)"),
    ({"sub": "a\x00b"}, "(sub)"),
]

RIGHT_CLAIMS: list[dict[str, Any]] = [
    {"exp": NOW - 59},
    {"iat": NOW + 60},
    {"aud": ["registry credentials"]},
    {"aud": ["registry credentials", "b"], "azp": "registry credentials"},
]


async def test_it_refuses_an_id_token_that_is_not_for_this_sign_in(home: House, issuer: Issuer) -> None:
    client = await home.client()
    for claims, reason in WRONG_CLAIMS:
        issuer.claims = claims
        answer = await sign_in(client)
        assert (answer.status_code, reason in answer.text) == (403, True), (claims, answer.text)
        assert (await client.get("/images")).status_code == 303
    assert await home.audit() == []
    for claims in RIGHT_CLAIMS:
        issuer.claims = claims
        assert (await sign_in(await home.client())).status_code == 303, claims


async def test_it_takes_the_algorithms_that_the_issuer_says_it_has(home: House, issuer: Issuer) -> None:
    for alg in ("RS256", "PS256", "ES384", "ES512", "EdDSA"):
        issuer.sign_with(alg)
        assert (await sign_in(await home.client())).status_code == 303, alg
        home.clock.advance(HOUR)


async def test_it_refuses_an_algorithm_that_the_issuer_does_not_say_it_has(home: House, issuer: Issuer) -> None:
    issuer.sign_with("ES384")
    issuer.metadata = {}
    assert "is not right" in (await sign_in(await home.client())).text


@pytest.mark.parametrize("alg", ["HS256", "none"])
async def test_it_never_takes_an_algorithm_without_a_key_of_the_issuers_own(home: House, issuer: Issuer, alg: str) -> None:
    issuer.alg, issuer.key = alg, signing_key("HS256")
    issuer.metadata["id_token_signing_alg_values_supported"] = [alg, "ES256"]
    for kid in ("1", None):
        issuer.kid = kid
        assert (await sign_in(await home.client())).status_code == 403
    issuer.metadata["id_token_signing_alg_values_supported"] = [alg]
    home.clock.advance(HOUR)
    assert (await (await home.client()).get("/login/oidc")).status_code == 503


async def test_it_refuses_a_signature_of_somebody_else(home: House, issuer: Issuer) -> None:
    issuer.key = type(signing_key("ES256")).generate_key("P-256")
    assert "its signature is not right" in (await sign_in(await home.client())).text


async def test_new_keys_are_looked_for_when_one_is_not_known_and_not_all_the_time(home: House, issuer: Issuer) -> None:
    assert (await sign_in(await home.client())).status_code == 303
    issuer.rotate("2")
    home.clock.advance(5 * SECOND)
    assert (await sign_in(await home.client())).status_code == 303
    assert issuer.asked.count("/jwks") == 2
    issuer.kid, issuer.key = "3", signing_key("ES256")
    for _ in range(3):
        assert "a key that the issuer does not publish" in (await sign_in(await home.client())).text
    assert issuer.asked.count("/jwks") == 2, "it was asked less than 5 seconds ago"


@pytest.mark.parametrize(
    ("methods", "environ_more"),
    [(["client_secret_post"], {}), (["client_secret_post", "client_secret_basic"], {}), (["none"], {"WEBAPP_OIDC_CLIENT_SECRET": ""})],
    indirect=["environ_more"],
)
async def test_it_shows_who_it_is_as_the_issuer_wants_it(environ_more: None, home: House, issuer: Issuer, methods: list[str]) -> None:
    issuer.metadata["token_endpoint_auth_methods_supported"] = methods
    assert (await sign_in(await home.client())).status_code == 303


@pytest.fixture
def environ_more(request: pytest.FixtureRequest, house_environ: dict[str, str]) -> None:
    house_environ.update(request.param)


async def test_a_callback_that_this_browser_did_not_begin_is_refused(home: House, issuer: Issuer) -> None:
    """Login CSRF: mallory has alice's browser follow a way back that he began himself."""
    mallory, alice = await home.client(), await home.client()
    address = await at_issuer(await begin(mallory), "bob")
    answer = await back(alice, address)
    assert (answer.status_code, "was not begun in this browser" in answer.text) == (403, True)
    await begin(alice)
    assert (await back(alice, address)).status_code == 403, "neither by one who has begun a sign-in of her own"
    assert (await alice.get("/images")).status_code == 303
    assert (await back(mallory, address)).status_code == 303, "the code was not even shown to the issuer"


async def test_the_code_of_another_sign_in_is_refused(home: House, issuer: Issuer) -> None:
    """Code injection: the issuer finds it out by PKCE."""
    mallory, alice = await home.client(), await home.client()
    stolen = query(await at_issuer(await begin(alice)))["code"]
    state = query(await begin(mallory))["state"]
    answer = await back(mallory, f"{CALLBACK}?code={stolen}&state={state}")
    assert (answer.status_code, "the code is not taken (invalid_grant)" in answer.text) == (403, True)
    assert issuer.verified_pkce == 0


async def test_a_way_back_leads_in_once(home: House, issuer: Issuer) -> None:
    client = await home.client()
    address = await at_issuer(await begin(client))
    kept = client.cookies["ceremony-oidc"]
    assert (await back(client, address)).status_code == 303
    assert "ceremony-oidc" not in client.cookies
    thief = await home.client()
    thief.cookies.set("ceremony-oidc", kept)
    assert (await back(thief, address)).status_code == 403, "the issuer takes a code once"
    fresh = query(await at_issuer(await _again(issuer, address, query(address)["state"], home)))["code"]
    answer = await back(thief, f"{CALLBACK}?code={fresh}&state={query(address)['state']}")
    assert (answer.status_code, "was used already" in answer.text) == (403, True)
    assert len(await home.store.database.fetch_all("SELECT accessor FROM sessions")) == 1


async def _again(issuer: Issuer, address: str, state: str, home: House) -> str:
    """The same request for authorization once more, as only this server could make it."""
    provider = home.app.state.provider
    return str(await provider.authorization_url(state, secrets_of(home.store.vault, state)))


async def test_it_is_over_after_ten_minutes(home: House, issuer: Issuer) -> None:
    client = await home.client()
    address = await at_issuer(await begin(client))
    home.clock.advance(10 * MINUTE)
    assert "more than 10 minutes ago" in (await back(client, address)).text


async def test_an_error_of_the_issuers_is_a_sentence(home: House, issuer: Issuer) -> None:
    for error, sentence in (
        ("access_denied", "You cancelled at Acme ID"),
        ("login_required", "Acme ID wants you to do something there first."),
        ("temporarily_unavailable", "Acme ID cannot do it just now."),
        ("invalid_scope", "does not take what this server asks of it (invalid_scope)"),
        ("<script>alert(1)</script>", "an error that is none of OAuth&#39;s"),
    ):
        issuer.error = error
        answer = await sign_in(await home.client(), start="/login/oidc?next=/images")
        assert (answer.status_code, sentence in answer.text) == (403, True), answer.text
        assert 'href="/login/oidc?next=%2Fimages"' in answer.text, "and the way to begin again"
        assert "<b>no</b>" not in answer.text


async def test_the_issuer_says_who_it_is(home: House, issuer: Issuer) -> None:
    """RFC 9207: against an answer of one issuer that is taken for another's."""
    issuer.answer_iss = "https://evil.example"
    assert "of another issuer" in (await sign_in(await home.client())).text
    issuer.answer_iss = issuer.origin
    assert (await sign_in(await home.client())).status_code == 303
    issuer.metadata["authorization_response_iss_parameter_supported"] = True
    home.clock.advance(HOUR)
    assert (await sign_in(await home.client())).status_code == 303
    issuer.answer_iss = None
    assert "of another issuer" in (await sign_in(await home.client())).text


async def test_the_callback_without_anything_is_a_page(home: House) -> None:
    client = await home.client()
    for tail in ("", "?code=x", "?state=%00", "?state=%ff&code=x", "?error=access_denied", "?code=x&state=" + "y" * 5000):
        assert (await back(client, CALLBACK + tail)).status_code == 403
    await begin(client)
    assert (await back(client, CALLBACK + "?state=ä&code=x")).status_code == 403
    address = await begin(client)
    assert "sent no answer" in (await back(client, f"{CALLBACK}?state={query(address)['state']}")).text
    assert (await client.get("/login/oidc/refused", headers={"Cookie": "refused-oidc=forged"})).headers["location"] == "/login"


async def test_no_code_and_no_token_is_in_a_log_or_a_page(home: House, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    issuer.claims = {"nonce": "wrong"}
    client = await home.client()
    address = await at_issuer(await begin(client))
    page = (await back(client, address)).text
    said = page + "".join(record.getMessage() for record in caplog.records if record.name.startswith("webapp"))
    asked = query(address)
    assert "a sign-in with" in said
    for secret in (asked["code"], asked["state"], "eyJ", issuer.settings()["WEBAPP_OIDC_CLIENT_SECRET"]):
        assert secret not in said
