"""Where sealed values are: the tables, and the place that each row of them is sealed to."""

from collections.abc import Callable
from dataclasses import dataclass

from webapp.credentials import credential, minted_tokens
from webapp.database import Row
from webapp.secrets import imports, named_value
from webapp.vault import SealContext


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with sealed values: what a row of it is called, its columns that `place` needs, and the place that a row is sealed to.

    Each has `id`, `account_id`, `sealed` and `kek_id`. `passing` is one whose rows live for minutes or hours, and have no name.
    """

    noun: str
    table: str
    columns: tuple[str, ...]
    place: Callable[[Row], SealContext]
    passing: bool = False


SEALED_TABLES = (
    SealedTable(
        "registry credential",
        "registry_credentials",
        ("secret_version", "host", "auth_method", "parameters"),
        lambda row: credential.seal_context(
            row["account_id"], row["id"], row["secret_version"], row["host"], row["auth_method"], row["parameters"]
        ),
    ),
    SealedTable(
        "secret",
        "secrets",
        ("secret_version",),
        lambda row: named_value.seal_context(row["account_id"], row["id"], row["secret_version"]),
    ),
    SealedTable(
        "import",
        "env_imports",
        ("session", "kind"),
        lambda row: imports.seal_context(row["account_id"], row["id"], row["session"], row["kind"]),
        passing=True,
    ),
    SealedTable(
        "kept version",
        "registry_credential_versions",
        ("registry_credential_id", "secret_version", "host", "auth_method", "parameters"),
        lambda row: credential.seal_context(
            row["account_id"], row["registry_credential_id"], row["secret_version"], row["host"], row["auth_method"], row["parameters"]
        ),
        passing=True,
    ),
    SealedTable(
        "minted token",
        "minted_tokens",
        ("secret_version", "host", "auth_method", "parameters", "minted_at", "expires_at"),
        minted_tokens.seal_context,
        passing=True,
    ),
)
