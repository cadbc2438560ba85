"""Record ids: random, so that they can be made before a value is sealed to them, and tell nothing."""

import secrets


def new_id() -> str:
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)
