"""What an authentication method needs beside its secret, as the column `parameters` holds it: canonical JSON, or nothing.

A value is sealed to it, as to its host: whoever can write to the database can have no token minted for another role, and no key
handed over of which only tokens are to leave.
"""

import json
from dataclasses import dataclass

from webapp.credentials.credential import AuthMethod

NONE = ""

GCP_ACCESS_TOKEN = '{"hand_over":"oauth2accesstoken"}'  # noqa: S105  no password, but how one is handed over
"""Of a service account key: agents are handed a short-lived access token, and never the key."""


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
