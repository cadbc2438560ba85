"""What an agent is to be handed, as it stands in the database."""

from dataclasses import dataclass


@dataclass(slots=True)
class Intended:
    """What an agent is to be handed. The value is still sealed.

    `image_id` is None when no image is chosen; `credential_id` is None when the image needs none, or when the one that it needs
    (`needed_id`) is not there. Times are Unix milliseconds. `pin_digest` is 1 where only `pinned_digest` is
    handed over: `reference` then has it in the place of the tag, once there is one.
    """

    account_id: str
    agent_id: str
    agent_name: str
    used_at: int | None
    image_id: str | None
    image_name: str
    reference: str
    withdrawn_at: int | None
    user_data: str | None
    needed_id: str | None
    credential_id: str | None
    credential_name: str
    host: str
    auth_method: str
    username: str
    parameters: str
    sealed: bytes
    secret_version: int
    expires_at: int | None
    pin_digest: int
    pinned_digest: str | None

    @property
    def image_host(self) -> str:
        """The image's host: of the reference that is handed over, and not of a column beside it. A canonical one begins with it."""
        return self.reference.partition("/")[0]
