"""A registry credential: what it is for and how it signs in. It has no field for the secret, so that nothing shows one."""

from dataclasses import dataclass
from enum import StrEnum

from webapp.registry.outcomes import Pulls
from webapp.vault import SealContext

GCP_USERNAME = "_json_key"
"""The user name that Google's registries take with a service account key."""

GCP_TOKEN_USERNAME = "oauth2accesstoken"  # noqa: S105  a user name
"""The user name that they take with an access token."""

ECR_USERNAME = "AWS"
"""The user name that Amazon ECR takes with a token."""


NEVER = 999_999_999_999_999
"""In Unix milliseconds: where one that does not expire stands among those that do, in the column `expiry_rank`."""


class AuthMethod(StrEnum):
    """How a credential signs in."""

    PASSWORD = "password"  # noqa: S105  the method's name
    GCP_SERVICE_ACCOUNT_KEY = "gcp_service_account_key"
    AWS_ECR = "aws_ecr"

    @property
    def label(self) -> str:
        """The method in the page's words."""
        return _LABELS[self]


_LABELS = {
    AuthMethod.PASSWORD: "Password / Token",
    AuthMethod.GCP_SERVICE_ACCOUNT_KEY: "GCP service account key",
    AuthMethod.AWS_ECR: "Amazon ECR",
}


VALUE_FIELDS = {
    AuthMethod.PASSWORD: "password",
    AuthMethod.GCP_SERVICE_ACCOUNT_KEY: "service_account_key",
    AuthMethod.AWS_ECR: "secret_access_key",
}
"""The field in which a method's value is entered."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A registry credential as its row shows it. Times are Unix milliseconds, None means never; `images` is how many images use it.

    `parameters` are those of `parameters.py`. `expiry_source` is "value" where `expires_at` was read from the value, "typed" where a
    member said so, "" for none.
    """

    id: str
    name: str
    description: str
    host: str
    auth_method: AuthMethod
    username: str
    parameters: str
    secret_version: int
    expires_at: int | None
    expiry_source: str
    version: int
    updated_at: int
    updated_by: str
    replaced_at: int
    replaced_by: str
    last_used_at: int | None
    pulls: Pulls
    images: int

    @property
    def expiry_rank(self) -> int:
        """Where it stands when those that expire first come first."""
        return rank_of(self.expires_at)


@dataclass(frozen=True, slots=True)
class CredentialFields:
    """What a member may set, parsed; the secret is handed over beside it."""

    name: str
    name_key: str
    description: str
    host: str
    auth_method: AuthMethod
    username: str
    parameters: str = ""
    expires_at: int | None = None
    expiry_source: str = ""


def rank_of(expires_at: int | None) -> int:
    """What the column `expiry_rank` holds beside this `expires_at`."""
    return NEVER if expires_at is None else expires_at


def seal_context(account_id: str, record_id: str, secret_version: int, host: str, auth_method: str, parameters: str = "") -> SealContext:
    """The place that a credential's value is sealed to: its row, its version, its host, its method and the method's parameters."""
    binding = (host, str(auth_method), parameters) if parameters else (host, str(auth_method))
    return SealContext(account_id, "registry_credentials", record_id, "sealed", secret_version, binding)
