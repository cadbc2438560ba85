"""What the audit log's page is filtered by, parsed once from the address."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from webapp.audit.record import ACTIONS

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Empty strings filter nothing. `since` and `until` are dates (UTC), both included."""

    action: str = ""
    decision: str = ""
    query: str = ""
    since: str = ""
    until: str = ""

    def address(self, path: str, **more: str) -> str:
        """The address of the page with this filter."""
        values = {"action": self.action, "decision": self.decision, "q": self.query, "since": self.since, "until": self.until, **more}
        query = urlencode({name: value for name, value in values.items() if value})
        return f"{path}?{query}" if query else path

    @property
    def since_ms(self) -> int | None:
        """The first millisecond that counts."""
        return _milliseconds(date.fromisoformat(self.since)) if self.since else None

    @property
    def until_ms(self) -> int | None:
        """The first millisecond that counts no more."""
        return _milliseconds(date.fromisoformat(self.until) + timedelta(days=1)) if self.until else None

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out."""
        return self != AuditFilter()


def parse_filter(values: Mapping[str, str]) -> tuple[AuditFilter, dict[str, str]]:
    """The filter in an address's query, and what is wrong with it by field; what is wrong filters nothing."""
    errors: dict[str, str] = {}
    action = values.get("action", "")
    if action and action not in ACTIONS:
        errors["action"], action = "There is no such action. Choose one of the list.", ""
    decision = values.get("decision", "")
    if decision not in ("", "allowed", "denied"):
        errors["decision"], decision = "Choose allowed or denied.", ""
    dates = {}
    for name in ("since", "until"):
        dates[name] = values.get(name, "").strip()
        if dates[name] and not _is_date(dates[name]):
            errors[name], dates[name] = "Write the date as 2026-11-03.", ""
    # PostgreSQL refuses a text with a NUL, and an export has begun to answer when it is asked.
    query = values.get("q", "").replace("\0", "").strip()[:200]
    return AuditFilter(action, decision, query, dates["since"], dates["until"]), errors


def _is_date(text: str) -> bool:
    """Whether this is a date as forms send it (HTML, "valid date string"), and not one of ISO 8601's other ways to write one."""
    try:
        return _DATE.fullmatch(text) is not None and 1970 <= date.fromisoformat(text).year <= 9000
    except ValueError:
        return False


def _milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
