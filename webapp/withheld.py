"""Taking a secret that is known out of a text that somebody else wrote, such as an error message of a program that was given it.

Standard library only: the reference agent, which runs on other machines, does it as well.
"""

import base64
import json
import urllib.parse

WITHHELD = "[withheld]"


def withhold(text: str, *secrets: str) -> str:
    """The text without these secrets, in any form in which a program could have quoted them; done before anything is cut off."""
    for secret in filter(None, secrets):
        escaped = [json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
        encoded = [base64.b64encode(secret.encode()).decode(), urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)]
        for form in (secret, *escaped, *encoded):
            text = text.replace(form, WITHHELD)
    return text
