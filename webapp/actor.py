"""Who does something: what repositories scope their queries by, and what the audit row says."""

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["member", "agent", "bootstrap_token", "api_token", "command_line", "system", "nobody"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The one who acts, from where, and in which account.

    `account_id` is empty for acts on the installation itself. `id` is the member's, agent's or token's id,
    `label` what people know it by (an email address, a name). `accessor` is the public part of the token
    or session that was used; `address` is the caller's IP address; neither tells a secret.
    """

    account_id: str
    kind: ActorKind
    id: str
    label: str
    accessor: str | None = None
    address: str | None = None
    request_id: str | None = None
