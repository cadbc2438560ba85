"""An agent: the program on one machine that provisions it."""

from dataclasses import dataclass
from typing import Literal

from webapp.registry.outcomes import kind_label

Outcome = Literal["pulled", "failed"]

MOST_CAUSE = 120
"""Characters of an error that fit into a row."""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as its row shows it. Times are Unix milliseconds; None means never.

    `image_id` is the image that was chosen for it, None for the account's default image; `image_name`,
    `image_reference` and `image_withdrawn` are those of the image that it would be handed, if there is one.
    """

    id: str
    name: str
    image_id: str | None
    image_name: str | None
    image_reference: str | None
    image_withdrawn: bool
    enrolled_at: int
    bootstrap_accessor: str
    last_seen_at: int | None
    last_outcome: Outcome | None
    last_outcome_at: int | None
    last_error: str | None
    last_failure_kind: str | None
    reenrol_until: int | None
    revoked_at: int | None
    version: int

    @property
    def last_failure(self) -> str:
        """What the last failure is called, as far as the error tells."""
        return kind_label(self.last_failure_kind)

    @property
    def last_cause(self) -> str:
        """The end of what the agent saw, for a list: programs that pull images write `what: of what: the cause`."""
        error = self.last_error or ""
        if len(error) <= MOST_CAUSE:
            return error
        end = error[-MOST_CAUSE:]
        return f"… {end.partition(': ')[2] or end}"

    def may_reenrol(self, now: int) -> bool:
        """Whether a member's permission to enrol under this name again still stands."""
        return self.reenrol_until is not None and self.reenrol_until > now
