"""What an authentication method needs beside its secret, as the column `parameters` holds it: canonical JSON, or nothing.

A value is sealed to it, as to its host: whoever can write to the database can have no token minted for another role, and no key
handed over of which only tokens are to leave.
"""

import json
from dataclasses import dataclass

from webapp.credentials.credential import GCP_TOKEN_USERNAME, GCP_USERNAME, AuthMethod

NONE = ""

GCP_ACCESS_TOKEN = '{"hand_over":"oauth2accesstoken"}'  # noqa: S105  no password, but how one is handed over
"""Of a service account key: agents are handed a short-lived access token, and never the key."""

HAND_OVERS = {
    GCP_USERNAME: "The key itself, as _json_key",
    GCP_TOKEN_USERNAME: "A short-lived access token, as oauth2accesstoken: the key never leaves this control plane",
}
"""How a service account key is handed over, by the user name that agents sign in with."""

_ECR_HAND_OVER = "A token, minted when an agent needs one: the key never leaves this control plane"


@dataclass(frozen=True, slots=True)
class EcrParameters:
    """How a token of Amazon ECR is minted; the secret is the secret access key. Without an access key id: by this process's own role."""

    region: str
    access_key_id: str = ""
    role_arn: str = ""
    external_id: str = ""

    @property
    def own_role(self) -> bool:
        """Whether it is this process's own role that asks."""
        return not self.access_key_id

    def __str__(self) -> str:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps({name: value for name, value in values.items() if value}, separators=(",", ":"), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> "EcrParameters":
        """The parameters in a column. Raises ValueError for what this program has not written."""
        try:
            read = json.loads(text)
            found = cls(**read)
        except (TypeError, ValueError, RecursionError):
            raise ValueError("the parameters of a registry credential are not in order") from None
        if not all(isinstance(value, str) for value in read.values()) or str(found) != text:
            raise ValueError("the parameters of a registry credential are not in order")
        return found


def mints(auth_method: str, parameters: str) -> bool:
    """Whether agents are handed a token that is minted, and not the value itself."""
    return auth_method == AuthMethod.AWS_ECR or parameters == GCP_ACCESS_TOKEN


def is_own_role(auth_method: str, parameters: str) -> bool:
    """Whether tokens are minted by this process's own role, so that there is no value."""
    if auth_method != AuthMethod.AWS_ECR:
        return False
    try:
        return EcrParameters.read(parameters).own_role
    except ValueError:
        return False


def described(auth_method: str, parameters: str) -> list[tuple[str, str]]:
    """What may be shown to everybody of the account, as label and words. What is not in order is not shown."""
    if auth_method == AuthMethod.GCP_SERVICE_ACCOUNT_KEY:
        return [("Hand over", HAND_OVERS[GCP_TOKEN_USERNAME if parameters == GCP_ACCESS_TOKEN else GCP_USERNAME])]
    if auth_method != AuthMethod.AWS_ECR:
        return []
    try:
        found = EcrParameters.read(parameters)
    except ValueError:
        return []
    signs = "this server's own role" if found.own_role else found.access_key_id
    facts = [("Region", found.region), ("Access key id", signs), ("Role ARN", found.role_arn), ("Hand over", _ECR_HAND_OVER)]
    return [(label, words) for label, words in facts if words]


def in_short(auth_method: str, parameters: str) -> str:
    """The same for the audit log, in which nothing stands that is as ever: `region eu-central-1, access key AKIA…`; or nothing."""
    if parameters == GCP_ACCESS_TOKEN:
        return f"handed over as {GCP_TOKEN_USERNAME}"
    if auth_method != AuthMethod.AWS_ECR:
        return ""
    try:
        found = EcrParameters.read(parameters)
    except ValueError:
        return ""
    signs = "own role" if found.own_role else f"access key {found.access_key_id}"
    return ", ".join([f"region {found.region}", signs] + [f"role {found.role_arn}"] * bool(found.role_arn))
