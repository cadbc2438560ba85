"""A registry credential: what it is for and how it signs in. It has no field for the secret, so that nothing shows one."""

from dataclasses import dataclass
from enum import StrEnum

from webapp.vault import SealContext

GCP_USERNAME = "_json_key"
"""The user name that Google's registries take with a service account key."""


class AuthMethod(StrEnum):
    """How a credential signs in."""

    PASSWORD = "password"  # noqa: S105  the method's name
    GCP_SERVICE_ACCOUNT_KEY = "gcp_service_account_key"

    @property
    def label(self) -> str:
        """The method in the page's words."""
        return "Password / Token" if self is AuthMethod.PASSWORD else "GCP service account key"


@dataclass(frozen=True, slots=True)
class Credential:
    """A registry credential as its row shows it. Times are Unix milliseconds, None means never; `images` is how many images use it."""

    id: str
    name: str
    description: str
    host: str
    auth_method: AuthMethod
    username: str
    secret_version: int
    version: int
    updated_at: int
    updated_by: str
    replaced_at: int
    replaced_by: str
    last_used_at: int | None
    images: int


@dataclass(frozen=True, slots=True)
class CredentialFields:
    """What a member may set, parsed; the secret is handed over beside it."""

    name: str
    name_key: str
    description: str
    host: str
    auth_method: AuthMethod
    username: str


def seal_context(account_id: str, record_id: str, secret_version: int, host: str, auth_method: str) -> SealContext:
    """The place that a credential's value is sealed to: its row, its version, its host and its method."""
    return SealContext(account_id, "registry_credentials", record_id, "sealed", secret_version, (host, str(auth_method)))
