"""The short form of `python -m tests.battery.sealed_values`."""

import pytest

from tests.battery import sealed_values
from webapp.vault import SealContext, Vault, envelope


def test_whatever_is_done_to_a_sealed_value_it_opens_no_more() -> None:
    found = sealed_values.run(120, 1)
    assert found.wrong == []
    assert found.changes.total() == 120
    assert found.hand_overs > 60


def test_a_seal_that_is_bound_to_no_host_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(vault: Vault, context: SealContext) -> bytes:
        return envelope.place_of([context.account_id, context.record_id, context.version])

    monkeypatch.setattr(Vault, "place", place)
    found = "\n".join(sealed_values.run(150, 1).wrong)
    assert "point elsewhere of registry credential" in found
    assert "is handed something" in found
    assert "`check` does not name it" in found


def test_a_seal_that_is_bound_to_no_version_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Vault.place

    def unversioned(vault: Vault, context: SealContext) -> bytes:
        return place(vault, SealContext(context.account_id, context.table, context.record_id, context.field, 1, context.binding))

    monkeypatch.setattr(Vault, "place", unversioned)
    assert any(sentence.startswith("older of") and sentence.endswith("is handed something") for sentence in sealed_values.run(200, 1).wrong)
