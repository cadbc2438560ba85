"""The audit log: its page, and the same as CSV."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from webapp.actor import Actor
from webapp.audit.filters import AuditFilter, parse_filter
from webapp.audit.record import ACTIONS, ACTOR_KINDS, COLUMNS, AuditRecord
from webapp.audit.repository import AuditRepository
from webapp.errors import Invalid
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import render
from webapp.web.routing import page

_CSV_PAGE = 500


def _repository(request: Request) -> AuditRepository:
    found: AuditRepository = request.app.state.audit
    return found


async def show(request: Request) -> Response:
    """The log, newest first, filtered and paged."""
    chosen, errors = parse_filter(request.query_params)
    found = await _repository(request).page(actor(request), chosen, before=request.query_params.get("before", ""))
    context = {
        "page": found,
        "chosen": chosen,
        "errors": errors,
        "actions": ACTIONS,
        "actor_kinds": ACTOR_KINDS,
        "next_url": chosen.address("/audit", before=found.before) if found.before else "",
        "first_url": chosen.address("/audit") if request.query_params.get("before") else "",
        "csv_url": chosen.address("/audit.csv"),
    }
    return render(request, "audit/list.html", context, fragment="audit/_rows.html", status=422 if errors else 200)


async def download(request: Request) -> Response:
    """The rows that the filter chooses as CSV (RFC 4180), newest first, with times in UTC. Raises Invalid."""
    chosen, errors = parse_filter(request.query_params)
    if errors:
        raise Invalid(errors)
    return StreamingResponse(
        _lines(_repository(request), actor(request), chosen),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="audit-log.csv"'},
    )


async def _lines(repository: AuditRepository, who: Actor, chosen: AuditFilter) -> AsyncIterator[str]:
    yield _line(COLUMNS)
    before: str | None = ""
    while before is not None:
        found = await repository.page(who, chosen, before=before, limit=_CSV_PAGE)
        yield "".join(_line(_cells(record)) for record in found.records)
        before = found.before


def _cells(record: AuditRecord) -> tuple[str, ...]:
    cells = []
    for column in COLUMNS:
        value = getattr(record, column)
        if column == "at":
            value = datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        cells.append(_harmless("" if value is None else str(value)))
    return tuple(cells)


def _harmless(cell: str) -> str:
    # A spreadsheet would run a cell that begins like this as a formula (OWASP, "CSV injection").
    return "'" + cell if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


def _line(cells: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


ROUTES = [
    page("/audit", show, needs=Permission.SEE, name="audit"),
    page("/audit.csv", download, needs=Permission.SEE, name="audit-csv"),
]
