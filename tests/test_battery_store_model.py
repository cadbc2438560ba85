"""The short form of `python -m tests.battery.store_model`."""

import pytest

from tests.battery.store_model import run
from webapp.agents.repository import AgentRepository
from webapp.credentials import repository as credentials
from webapp.provisioning import provision as hand_overs
from webapp.provisioning.provision import RegistryAuth
from webapp.secrets.repository import NamedValueRepository
from webapp.vault import Secret

SEED = 12


def test_the_store_does_what_dictionaries_would() -> None:
    sequences, outcomes, difference = run(12, SEED)
    assert difference == ""
    assert sequences >= 12
    assert {what for (what, word) in outcomes if not word} >= {"add credential", "add image", "enrol", "hand over"}


@pytest.mark.parametrize(("where", "name"), [(credentials, "refuse_stale"), (credentials, "same_registry")])
def test_a_rule_that_the_store_forgets_is_found(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> None:
    monkeypatch.setattr(where, name, lambda *arguments, **named: None)
    _, _, difference = run(200, SEED, shrink=False)
    assert "the store says" in difference


@pytest.mark.parametrize(
    ("where", "name", "instead"),
    [
        (NamedValueRepository, "open", lambda *arguments: Secret(b"the value of somebody else")),
        (hand_overs, "_open", lambda *arguments: RegistryAuth("ghcr.io", "bot-7", Secret(b"value-0"))),
    ],
)
def test_a_wrong_value_that_is_handed_over_is_found(monkeypatch: pytest.MonkeyPatch, where: object, name: str, instead: object) -> None:
    monkeypatch.setattr(where, name, instead)
    assert "what was handed over is not what the model says" in run(200, SEED, shrink=False)[2]


def test_a_change_that_is_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*arguments: object, **named: object) -> None:
        """Say that it was done."""

    monkeypatch.setattr(AgentRepository, "revoke", nothing)
    difference = run(200, SEED, shrink=False)[2]
    assert "agents: the store lists" in difference or "revoke: the store says done" in difference
