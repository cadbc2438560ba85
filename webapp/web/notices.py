"""The sentences that a page shows once after something was done, by their codes.

The browser carries the code in a short-lived cookie over the redirect: never a text of its own.
"""

NOTICES = {
    "set-up": "Your account is ready. Store the first registry credential.",
    "credential-created": "Registry credential stored. Its value is sealed and never shown again.",
    "credential-saved": "Registry credential saved.",
    "credential-replaced": "Registry credential saved, and its value replaced.",
    "credential-deleted": "Registry credential deleted.",
    "image-created": "Image created.",
    "image-saved": "Image saved.",
    "image-deleted": "Image deleted.",
    "agent-saved": "Agent saved.",
    "agent-revoked": "Agent revoked. Its token no longer works.",
    "reenrolment-allowed": "Re-enrolment allowed, once, for one hour.",
    "bootstrap-token-revoked": "Bootstrap token revoked.",
    "settings-saved": "Settings saved.",
    "signed-out": "You are signed out.",
}
"""Code to sentence."""
