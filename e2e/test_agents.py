"""Alice makes bootstrap tokens, machines enrol with them, and she decides what becomes of the agents; with JavaScript on, and off."""

import json
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from e2e import steps
from e2e.conftest import Settled

TOKEN = re.compile(r"rc_b_\w+")


def act(page: Page, agent: str, link: str) -> None:
    """Choose something in the menu of an agent's row."""
    page.goto("/agents")
    page.get_by_role("button", name=f"Actions for {agent}", exact=True).click()
    steps.row(page, agent).get_by_role("link", name=link, exact=True).click()
    expect(page.get_by_role("heading", name=link)).to_be_visible()


def token_row(page: Page, accessor: str) -> Locator:
    return page.get_by_role("table", name="Bootstrap tokens").get_by_role("row").filter(has_text=accessor)


def agent_id(state: Path) -> str:
    found: str = json.loads(next(state.glob("*.json")).read_text())["agent_id"]
    return found


def test_a_bootstrap_token_is_copied_the_one_time_that_it_is_shown(alice_scripted: Page) -> None:
    token = steps.make_bootstrap_token(alice_scripted)
    dialog = alice_scripted.get_by_role("dialog", name="Bootstrap token")
    expect(dialog).to_contain_text("It is shown this once and cannot be shown again.")
    dialog.get_by_role("button", name="Copy").first.click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    assert alice_scripted.evaluate("navigator.clipboard.readText()") == token
    dialog.get_by_role("link", name="Done").click()
    expect(alice_scripted.get_by_role("table", name="Bootstrap tokens")).to_contain_text("Active")
    assert not TOKEN.search(alice_scripted.content())


def test_a_bootstrap_token_is_not_shown_again(alice: Page) -> None:
    token = steps.make_bootstrap_token(alice)
    expect(alice.get_by_role("textbox", name="Command")).to_have_value(re.compile("^registry-credentials agent enroll --server http"))
    for address in ("/agents", "/audit"):
        alice.goto(address)
        assert not TOKEN.search(alice.content())
    accessor = token.split("_")[2]
    alice.goto("/agents")
    row = token_row(alice, accessor)
    expect(row).to_contain_text("Active")
    row.get_by_role("button", name=f"Actions for bootstrap token {accessor}").click()
    row.get_by_role("link", name="Revoke", exact=True).click()
    alice.get_by_role("button", name="Revoke bootstrap token").click()
    expect(alice.get_by_text("Bootstrap token revoked.")).to_be_visible()
    expect(row).to_contain_text("Revoked")
    expect(row.get_by_role("button")).to_have_count(0)


def test_an_agent_enrols_is_given_an_image_and_is_revoked(alice: Page, settled: Settled, tmp_path: Path) -> None:
    agent = steps.fresh("rack1-node")
    token = steps.make_bootstrap_token(alice)
    steps.enroll(settled.server, token, agent, tmp_path / "state")
    alice.goto("/agents")
    expect(steps.row(alice, agent)).to_contain_text("No image")
    expect(alice.get_by_role("table", name="Bootstrap tokens").get_by_role("row").filter(has_text=token.split("_")[2])).to_contain_text(
        agent
    )
    steps.choose_image(alice, agent, "Debian 12")
    expect(alice.get_by_text("docker.io/library/debian:12", exact=True)).to_be_visible()
    alice.goto("/agents")
    expect(steps.row(alice, agent)).to_contain_text("Debian 12")

    act(alice, agent, "Revoke")
    alice.get_by_role("button", name="Revoke agent").click()
    expect(alice.get_by_text("Agent revoked. Its token no longer works.")).to_be_visible()
    expect(steps.row(alice, agent)).to_have_count(0)
    refused = settled.server.run("agent", "pull", "--state", str(tmp_path / "state"), "--to", str(tmp_path / "layout"))
    assert refused.returncode != 0
    assert "The token is not valid here." in refused.stderr
    alice.get_by_role("navigation", name="Show").get_by_role("link", name="Revoked").click()
    expect(steps.row(alice, agent)).to_contain_text("Revoked")
    alice.get_by_role("link", name=agent, exact=True).click()
    expect(alice.locator("main form")).to_have_count(0)


def test_a_machine_that_is_installed_again_takes_its_name_back_when_it_may(alice: Page, settled: Settled, tmp_path: Path) -> None:
    agent = steps.fresh("rack1-node")
    steps.enroll(settled.server, steps.make_bootstrap_token(alice), agent, tmp_path / "first")
    token = steps.make_bootstrap_token(alice)
    refused = steps.ask_to_enroll(settled.server, token, agent, tmp_path / "again")
    assert refused.returncode != 0
    assert "Allow re-enrolment" in refused.stderr
    act(alice, agent, "Allow re-enrolment")
    alice.get_by_role("button", name="Allow re-enrolment").click()
    expect(alice.get_by_text("Re-enrolment allowed, once, for one hour.")).to_be_visible()
    steps.enroll(settled.server, token, agent, tmp_path / "again")
    assert agent_id(tmp_path / "again") == agent_id(tmp_path / "first")
    refused = settled.server.run("agent", "pull", "--state", str(tmp_path / "first"), "--to", str(tmp_path / "layout"))
    assert refused.returncode != 0
    assert "The token is not valid here." in refused.stderr
    alice.goto("/agents")
    expect(steps.row(alice, agent)).to_have_count(1)
