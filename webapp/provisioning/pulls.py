"""What became of a pull, noted at the credential and at the image that were handed over."""

import re

from webapp.actor import Actor
from webapp.database import AccountTransaction, Row
from webapp.images.pinning import pinned_reference
from webapp.names import key_of
from webapp.provisioning.result import Result
from webapp.registry.attribution import kind_of

# The times are the hand-overs': a result that comes late does not hide what a later hand-over came to.
_PULLED = "last_pulled_at = :at"
_FAILED = "last_failed_at = :at, last_failure_kind = :kind, last_failed_agent = :agent"
_CREDENTIAL = "UPDATE registry_credential_activity SET"
_OF_CREDENTIAL = "WHERE account_id = :account_id AND registry_credential_id = :id AND"
_IMAGE = "UPDATE image_activity SET"
_OF_IMAGE = "WHERE account_id = :account_id AND image_id = :id AND"
_NEWER = {"pulled": "(last_pulled_at IS NULL OR last_pulled_at <= :at)", "failed": "(last_failed_at IS NULL OR last_failed_at <= :at)"}
_SET = {"pulled": _PULLED, "failed": _FAILED}

_NOTE_CREDENTIAL = {outcome: f"{_CREDENTIAL} {_SET[outcome]} {_OF_CREDENTIAL} {_NEWER[outcome]}" for outcome in _SET}
_NOTE_IMAGE = {outcome: f"{_IMAGE} {_SET[outcome]} {_OF_IMAGE} {_NEWER[outcome]}" for outcome in _SET}

FIRST_ROW = (
    "INSERT INTO image_activity (account_id, image_id) SELECT :account_id, i.id FROM images i"
    " WHERE i.id = :id AND (i.account_id = :account_id OR i.account_id IS NULL) ON CONFLICT (account_id, image_id) DO NOTHING"
)
"""Makes the image's row in the account, unless it is there; nothing for an image that is not."""

_READ = r"(?:secrets|variables)\.\w+(?: \(version \d+\))?"
_ADDED = re.compile(rf"(?:; token until [0-9TZ:-]{{20}})?(?:; user data(?: reads {_READ}(?:, {_READ})*)?)?\Z", re.ASCII)
"""What `provision` adds of a token and of user data: at the end, and written just so, since an image may be called anything."""

_NAMED = (
    "SELECT id, reference, account_id FROM images WHERE name_key = :key AND (account_id = :account_id OR account_id IS NULL)"
    " ORDER BY account_id IS NULL"
)


def failure_kind(result: Result) -> str | None:
    """Which of the registry's kinds a failure is, by what the agent saw; None for none of them, and for a pull that worked."""
    kind = kind_of(result.error) if result.outcome == "failed" and result.error else None
    return None if kind is None else str(kind)


def reference_of(handed: Row) -> str:
    """The reference that was handed over, out of what `provision._event` wrote."""
    said = _said(handed)
    return said.rpartition(", ")[2] if handed["action"] == "registry_credential.release" else said.partition(", ")[0]


async def note_pull(transaction: AccountTransaction, agent: Actor, handed: Row, result: Result, handed_at: int) -> None:
    """Note the result of a hand-over at its credential and its image, unless a later hand-over's is there already.

    What has been deleted or renamed since is passed over.
    """
    values: dict[str, object] = {"at": handed_at}
    if result.outcome == "failed":
        values |= {"kind": failure_kind(result), "agent": agent.label}
    if handed["object_kind"] == "registry_credential":
        await transaction.execute(_NOTE_CREDENTIAL[result.outcome], {**values, "id": handed["object_id"]})
    image_id = await _image_of(transaction, handed)
    if image_id is not None:
        await transaction.execute(FIRST_ROW, {"id": image_id})
        await transaction.execute(_NOTE_IMAGE[result.outcome], {**values, "id": image_id})


async def _image_of(transaction: AccountTransaction, handed: Row) -> str | None:
    """The image that was handed over. The row of a credential's release names it, with its reference, which may be pinned."""
    if handed["object_kind"] == "image":
        return str(handed["object_id"])
    name = _said(handed).rpartition(", ")[0].removeprefix("image ")
    rows = await transaction.fetch_all(_NAMED, {"key": key_of(name)})
    reference = reference_of(handed)
    digest = reference.partition("@")[2]
    exact = [row["id"] for row in rows if row["reference"] == reference]
    pinned = [row["id"] for row in rows if pinned_reference(row["reference"], digest) == reference]
    return next(iter(exact or pinned), None)


def _said(handed: Row) -> str:
    return _ADDED.sub("", str(handed["detail"]), count=1)
