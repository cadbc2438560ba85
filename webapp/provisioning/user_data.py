"""The user data of a hand-over: found first, named in the audit row, and only then opened and rendered."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from webapp.database import Batch
from webapp.errors import Conflict
from webapp.images.user_data import MOST_OUTPUT, Store, UserData, parse_user_data
from webapp.secrets.repository import NamedValueRepository, Reading
from webapp.vault import Secret

_parsed = lru_cache(maxsize=64)(parse_user_data)
"""Templates are few, and every machine of a rack asks for the same one. It holds no value."""


@dataclass(frozen=True, slots=True)
class FoundUserData:
    """An image's template, and the values that it refers to as they are stored: secrets are still sealed."""

    template: UserData
    readings: Mapping[tuple[Store, str], Reading]

    @property
    def may_be_too_long(self) -> bool:
        """Whether it is worth a try before anything is written down: a value may stand in many places, and grow fivefold in a filter."""
        return sum(len(reading.stored) for reading in self.readings.values()) > MOST_OUTPUT // 64

    @property
    def sealed(self) -> list[bytes]:
        """The values that are sealed."""
        return [reading.stored for reading in self.readings.values() if reading.secret_version is not None]

    @property
    def reads(self) -> str:
        """What is read, by name, for the audit row: `user data reads secrets.DB_PASSWORD (version 3), variables.STAGE`."""
        if not self.readings:
            return "user data"
        return "user data reads " + ", ".join(
            f"{store}.{name}" + (f" (version {reading.secret_version!a})" if reading.secret_version is not None else "")
            for (store, name), reading in self.readings.items()
        )


def find_user_data(batch: Batch, account_id: str, text: str | None, values: Mapping[Store, NamedValueRepository]) -> FoundUserData | None:
    """The values that this template refers to; None for no template. Raises Conflict when one is not there any more."""
    if text is None:
        return None
    try:
        template = _parsed(text)
    except ValueError as error:
        raise Conflict(f"The user data of the image cannot be rendered. {error}", "user-data-invalid") from None
    readings: dict[tuple[Store, str], Reading] = {}
    for store, repository in values.items():
        wanted = [reference for reference in template.references if reference.store == store]
        found = repository.readings(batch, account_id, [reference.name for reference in wanted])
        for reference in wanted:
            if reference.name not in found:
                message = f"Line {reference.line} of the image's user data refers to {reference}, which is not there."
                raise Conflict(message, "user-data-name-missing")
            readings[store, reference.name] = found[reference.name]
    return FoundUserData(template, readings)


def render_user_data(account_id: str, found: FoundUserData | None, values: Mapping[Store, NamedValueRepository]) -> Secret | None:
    """The user data with its values in it; itself a secret. Raises Conflict when it is too long, SealBroken."""
    if found is None:
        return None
    try:
        text = found.template.render(
            lambda store, name: values[store].open(account_id, found.readings[store, name]).reveal().decode("utf-8")
        )
    except ValueError as error:
        problem = str(error)
    else:
        return Secret(text.encode("utf-8"))
    # Raised out here, so that no context carries a value along.
    raise Conflict(f"The user data of the image cannot be handed over. {problem}", "user-data-too-long")
