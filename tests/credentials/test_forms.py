"""Storing a registry credential: what the form takes, what it says of the rest, and that it never says the secret."""

import asyncio
import json
import re

import httpx2
import pytest

from tests.markup import HTMX, beside, filled_in, hidden, link, names, says, summary, tag
from tests.personas import House
from tests.real.canary import CANARY, found_in
from tests.stories import store_credential

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what a form takes

PAGE_OR_FRAGMENT = pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])

GOOD = {
    "name": "ghcr-acme",
    "description": "of the acme bot",
    "registry_url": "ghcr.io",
    "auth_method": "password",
    "username": "acme-bot",
    "password": CANARY,
}
ONLY_THE_HOST = "Of the Registry URL only the host is kept."


async def listed(client: httpx2.AsyncClient) -> list[str]:
    return names((await client.get("/registry-credentials")).text)


async def test_without_script_the_list_follows_with_a_notice(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/registry-credentials", data=GOOD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/registry-credentials")
    page = (await alice.get("/registry-credentials")).text
    assert "Registry credential stored. Its value is sealed and never shown again." in page
    row = says(page[page.index("<tbody>") :])
    assert all(words in row for words in ("ghcr-acme", "of the acme bot", "ghcr.io", "Password / Token", "acme-bot", "0 images"))


async def test_in_the_dialog_the_rows_are_swapped_and_the_dialog_closes(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/registry-credentials", data=GOOD, headers=HTMX)
    assert answer.status_code == 200
    assert (answer.headers["hx-retarget"], answer.headers["hx-reswap"]) == ("#credentials-rows", "outerHTML")
    assert json.loads(answer.headers["hx-trigger"]) == {"closeDialog": True}
    assert "ghcr-acme is stored. Its value is sealed and never shown again." in says(answer.text)
    assert names(answer.text) == ["ghcr-acme"]
    assert "<html" not in answer.text


async def test_a_credential_that_is_on_a_later_page_is_linked(alice: httpx2.AsyncClient) -> None:
    for number in range(50):
        await store_credential(alice, name=f"a-{number:02}")
    answer = await alice.post("/registry-credentials", data=GOOD, headers=HTMX)
    assert "ghcr-acme" not in names(answer.text)
    found = (await alice.get("/registry-credentials", params={"q": "ghcr-acme"})).text
    assert link(answer.text, "ghcr-acme</a> is stored") == link(found, "ghcr-acme")


@pytest.mark.parametrize(
    ("typed", "taken_off"),
    [("https://GHCR.io/v2/", "Taken off: the scheme https:// and the path /v2/."), ("ghcr.io/", "Taken off: the trailing slash.")],
)
async def test_it_says_what_was_taken_off_the_registry_url(alice: httpx2.AsyncClient, typed: str, taken_off: str) -> None:
    answer = await alice.post("/registry-credentials", data=GOOD | {"registry_url": typed}, headers=HTMX)
    assert taken_off in says(answer.text)
    assert '<code class="host">ghcr.io</code>' in answer.text
    await alice.post("/registry-credentials", data=GOOD | {"name": "another", "registry_url": typed})
    assert alice.cookies["notice"] == "credential-created-host", "a code, and nothing of what was typed"
    page = (await alice.get("/registry-credentials")).text
    assert f"never shown again. {ONLY_THE_HOST}" in page
    assert page.count('<code class="host">ghcr.io</code>') == 2


async def test_from_a_page_of_its_own_htmx_leads_to_the_list_with_the_same_words(alice: httpx2.AsyncClient) -> None:
    headers = HTMX | {"HX-Current-URL": "http://127.0.0.1:8000/registry-credentials/new"}
    answer = await alice.post("/registry-credentials", data=GOOD | {"registry_url": "https://ghcr.io"}, headers=headers)
    assert answer.headers["hx-redirect"] == "/registry-credentials"
    assert f"never shown again. {ONLY_THE_HOST}" in (await alice.get("/registry-credentials")).text


async def test_where_nothing_was_taken_off_nothing_is_said(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/registry-credentials", data=GOOD, headers=HTMX)
    assert "Taken off" not in answer.text
    await alice.post("/registry-credentials", data=GOOD | {"name": "another"})
    assert ONLY_THE_HOST not in (await alice.get("/registry-credentials")).text


@PAGE_OR_FRAGMENT
@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("name", "", "Enter a name."),
        ("name", "x" * 64, "Use at most 63."),
        ("name", "a\u202eb", "Character 2 of the name (U+202E)"),
        ("description", "x" * 501, "Use at most 500."),
        ("registry_url", "", "Enter the registry's host, such as ghcr.io."),
        ("registry_url", "gh cr.io", "Character 3 of the Registry URL is a space."),
        ("registry_url", "ghcr.io?x=1", "has no query"),
        ("registry_url", "ghcr.io:0", "a number from 1 to 65535"),
        ("registry_url", "myregistry", "add its port, such as myregistry:5000"),
        ("registry_url", "2001:db8::1", "IPv6 address stands in brackets"),
        ("auth_method", "guess", "Choose Password / Token, GCP service account key or Amazon ECR."),
        ("username", " ", "It is sometimes a fixed word, such as $token"),
        ("username", "acme:bot", "A user name cannot hold a colon"),
        ("username", "x" * 256, "Use at most 255."),
        ("username", "acme\u200bbot", "an invisible character"),
    ],
)
async def test_it_says_beside_the_field_what_would_be_right(
    alice: httpx2.AsyncClient, field: str, typed: str, said: str, headers: dict[str, str]
) -> None:
    answer = await alice.post("/registry-credentials", data=GOOD | {field: typed}, headers=headers)
    assert answer.status_code == 422
    assert said in beside(answer.text, field)
    assert said in summary(answer.text)
    assert f'<a href="#field-{field.replace("_", "-")}">' in answer.text
    for name, value in (GOOD | {field: typed}).items():
        if name not in {"auth_method", "password"}:
            assert filled_in(answer.text, name) == value, "what was typed is still there"
            assert not beside(answer.text, name) or name == field
    assert found_in(answer.content + repr(answer.headers).encode(), CANARY) == []
    assert await listed(alice) == []


@PAGE_OR_FRAGMENT
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Enter the password or token."),
        (CANARY + "\n", "holds a line break or a control character"),
        (CANARY + "\x7f", "holds a line break or a control character"),
        ("\ufeff" + CANARY, "begins with a byte-order mark"),
        (CANARY * 1000, "Use at most 16384."),
    ],
    ids=["none", "line break", "control character", "byte-order mark", "too long"],
)
async def test_it_says_what_is_wrong_with_a_password_and_not_which_it_was(
    alice: httpx2.AsyncClient, typed: str, said: str, headers: dict[str, str]
) -> None:
    answer = await alice.post("/registry-credentials", data=GOOD | {"password": typed}, headers=headers)
    assert answer.status_code == 422
    assert said in beside(answer.text, "password")
    assert filled_in(answer.text, "password") == ""
    assert found_in(answer.content, CANARY) == []
    assert await listed(alice) == []


async def test_only_a_form_with_errors_lets_htmx_keep_the_secret(alice: httpx2.AsyncClient) -> None:
    fresh = await alice.get("/registry-credentials/new", headers=HTMX)
    wrong = await alice.post("/registry-credentials", data=GOOD | {"name": ""}, headers=HTMX)
    assert "hx-preserve" not in fresh.text
    assert "hx-preserve" in tag(wrong.text, "password")
    assert wrong.text.count("hx-preserve") == 1


@PAGE_OR_FRAGMENT
async def test_a_password_in_the_registry_url_is_not_shown_again(alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await alice.post("/registry-credentials", data=GOOD | {"registry_url": f"https://acme:{CANARY}@ghcr.io"}, headers=headers)
    assert answer.status_code == 422
    assert "no user name, no password and no @" in beside(answer.text, "registry_url")
    assert filled_in(answer.text, "registry_url") == "ghcr.io"
    assert found_in(answer.content, CANARY) == []


@PAGE_OR_FRAGMENT
async def test_a_name_that_exists_is_refused_beside_the_field(
    alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    await store_credential(alice, name="Straße")
    answer = await alice.post("/registry-credentials", data=GOOD | {"name": " STRASSE "}, headers=headers)
    assert answer.status_code == 422
    assert beside(answer.text, "name") == "Another registry credential of this account has this name. Choose another one."
    assert summary(answer.text).startswith("Not saved Name: Another registry credential")
    assert await listed(alice) == ["Straße"]
    assert await store_credential(charlie, name="Straße"), "another account has names of its own"


@PAGE_OR_FRAGMENT
async def test_a_double_submit_is_one_record_and_leads_to_it(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    await store_credential(alice, name="aaa")
    form = GOOD | {"form_nonce": hidden((await alice.get("/registry-credentials/new")).text, "form_nonce")}
    await alice.post("/registry-credentials", data=form, headers=headers)
    before = await house.audit()
    for again in (form, form | {"name": "another-name", "registry_url": "quay.io"}):
        answer = await alice.post("/registry-credentials", data=again, headers=headers)
        assert answer.status_code == (200 if headers else 303)
        led_to = answer.headers["hx-redirect" if headers else "location"]
        page = (await alice.get(led_to)).text
        assert names(page) == ["ghcr-acme"]
        assert "This form was sent before." in page
    assert await listed(alice) == ["aaa", "ghcr-acme"]
    assert await house.audit() == before


async def test_two_at_the_same_moment_are_one_record(alice: httpx2.AsyncClient) -> None:
    form = GOOD | {"form_nonce": hidden((await alice.get("/registry-credentials/new")).text, "form_nonce")}
    answers = await asyncio.gather(*(alice.post("/registry-credentials", data=form) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [303] * 4
    assert sorted(answer.headers["location"] for answer in answers) == ["/registry-credentials"] + ["/registry-credentials?q=ghcr-acme"] * 3
    assert await listed(alice) == ["ghcr-acme"]


async def test_a_form_with_errors_does_not_spend_the_nonce(alice: httpx2.AsyncClient) -> None:
    await store_credential(alice, name="taken")
    nonce = hidden((await alice.get("/registry-credentials/new")).text, "form_nonce")
    for wrong in ({"name": ""}, {"name": "taken"}):
        answer = await alice.post("/registry-credentials", data=GOOD | {"form_nonce": nonce} | wrong)
        assert answer.status_code == 422
        assert hidden(answer.text, "form_nonce") == nonce, "the form keeps its own"
    await alice.post("/registry-credentials", data=GOOD | {"form_nonce": nonce})
    assert await listed(alice) == ["ghcr-acme", "taken"]


async def test_every_form_has_a_nonce_of_its_own_and_no_account_has_anothers(
    alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    nonces = {hidden((await alice.get("/registry-credentials/new")).text, "form_nonce") for _ in range(3)}
    assert len(nonces) == 3
    form = GOOD | {"form_nonce": nonces.pop()}
    await alice.post("/registry-credentials", data=form)
    answer = await charlie.post("/registry-credentials", data=form)
    assert answer.headers["location"] == "/registry-credentials"
    assert await listed(charlie) == ["ghcr-acme"]


@pytest.mark.parametrize(
    ("query", "there", "absent"),
    [
        ("", "password", "service_account_key"),
        ("?auth_method=password", "username", "service_account_key_file"),
        ("?auth_method=gcp_service_account_key", "service_account_key_file", "password"),
        ("?auth_method=nonsense", "password", "service_account_key"),
    ],
)
async def test_the_toggle_brings_the_fields_of_one_method(alice: httpx2.AsyncClient, query: str, there: str, absent: str) -> None:
    for headers in ({}, HTMX):
        answer = await alice.get(f"/registry-credentials/auth-fields{query}", headers=headers)
        assert answer.status_code == 200
        assert ("<html" in answer.text) == (not headers)
        assert tag(answer.text, there)
        assert f'name="{absent}"' not in answer.text
        assert '<div id="credentials-auth-fields">' in answer.text


async def test_back_at_the_stored_method_the_toggle_offers_to_replace_the_value(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    credential_id = await store_credential(alice)
    address = re.search(
        r'hx-get="(/registry-credentials/auth-fields[^"]*)"', (await alice.get(f"/registry-credentials/{credential_id}")).text
    )
    assert address is not None
    fields = {
        method: (await alice.get(address[1] + "&auth_method=" + method, headers=HTMX)).text
        for method in ("password", "gcp_service_account_key")
    }
    assert "Stored · replaced 3 Nov 2026, 14:05 UTC by alice@example.com" in says(fields["password"])
    assert "Replace value" in fields["password"]
    assert filled_in(fields["password"], "username") == "acme-bot"
    assert not any(words in fields["gcp_service_account_key"] for words in ("Stored", "Replace value")), "there is none of that kind"
    assert (await charlie.get(address[1])).status_code == 404


async def test_without_script_the_fields_of_both_methods_are_there(alice: httpx2.AsyncClient) -> None:
    page = (await alice.get("/registry-credentials/new")).text
    assert all(tag(page, field) for field in ("password", "service_account_key", "service_account_key_file"))
