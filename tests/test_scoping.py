"""Accounts are strictly apart: each statement that a slice runs without an account is here, with its reason."""

from pathlib import Path

import pytest

from tests.scoping import unscoped
from tests.test_architecture import SLICES

WEBAPP = Path(__file__).resolve().parent.parent / "webapp"

REASONS = {
    # Nobody is known yet: what is found tells the account, and nothing of it is shown to anybody before it was proved.
    "accounts/sessions.py: Sessions.find": "the session tells the account",
    "accounts/signing_in.py: SigningIn.by_password": "the address tells the account; an address is of one member in the whole installation",
    "accounts/api_tokens.py: ApiTokenRepository.find_bearer": "the token tells the account",
    "accounts/invitations.py: Invitations.find": "the invitation's token tells the account",
    "accounts/invitations.py: Invitations._refuse_over": "the same, once more in the transaction",
    "accounts/passkeys.py: PasskeyRepository.shown": "the passkey tells the member, and so the account",
    "accounts/identities.py: Identities.who": "the issuer's person, or the address that it vouches for, tells the member",
    **dict.fromkeys(
        [
            f"accounts/throttle.py: Throttle.{name}"
            for name in ("begin", "_count", "_take_back", "_set_back", "_sweep", "write_in_place_of_a_row")
        ],
        "how often somebody has failed, by a keyed hash of an address, a device or a session: of no account",
    ),
    "agents/enrolment.py: Enrolment._find_agent": "the token tells the account",
    "agents/enrolment.py: Enrolment._find_bootstrap_token": "the token tells the account",
    "provisioning/repository.py: ProvisionRepository.submit": "a batch for many agents: each is read by its token, and tells its account",
    "provisioning/repository.py: ProvisionRepository.queue": "the same, for who does not wait",
    # The installation's own.
    "accounts/members.py: MemberRepository.has_members": "whether the set-up link is of use still: true or false",
    "accounts/members.py: MemberRepository.set_up": "makes the first account, so that there is none yet",
    "accounts/members.py: MemberRepository.create_admin": "a command on the server",
    "accounts/members.py: MemberRepository.create_account": "makes an account, so that there is none yet",
    "accounts/passwords.py: Passwords.reset": "a command on the server",
    "accounts/repository.py: AccountRepository.every": "for commands on the server",
    "accounts/repository.py: AccountRepository.only_account_id": "for commands on the server",
    "encryption/repository.py: KeyRepository.keys": "the keyring, which all accounts share, and whether there are others",
    "encryption/repository.py: KeyRepository.note_wraps": "counts in the keyring",
    "images/official.py: load_official_images": "official images are of no account: everybody's, from the server's file",
    "web/health.py: readyz": "whether the store can be read: true or false",
    # One log for the whole installation, in chains that accounts share: each row has its account, and pages read rows by it.
    "audit/exporting.py: Heads.has_turn": "one process writes the signed heads",
    "audit/exporting.py: Heads.write": "signed heads of all chains",
    "audit/exporting.py: Heads._rows": "how many rows there are, for whether to write heads again",
    "audit/heads.py: current": "signed heads of all chains",
    "audit/restores.py: signed_restores": "a command on the server",
    "audit/retention.py: signed_cuts": "a command on the server",
    "audit/retention.py: cut": "a command on the server",
    "audit/retention.py: _range": "a command on the server",
    "audit/retention.py: _remove": "a command on the server",
    "audit/verification.py: verify": "a command on the server",
    "audit/verification.py: _pages": "a command on the server",
    "audit/verification.py: _page": "a command on the server",
    "audit/verification.py: _chain": "a command on the server",
    # What is done on time, for all accounts, and shown to nobody.
    "credentials/versions.py: CredentialVersions.destroy_expired": "destroys what is over; each in its own account's transaction",
    "credentials/minted_tokens.py: MintedTokens._renew": "a name to hold, so that one process mints; no statement",
    "provisioning/activity.py: Activity._write_some": "when agents were here, by their ids",
    "provisioning/activity.py: written_soon": "hands it on to Activity",
    "secrets/imports.py: ImportRepository.begin": "deletes what nobody has confirmed in time, of all accounts",
    "secrets/imports.py: ImportRepository.forget_expired": "the same",
    "secrets/imports.py: ImportRepository.commit": "a batch, in which the account's own transaction is made",
}
"""Why each function of a slice may touch the database past `Database.account`, by its file and name."""


def test_every_statement_without_an_account_has_its_reason() -> None:
    found = {
        f"{part}/{path.name}: {name}"
        for part in (*SLICES, "web")
        for path in (WEBAPP / part).glob("*.py")
        for name in unscoped(path.read_text(encoding="utf-8"))
    }
    assert sorted(found - set(REASONS)) == [], "scope these with Database.account(…), or say here why not"
    assert sorted(set(REASONS) - found) == [], "these are not there any more"


@pytest.mark.parametrize(
    "line",
    [
        "await self._database.fetch_all('SELECT 1')",
        "async with self._database.transaction() as transaction: pass",
        "whole = self._database",
        "await helper(self._database)",
        "await transaction.whole.execute('DELETE FROM images')",
        "await request.app.state.database.fetch_one('SELECT 1')",
        "await self._database.submit(write)",
        "rows = [row for row in await self._database.fetch_all_now('SELECT 1')]",
    ],
)
def test_it_finds_a_statement_of_no_account(line: str) -> None:
    assert unscoped(f"class Images:\n    async def newest(self, transaction, request, write):\n        {line}\n") == ["Images.newest"]


@pytest.mark.parametrize(
    "line",
    [
        "await self._database.account(actor.account_id).fetch_all(_SELECT)",
        "async with self._database.account(actor.account_id).transaction() as transaction: pass",
        "account = self._database.account(actor.account_id)",
        "return self._database.is_shared",
    ],
)
def test_it_lets_an_accounts_own_statement_be(line: str) -> None:
    assert unscoped(f"class Images:\n    async def newest(self, actor):\n        {line}\n") == []
