"""Images in the database: the account's own, and the official ones that every account sees."""

from dataclasses import dataclass
from typing import Any

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Conflict, Forbidden, Invalid, NotFound
from webapp.ids import new_id
from webapp.images.image import Image, ImageFields
from webapp.images.pinning import last_check, pin_event, pinned_digest
from webapp.images.user_data import UserData
from webapp.images.user_data_names import Names, find_names, preview, refer
from webapp.names import key_of
from webapp.nonce import spend_nonce
from webapp.records import FIRST_PAGE, Page, Wanted, page_of, refuse_stale, unique_name
from webapp.reference import same_registry
from webapp.registry.outcomes import Checked, pulls_of
from webapp.vault import Vault

MOST_CHOICES = 500

_SELECT = (
    "SELECT i.id, i.account_id, i.name, i.name_key, i.description, i.docker_image_url, i.reference, i.host, i.registry_credential_id,"
    " c.name AS credential_name, c.host AS credential_host, i.user_data, i.withdrawn_at, i.version,"
    " i.updated_at, i.updated_by, i.pin_digest, i.pinned_digest,"
    " v.last_pulled_at, v.last_failed_at, v.last_failure_kind, v.last_failed_agent"
    " FROM images i LEFT JOIN registry_credentials c ON c.id = i.registry_credential_id AND c.account_id = :account_id"
    " LEFT JOIN image_activity v ON v.account_id = :account_id AND v.image_id = i.id"
)
_CHOICE = (
    "SELECT id, name, host, expires_at,"
    " (SELECT v.last_used_at FROM registry_credential_activity v WHERE v.registry_credential_id = registry_credentials.id) AS last_used_at"
    " FROM registry_credentials WHERE account_id = :account_id"
)
_OWN = "i.account_id = :account_id"
_OFFICIAL = "(i.account_id IS NULL AND i.withdrawn_at IS NULL)"
_OF_KIND = {"": (_OWN, _OFFICIAL), "custom": (_OWN,), "official": (_OFFICIAL,)}


@dataclass(frozen=True, slots=True)
class CredentialChoice:
    """A registry credential that an image may use; `matches` when it is for the image's own host. Times are Unix milliseconds."""

    id: str
    name: str
    host: str
    matches: bool
    expires_at: int | None
    last_used_at: int | None


@dataclass(frozen=True, slots=True)
class ImageUse:
    """Who uses an image: the agents (id and name) that it was chosen for, and whether it is the account's default."""

    agents: list[tuple[str, str]]
    is_default: bool


class ImageRepository:
    """The account's image catalog."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._chain = chain
        self._clock = clock

    async def page(self, actor: Actor, wanted: Wanted = FIRST_PAGE, *, kind: str = "") -> Page[Image]:
        """A page of the images of a kind ("", "official", "custom"), by name."""
        # One statement for each kind: of "this or that" no index tells the order.
        selects = [f"{_SELECT} WHERE {condition}" for condition in _OF_KIND.get(kind, _OF_KIND[""])]
        account = self._database.account(actor.account_id)
        return await page_of(account, selects, _image, table="images", alias="i", wanted=wanted)

    async def get(self, actor: Actor, image_id: str) -> Image:
        """One image of the account, or an official one. Raises NotFound."""
        row = await self._database.account(actor.account_id).fetch_one(
            f"{_SELECT} WHERE i.id = :id AND ({_OWN} OR i.account_id IS NULL)", {"id": image_id}
        )
        if row is None:
            raise NotFound("There is no such image in this account.")
        return _image(row)

    async def get_own(self, actor: Actor, image_id: str) -> Image:
        """One image that the account may change. Raises NotFound, Forbidden for an official one."""
        return _changeable(await self.get(actor, image_id))

    async def credential_choices(self, actor: Actor, host: str, chosen: str = "") -> list[CredentialChoice]:
        """The registry credentials that can be chosen: those for this host first, then by name; at most 500, the chosen one among them."""
        account, aliases = self._database.account(actor.account_id), {**_aliases(host), "host": host}
        rows = await account.fetch_all(f"{_CHOICE} AND id = :chosen", {"chosen": chosen})
        for condition, order, values in (
            (f"host IN (:{', :'.join(aliases)})", "host, name_key", aliases),
            ("id <> :chosen", "name_key", {"chosen": chosen}),
        ):
            known, left = {row["id"] for row in rows}, MOST_CHOICES - len(rows)
            more = await account.fetch_all(
                f"{_CHOICE} AND {condition} ORDER BY {order} LIMIT :limit", {**values, "limit": left + len(known)}
            )
            rows += [row for row in more if row["id"] not in known][:left]
        choices = [CredentialChoice(**row, matches=bool(host) and same_registry(row["host"], host)) for row in rows]
        return sorted(choices, key=lambda choice: (not choice.matches, key_of(choice.name)))

    async def add(self, actor: Actor, fields: ImageFields, nonce: str = "") -> tuple[Image, bool]:
        """Make an image; returns it, and whether it is new: a nonce that was spent leads to the one that it made.

        Raises Invalid, and NotFound when that one is gone.
        """
        image_id, now = new_id(), self._clock()
        async with unique_name(self._database.account(actor.account_id), "image") as transaction:
            earlier = await spend_nonce(transaction, nonce, image_id, now)
            if earlier is None:
                names = await self._refuse(transaction, fields, "")
                made = {"id": image_id, "version": 1, "created_at": now, "updated_at": now, "updated_by": actor.label}
                await transaction.insert("images", {**made, **_columns(fields)})
                await refer(transaction, image_id, names)
                event = Event("image.create", "image", image_id, fields.name, detail=fields.reference[:500])
                await self._chain.append(transaction, actor, event)
        return await self.get(actor, earlier or image_id), earlier is None

    async def save(self, actor: Actor, image_id: str, fields: ImageFields, version: int | None) -> Image:
        """Change an image. Raises NotFound, Forbidden for an official one, Invalid, and Stale with what changed."""
        async with unique_name(self._database.account(actor.account_id), "image") as transaction:
            image = await self._own(transaction, image_id)
            refuse_stale("image", stored=image.version, edited=version, who=image.updated_by)
            names = await self._refuse(transaction, fields, image_id)
            changed = {"version": image.version + 1, "updated_at": self._clock(), "updated_by": actor.label}
            pinned = pinned_digest(image, fields, await last_check(transaction.fetch_one, image_id))
            await transaction.update("images", image_id, {**changed, **_columns(fields), "pinned_digest": pinned})
            await refer(transaction, image_id, names)
            await self._chain.append(
                transaction, actor, Event("image.update", "image", image_id, fields.name, detail=_changes(image, fields))
            )
            if pinned is not None and pinned != image.pinned_digest:
                await self._chain.append(transaction, actor, pin_event(image_id, fields.name, fields.reference, pinned))
        return await self.get(actor, image_id)

    async def use(self, actor: Actor, image_id: str) -> ImageUse:
        """Who uses this image."""
        account = self._database.account(actor.account_id)
        return await _use(account.fetch_all, image_id)

    async def last_check(self, actor: Actor, image_id: str) -> Checked | None:
        """What the last check of this image found."""
        return await last_check(self._database.account(actor.account_id).fetch_one, image_id)

    async def preview(self, actor: Actor, template: UserData) -> str:
        """The user data with variables filled in and secrets as `••••`. Raises Invalid for a name that is not there, or too long a text."""
        return await preview(self._database.account(actor.account_id).fetch_all, template)

    async def delete(self, actor: Actor, image_id: str) -> None:
        """Delete an image that nothing uses. Raises NotFound, Forbidden for an official one, Conflict while it is used."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            image = await self._own(transaction, image_id)
            use = await _use(transaction.fetch_all, image_id)
            if use.agents or use.is_default:
                raise Conflict(f"The image {image.name} is in use, so it cannot be deleted.", "image-in-use")
            await transaction.execute(
                "UPDATE agents SET image_id = NULL WHERE account_id = :account_id AND image_id = :id", {"id": image_id}
            )
            await refer(transaction, image_id, {})
            await transaction.execute("DELETE FROM images WHERE account_id = :account_id AND id = :id", {"id": image_id})
            await self._chain.append(transaction, actor, Event("image.delete", "image", image_id, image.name))

    async def _own(self, transaction: AccountTransaction, image_id: str) -> Image:
        row = await transaction.fetch_one(f"{_SELECT} WHERE i.id = :id AND ({_OWN} OR i.account_id IS NULL)", {"id": image_id})
        if row is None:
            raise NotFound("There is no such image in this account.")
        return _changeable(_image(row))

    async def _refuse(self, transaction: AccountTransaction, fields: ImageFields, image_id: str) -> Names:
        """Raise Invalid for what the database does not allow; returns what the user data refers to."""
        errors: dict[str, str] = {}
        named = await transaction.fetch_one(
            "SELECT id FROM images WHERE account_id = :account_id AND name_key = :key AND id <> :id",
            {"key": fields.name_key, "id": image_id},
        )
        if named is not None:
            errors["name"] = "Another image of this account has this name. Choose another one."
        if fields.credential_id is not None:
            row = await transaction.fetch_one(
                "SELECT name, host FROM registry_credentials WHERE account_id = :account_id AND id = :id", {"id": fields.credential_id}
            )
            if row is None:
                errors["registry_credential_id"] = "There is no such registry credential any more. Choose one of the list, or none."
            elif not same_registry(row["host"], fields.host):
                errors["registry_credential_id"] = (
                    f"The registry credential {row['name']} is for {row['host']}, and the image is at {fields.host}."
                    f" Choose a credential for {fields.host}, or none for a public image."
                )
        names: Names = {}
        try:
            names = await find_names(transaction.fetch_all, fields.references)
        except ValueError as error:
            errors["user_data"] = str(error)
        if errors:
            raise Invalid(errors)
        return names


async def _use(fetch_all: Any, image_id: str) -> ImageUse:
    agents = await fetch_all(
        "SELECT id, name FROM agents WHERE account_id = :account_id AND image_id = :id AND revoked_at IS NULL"
        " ORDER BY name_key LIMIT :limit",
        {"id": image_id, "limit": MOST_CHOICES},
    )
    default = await fetch_all("SELECT id FROM accounts WHERE id = :account_id AND default_image_id = :id", {"id": image_id})
    return ImageUse([(row["id"], row["name"]) for row in agents], bool(default))


def _aliases(host: str) -> dict[str, str]:
    aliases = ("docker.io", "index.docker.io", "registry-1.docker.io") if host and same_registry(host, "docker.io") else (host,) * 3
    return {f"alias_{number}": alias for number, alias in enumerate(aliases, 1)}


def _changeable(image: Image) -> Image:
    if image.official:
        raise Forbidden("Official images are read-only. Create an image of your own with the same Docker Image URL.")
    return image


def _columns(fields: ImageFields) -> dict[str, object]:
    names = ("name", "name_key", "description", "docker_image_url", "reference", "host", "user_data")
    others = {"registry_credential_id": fields.credential_id, "pin_digest": int(fields.pin_digest)}
    return {name: getattr(fields, name) for name in names} | others


def _changes(image: Image, fields: ImageFields) -> str:
    changed = [
        word
        for word, before, after in (
            ("name", image.name, fields.name),
            ("description", image.description, fields.description),
            ("Docker Image URL", image.docker_image_url, fields.docker_image_url),
            ("Docker Registry Auth", image.credential_id, fields.credential_id),
            ("user data", image.user_data, fields.user_data),
            ("pin", image.pin_digest, fields.pin_digest),
        )
        if before != after
    ]
    return f"changed: {', '.join(changed) or 'nothing'}"


def _image(row: Row) -> Image:
    return Image(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        docker_image_url=row["docker_image_url"],
        reference=row["reference"],
        host=row["host"],
        credential_id=row["registry_credential_id"],
        credential_name=row["credential_name"],
        credential_host=row["credential_host"],
        user_data=row["user_data"],
        official=row["account_id"] is None,
        withdrawn=row["withdrawn_at"] is not None,
        version=row["version"],
        updated_at=row["updated_at"],
        updated_by=row["updated_by"],
        pin_digest=bool(row["pin_digest"]),
        pinned_digest=row["pinned_digest"],
        pulls=pulls_of(row),
    )
