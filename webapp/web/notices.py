"""The sentences that a page shows once after something was done, by their codes.

The browser carries the code in a short-lived cookie over the redirect: never a text of its own.
"""

from itertools import product

_STORED = {
    "credential-created": "Registry credential stored. Its value is sealed and never shown again.",
    "credential-saved": "Registry credential saved.",
    "credential-replaced": "Registry credential saved, and its value replaced.",
}
_HOSTS = {"": "", "-host": " Of the Registry URL only the host is kept."}
_EXPIRIES = {
    "": "",
    "-expiry": " When it expires was read from the value.",
    "-cleared": " The expiry date of the value before it does not count any more: enter one if the new value has one, too.",
}

NOTICES = {
    **{
        stored + host + expiry: _STORED[stored] + _HOSTS[host] + _EXPIRIES[expiry]
        for stored, host, expiry in product(_STORED, _HOSTS, _EXPIRIES)
    },
    "set-up": "Your account is ready. Store the first registry credential.",
    "credential-rolled-back": "Rolled back. The value that was replaced is kept for an hour.",
    "version-destroyed": "The old value is destroyed.",
    "credential-deleted": "Registry credential deleted.",
    "credential-moved": "Registry credential deleted. Its images use the other one now.",
    "secret-created": "Secret stored. Its value is sealed and never shown again.",
    "secret-saved": "Secret saved.",
    "secret-replaced": "Secret saved, and its value replaced.",
    "secret-deleted": "Secret deleted.",
    "secrets-imported": "Secrets imported.",
    "variable-created": "Variable stored.",
    "variable-saved": "Variable saved.",
    "variable-deleted": "Variable deleted.",
    "variables-imported": "Variables imported.",
    "image-created": "Image created.",
    "image-saved": "Image saved.",
    "image-checked": "Checked. What was found is below.",
    "image-deleted": "Image deleted.",
    "agent-saved": "Agent saved.",
    "agent-revoked": "Agent revoked. Its token no longer works.",
    "reenrolment-allowed": "Re-enrolment allowed, once, for one hour.",
    "bootstrap-token-revoked": "Bootstrap token revoked.",
    "session-ended": "Session ended. That browser is signed out.",
    "other-sessions-ended": "All your other sessions are ended.",
    "api-token-revoked": "API token revoked. It opens nothing any more.",
    "form-repeated": "This form was sent before. What it made then is here; nothing more was stored.",
    "settings-saved": "Settings saved.",
    "signed-out": "You are signed out.",
}
"""Code to sentence."""
