"""Alice is signed in twice and ends one of the two; and she makes a token with which a program works until she revokes it."""

import json
import re
import urllib.error
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.conftest import BOTH, Settled
from e2e.server import Server

TOKEN = re.compile(r"rc_p_\w+")


def call(server: Server, token: str, path: str, method: str = "GET", body: object = None) -> tuple[int, Any]:
    """Call the API as a program does, with nothing but the standard library: the status, and the document."""
    request = urllib.request.Request(  # noqa: S310  a server of the test's own
        server.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def revoke(page: Page, name: str) -> None:
    """Revoke the token of this name in the list that is open."""
    page.get_by_role("button", name=f"Actions for the API token {name}", exact=True).click()
    page.get_by_role("row", name=name).get_by_role("link", name="Revoke", exact=True).click()
    page.get_by_role("button", name="Revoke API token").click()
    expect(page.get_by_text("API token revoked. It opens nothing any more.")).to_be_visible()


def test_a_token_works_until_it_is_revoked(alice: Page, settled: Settled) -> None:
    server, name, credential = settled.server, steps.fresh("deploy-pipeline"), steps.fresh("of-the-pipeline")
    token = steps.make_api_token(alice, name, "editor")
    expect(alice.get_by_role("textbox", name="Command")).to_have_value(re.compile(r'^curl -H "Authorization: Bearer \$TOKEN" http.*/me$'))
    alice.get_by_role("link", name="Done").click()
    expect(alice.get_by_role("rowheader", name=name)).to_be_visible()
    assert not TOKEN.search(alice.content())
    status, me = call(server, token, "/api/v1/me")
    assert (status, me["role"], me["token"]["name"]) == (200, "editor", name)
    fields = {"name": credential, "registry_url": "ghcr.io", "username": "acme-bot", "password": steps.SECRET}
    status, stored = call(server, token, "/api/v1/registry-credentials", "POST", fields)
    assert status == 201
    status, replaced = call(server, token, f"/api/v1/registry-credentials/{stored['id']}/value", "PUT", {"password": "a-newer-long-one"})
    assert (status, replaced["secret_version"]) == (200, 2)
    steps.open_credential(alice, credential)
    expect(alice.get_by_text(f"by {name} ({steps.EMAIL})").first).to_be_visible()
    assert call(server, token, f"/api/v1/registry-credentials/{stored['id']}", "DELETE") == (204, None)

    alice.goto("/settings/api-tokens")
    expect(alice.get_by_role("row", name=name)).to_contain_text("just now")
    revoke(alice, name)
    expect(alice.get_by_role("rowheader", name=name)).to_have_count(0)
    assert call(server, token, "/api/v1/me")[0] == 401
    alice.get_by_role("navigation", name="Show").get_by_role("link", name="Ended").click()
    expect(alice.get_by_role("row", name=name)).to_contain_text("Revoked")


def test_a_name_that_is_taken_is_said_so_and_what_was_chosen_stays(alice: Page) -> None:
    name = steps.fresh("deploy-pipeline")
    steps.make_api_token(alice, name, "viewer")
    alice.goto("/settings/api-tokens")
    alice.get_by_role("link", name="New API token").first.click()
    alice.get_by_label("Name", exact=True).fill(name)
    alice.get_by_label("Expires after").select_option("90d")
    steps.save(alice)
    steps.expect_summary(alice, "Another active token of yours has this name.")
    expect(alice.get_by_label("Expires after")).to_have_value("90d")
    alice.get_by_label("Name", exact=True).fill(steps.fresh("other-pipeline"))
    steps.save(alice)
    expect(alice.get_by_role("textbox", name="API token")).to_have_value(TOKEN)


@pytest.mark.parametrize("script", BOTH)
def test_a_session_that_is_ended_is_signed_out_at_its_next_click(server: Server, browser: Browser, script: str) -> None:
    scripted = script == BOTH[0]
    here, there = (open_context(browser, server, java_script_enabled=scripted) for _ in range(2))
    alice, elsewhere = here.new_page(), there.new_page()
    steps.set_up(alice, server)
    elsewhere.goto("/login")
    steps.sign_in(elsewhere)
    expect(elsewhere.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()

    alice.goto("/settings")
    alice.get_by_role("link", name="Sessions", exact=True).click()
    other = alice.get_by_role("row").filter(has=alice.get_by_role("button"))
    expect(alice.get_by_role("row", name="This one")).to_have_count(1)
    expect(other).to_have_count(1)
    other.get_by_role("button").click()
    other.get_by_role("link", name="End", exact=True).click()
    alice.get_by_role("button", name="End session").click()
    expect(alice.get_by_text("Session ended. That browser is signed out.")).to_be_visible()
    expect(other).to_have_count(0)

    elsewhere.get_by_role("link", name="Images", exact=True).click()
    expect(elsewhere.get_by_role("button", name="Sign in")).to_be_visible()
    steps.sign_in(elsewhere)
    expect(elsewhere.get_by_role("heading", name="Images", level=1)).to_be_visible()
    alice.reload()
    alice.get_by_role("link", name="End all others").click()
    alice.get_by_role("button", name="End all others").click()
    expect(alice.get_by_text("All your other sessions are ended.")).to_be_visible()
    elsewhere.reload()
    expect(elsewhere.get_by_role("button", name="Sign in")).to_be_visible()
    for context in (here, there):
        context.close()
