"""Signing in with an OpenID Connect issuer that really runs: who is let in, and who is linked to whom."""

import pytest

from tests.accounts.stories_oidc import CALLBACK, at_issuer, back, begin, environ, query, same_time, sign_in
from tests.engines import on_sqlite
from tests.personas import House, Persona
from tests.real.issuer import CLIENT, Issuer, Somebody

pytestmark = pytest.mark.anyio


@pytest.fixture
def house_environ(issuer: Issuer) -> dict[str, str]:
    return environ(issuer)


@pytest.fixture
def home(house: House, issuer: Issuer) -> House:
    """The house, at the same time as the issuer."""
    same_time(house, issuer)
    return house


async def test_a_member_signs_in_and_is_linked_once(home: House, issuer: Issuer) -> None:
    client = await home.client()
    assert 'href="/login/oidc"' in (page := (await client.get("/login")).text)
    assert "Continue with Acme ID" in page
    answer = await sign_in(client, start="/login/oidc?next=/images?kind=custom")
    assert (answer.status_code, answer.headers["location"]) == (303, "/images?kind=custom")
    assert "alice@example.com" in (await client.get("/images")).text
    assert [(row["action"], row["actor_label"], row["detail"], row["account_id"]) for row in await home.audit()] == [
        ("member.link", "alice@example.com", f"to a person of {issuer.origin}", home.alice.account_id),
        ("member.sign_in", "alice@example.com", "by Acme ID", home.alice.account_id),
    ]
    row = await home.store.database.fetch_one("SELECT method FROM sessions")
    assert row is not None
    assert row["method"] == "oidc"
    issuer.people["alice"].email, issuer.people["alice"].email_verified = "somebody.else@example.net", False
    again = await home.client()
    assert (await sign_in(again)).headers["location"] == "/registry-credentials", "afterwards it is the subject that counts"
    assert "alice@example.com" in (await again.get("/images")).text
    assert issuer.verified_pkce == 2
    links = await home.store.database.fetch_all("SELECT * FROM identities")
    assert [(row["issuer"], row["subject"], row["member_id"]) for row in links] == [(issuer.origin, "a-1", home.alice.member_id)]


@on_sqlite  # nothing is asked of the database
async def test_what_is_asked_for_is_what_the_rules_say(home: House, issuer: Issuer) -> None:
    client = await home.client()
    address = await begin(client)
    asked = query(address)
    assert address.startswith(f"{issuer.origin}/authorize?")
    assert {name: asked[name] for name in ("response_type", "client_id", "scope", "redirect_uri", "code_challenge_method")} == {
        "response_type": "code",
        "client_id": CLIENT,
        "scope": "openid email",
        "redirect_uri": home.settings.public_url + CALLBACK,
        "code_challenge_method": "S256",
    }
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert "max_age" not in asked
    kept = client.cookies["ceremony-oidc"]
    assert asked["nonce"] not in kept
    assert "verifier" not in kept
    other = query(await begin(await home.client()))
    assert not {asked["state"], asked["nonce"], asked["code_challenge"]} & set(other.values())


@on_sqlite  # it is about the issuer
async def test_two_sign_ins_ask_the_issuer_once_about_itself(home: House, issuer: Issuer) -> None:
    for _ in range(2):
        assert (await sign_in(await home.client())).status_code == 303
    assert issuer.asked.count("/.well-known/openid-configuration") == 1
    assert issuer.asked.count("/jwks") == 1


@on_sqlite  # it asks the database nothing new
async def test_whoever_is_signed_in_already_goes_on(home: House, issuer: Issuer) -> None:
    client = await home.signed_in(home.bob)
    assert (await client.get("/login/oidc?next=/images")).headers["location"] == "/images"
    assert (await client.get("/login/oidc?next=//evil.example")).headers["location"] == "/registry-credentials"
    assert issuer.asked == []


STRANGERS: list[tuple[str, object, str]] = [
    ("alice@example.com", False, "does not say that it has verified your email address"),
    ("alice@example.com", None, "does not say that it has verified your email address"),
    ("alice@example.com", "false", "does not say that it has verified your email address"),
    ("alice@example.com", 1.5, "does not say that it has verified your email address"),
    ("nobody@example.com", True, "Acme ID knows you as nobody@example.com, and nobody here has that address."),
    ("al\u0131ce@example.com", True, "nobody here has that address"),
    ("alice@example.com" + "x" * 300, True, "does not say that it has verified"),
    ("<script>@example.com", True, "&lt;script&gt;@example.com, and nobody here"),
]


@on_sqlite  # a row that is not found is not found on both
async def test_it_refuses_who_has_not_the_address_of_a_member(home: House, issuer: Issuer) -> None:
    client = await home.client()
    for email, verified, sentence in STRANGERS:
        issuer.people["alice"] = Somebody("a-9", email, verified)
        answer = await sign_in(client)
        assert (answer.status_code, sentence in answer.text) == (403, True), answer.text
        assert "Sign in another way" in answer.text
        assert (await client.get("/images")).status_code == 303
    assert await home.store.database.fetch_all("SELECT id FROM identities") == []
    assert await home.audit() == [], "a stranger makes no row"
    for subject, email, verified in (("a-1", "ALICE@Example.COM", True), ("b-2", "bob@example.com", "true")):
        issuer.people["alice"] = Somebody(subject, email, verified)
        assert (await sign_in(await home.client())).status_code == 303, "capital letters, and Apple's and Amazon's true as a text"


@on_sqlite  # a rule of ours
async def test_a_letter_that_only_looks_like_it_is_another_address(home: House, issuer: Issuer) -> None:
    kim = Persona("kim", "viewer", home.alice.account_id, "Acme")
    await home.move_in(kim)
    issuer.people["mallory"] = Somebody("m-6", "\u212aim@example.com")  # the Kelvin sign, which Unicode makes a k
    assert "nobody here has that address" in (await sign_in(await home.client(), "mallory")).text
    issuer.people["kim"] = Somebody("k-1", "Kim@example.com")
    assert (await sign_in(await home.client(), "kim")).status_code == 303


async def test_another_person_with_the_same_address_is_not_linked(home: House, issuer: Issuer) -> None:
    await sign_in(await home.client())
    issuer.people["mallory"] = Somebody("m-6", "alice@example.com")
    client = await home.client()
    answer = await sign_in(client, "mallory")
    assert answer.status_code == 403
    assert "is linked to another person of Acme ID already" in answer.text
    assert (await client.get("/images")).status_code == 303
    last = (await home.audit())[-1]
    assert (last["action"], last["decision"], last["object_name"], last["actor_kind"], last["account_id"]) == (
        "member.sign_in",
        "denied",
        "alice@example.com",
        "nobody",
        home.alice.account_id,
    )


async def test_who_writes_to_the_database_links_nobody(home: House, issuer: Issuer) -> None:
    await sign_in(await home.client(), "bob")
    await home.tamper(
        "UPDATE identities SET member_id = :alice, account_id = :account", alice=home.alice.member_id, account=home.alice.account_id
    )
    client = await home.client()
    answer = await sign_in(client, "bob")
    assert (answer.status_code, "is not valid" in answer.text) == (403, True)
    assert (await client.get("/images")).status_code == 303
    await home.tamper("UPDATE identities SET member_id = :bob, subject = 'm-6'", bob=home.bob.member_id)
    issuer.people["mallory"] = Somebody("m-6", "mallory@example.net")
    assert (await sign_in(client, "mallory")).status_code == 403
    await home.tamper("UPDATE identities SET subject = 'b-2'")
    assert (await sign_in(client, "bob")).status_code == 303, "the row as it was written"


async def test_a_member_whose_row_was_changed_is_not_signed_in(home: House, issuer: Issuer) -> None:
    await home.tamper("UPDATE members SET role = 'admin' WHERE id = :id", id=home.bob.member_id)
    assert (await sign_in(await home.client(), "bob")).status_code == 403


async def test_accounts_are_apart(home: House, issuer: Issuer) -> None:
    issuer.people["charlie"] = Somebody("c-3", "charlie@example.com")
    client = await home.client()
    await sign_in(client, "charlie")
    row = await home.store.database.fetch_one("SELECT account_id, member_id FROM identities")
    assert row is not None
    assert (row["account_id"], row["member_id"]) == (home.charlie.account_id, home.charlie.member_id)
    assert "charlie@example.com" in (await client.get("/images")).text


async def test_a_disk_that_is_full_signs_nobody_in(home: House, issuer: Issuer) -> None:
    client = await home.client()
    address = await at_issuer(await begin(client))
    await home.refuse_writes()
    assert (await back(client, address)).status_code >= 500
    await home.take_writes()
    assert await home.store.database.fetch_all("SELECT accessor FROM sessions") == []
