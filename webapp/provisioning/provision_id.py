"""The id of a hand-over: when it was, who wrote its row in the audit log, and that row's number. So it needs no row of its own."""

from dataclasses import dataclass

_TIME, _WRITER, _NUMBER = 12, 4, 16


@dataclass(frozen=True, slots=True)
class HandedAt:
    """Where a hand-over stands in the audit log: its time (Unix milliseconds), the number of the connection that wrote it, the row's."""

    at: int
    writer: int
    number: int


def provision_id_of(at: int, writer: int, number: int) -> str:
    """The id of the hand-over at this time (Unix milliseconds) whose audit row this writer has written, under this number.

    32 hexadecimal digits.
    """
    return f"{at:0{_TIME}x}{writer:0{_WRITER}x}{number:0{_NUMBER}x}"


def place_of(provision_id: str) -> HandedAt:
    """What an id of 32 hexadecimal digits holds."""
    writer, number = provision_id[_TIME : _TIME + _WRITER], provision_id[_TIME + _WRITER :]
    return HandedAt(int(provision_id[:_TIME], 16), int(writer, 16), int(number, 16))
