"""What the audit log's page is filtered by, parsed once from the address."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from webapp.audit.record import ACTIONS


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
        try:
            if dates[name] and not 1970 <= date.fromisoformat(dates[name]).year <= 9000:
                raise ValueError
        except ValueError:
            errors[name], dates[name] = "Write the date as 2026-11-03.", ""
    return AuditFilter(action, decision, values.get("q", "").strip()[:200], dates["since"], dates["until"]), errors


def _milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
