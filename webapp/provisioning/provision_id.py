"""The id of a hand-over: when it was, and the number of its row in the audit log. So it needs no row of its own."""

_TIME, _NUMBER = 12, 20


def provision_id_of(at: int, number: int) -> str:
    """The id of the hand-over at this time (Unix milliseconds) whose audit row has this number: 32 hexadecimal digits."""
    return f"{at:0{_TIME}x}{number:0{_NUMBER}x}"


def place_of(provision_id: str) -> tuple[int, int]:
    """The time and the number that an id of 32 hexadecimal digits holds."""
    return int(provision_id[:_TIME], 16), int(provision_id[_TIME:], 16)
