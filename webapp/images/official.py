"""Official images: read from a JSON file at start, read-only for everybody."""

import hashlib
import json
from pathlib import Path
from typing import Any

from webapp.database import Database, Transaction
from webapp.errors import ConfigurationError
from webapp.images.image import ImageFields
from webapp.names import parse_description, parse_name
from webapp.reference import Reference

_SETTING = "WEBAPP_OFFICIAL_IMAGES_FILE"


def read_official_images(path: Path) -> list[ImageFields]:
    """The images in the file: a JSON array of objects with `name`, `docker_image_url` and, at will, `description`.

    Raises ConfigurationError that says which entry is wrong, and how.
    """
    try:
        entries = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{_SETTING}: {path} cannot be read ({error.strerror}).") from None
    except ValueError:
        raise ConfigurationError(f"{_SETTING}: {path} is not JSON in UTF-8. It has to be an array of images.") from None
    if not isinstance(entries, list):
        raise ConfigurationError(f"{_SETTING}: {path} has to be a JSON array of images.")
    images: dict[str, ImageFields] = {}
    for number, entry in enumerate(entries, 1):
        image = _parse(path, number, entry)
        if image.name_key in images:
            raise ConfigurationError(f"{_SETTING}: {path}, entry {number}: the name {image.name} is there twice.")
        images[image.name_key] = image
    return list(images.values())


def _parse(path: Path, number: int, entry: Any) -> ImageFields:
    where = f"{_SETTING}: {path}, entry {number}"
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where}: has to be an object with name and docker_image_url.")
    texts = {key: entry.get(key, "") for key in ("name", "docker_image_url", "description")}
    if wrong := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise ConfigurationError(f"{where}: {wrong[0]} has to be a string.")
    try:
        name = parse_name(texts["name"])
        description = parse_description(texts["description"])
        reference = Reference.parse(texts["docker_image_url"].strip())
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    return ImageFields(name.text, name.key, description, texts["docker_image_url"].strip(), str(reference), reference.host, None)


async def load_official_images(database: Database, path: Path | None, now: int) -> None:
    """Make the table agree with the file (no file: no official images). `now` is in Unix milliseconds.

    One that the file does not hold any more is deleted, or withdrawn while an agent or an account uses
    it. Raises ConfigurationError.
    """
    images = read_official_images(path) if path is not None else []
    async with database.transaction() as transaction:
        kept = set()
        for image in images:
            image_id = f"official-{hashlib.sha256(image.name_key.encode()).hexdigest()[:24]}"
            kept.add(image_id)
            await _upsert(transaction, image_id, image, now)
        for row in await transaction.fetch_all(
            "SELECT i.id, EXISTS (SELECT 1 FROM agents g WHERE g.image_id = i.id) OR"
            " EXISTS (SELECT 1 FROM accounts a WHERE a.default_image_id = i.id) AS used FROM images i WHERE i.account_id IS NULL"
        ):
            if row["id"] in kept:
                continue
            if row["used"]:
                await transaction.execute(
                    "UPDATE images SET withdrawn_at = :now WHERE id = :id AND withdrawn_at IS NULL", {"now": now, "id": row["id"]}
                )
            else:
                await transaction.execute("DELETE FROM images WHERE id = :id", {"id": row["id"]})


async def _upsert(transaction: Transaction, image_id: str, image: ImageFields, now: int) -> None:
    await transaction.execute(
        "INSERT INTO images (id, account_id, name, name_key, description, docker_image_url, reference, host,"
        " registry_credential_id, version, created_at, updated_at, updated_by)"
        " VALUES (:id, NULL, :name, :name_key, :description, :docker_image_url, :reference, :host, NULL, 1, :now, :now, 'official')"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,"
        " docker_image_url = excluded.docker_image_url, reference = excluded.reference, host = excluded.host, withdrawn_at = NULL",
        {
            "id": image_id,
            "name": image.name,
            "name_key": image.name_key,
            "description": image.description,
            "docker_image_url": image.docker_image_url,
            "reference": image.reference,
            "host": image.host,
            "now": now,
        },
    )
