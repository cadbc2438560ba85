"""A row of the audit log, as its page shows it."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what to which object, when (Unix ms), from where, and whether it was allowed."""

    chain: str
    seq: int
    at: int
    actor_kind: str
    actor_label: str
    accessor: str | None
    action: str
    object_kind: str
    object_id: str
    object_name: str
    secret_version: int | None
    decision: str
    detail: str | None
    address: str | None
    request_id: str | None


COLUMNS = tuple(field.name for field in fields(AuditRecord))
"""The columns that the page and the CSV show, in their order."""

ACTOR_KINDS = {
    "member": "Member",
    "agent": "Agent",
    "bootstrap_token": "Bootstrap token",
    "api_token": "API token",
    "command_line": "Command line",
    "system": "This program",
    "nobody": "Not signed in",
}

ACTIONS = {
    "audit.cut": "Audit log's oldest rows removed",
    "store.backup": "Backup made",
    "store.restore": "Backup restored",
    "key.rotate": "Key rotation begun",
    "key.retire": "Key retired",
    "root_key.change": "Root key changed",
    "account.set_up": "Account set up",
    "account.update": "Settings changed",
    "account.create": "Account created",
    "member.create": "Member created",
    "member.invite": "Member invited",
    "member.revoke_invitation": "Invitation revoked",
    "member.join": "Invitation accepted",
    "member.change_role": "Member's role changed",
    "member.remove": "Member removed",
    "member.change_password": "Password changed",
    "member.reset_password": "Password reset on the server",
    "member.link": "Linked to a sign-in elsewhere",
    "member.unlink": "Link to a sign-in elsewhere removed",
    "member.sign_in": "Signed in",
    "member.sign_out": "Signed out",
    "member.confirm_password": "Password confirmed",
    "member.confirm": "Signed-in member confirmed",
    "member.end_sessions": "Sessions ended",
    "passkey.create": "Passkey added",
    "passkey.rename": "Passkey renamed",
    "passkey.delete": "Passkey removed",
    "api_token.create": "API token created",
    "api_token.revoke": "API token revoked",
    "registry_credential.create": "Registry credential created",
    "registry_credential.update": "Registry credential changed",
    "registry_credential.replace": "Registry credential's value replaced",
    "registry_credential.roll_back": "Registry credential rolled back",
    "registry_credential.destroy": "Registry credential's old value destroyed",
    "registry_credential.delete": "Registry credential deleted",
    "registry_credential.mint": "Registry credential's token minted",
    "registry_credential.release": "Registry credential handed over",
    "registry_credential.test": "Registry credential tested",
    "secret.create": "Secret created",
    "secret.update": "Secret changed",
    "secret.replace": "Secret's value replaced",
    "secret.delete": "Secret deleted",
    "variable.create": "Variable created",
    "variable.update": "Variable changed",
    "variable.replace": "Variable's value replaced",
    "variable.delete": "Variable deleted",
    "image.create": "Image created",
    "image.update": "Image changed",
    "image.delete": "Image deleted",
    "image.check": "Image checked at its registry",
    "image.pin": "Image's digest pinned",
    "image.hand_over": "Public image handed over",
    "bootstrap_token.create": "Bootstrap token created",
    "bootstrap_token.revoke": "Bootstrap token revoked",
    "agent.enroll": "Agent enrolled",
    "agent.reenroll": "Agent enrolled again",
    "agent.allow_reenrolment": "Re-enrolment allowed",
    "agent.assign_image": "Image chosen for an agent",
    "agent.report": "Result reported",
    "agent.revoke": "Agent revoked",
    "token.refuse": "Token refused",
    "request.refuse": "Request refused",
}
"""What may be filtered by, in the words of the page. An action that is not here is shown by its own name."""
