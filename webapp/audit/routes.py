"""The audit log: its page, and the same as CSV and as lines of JSON."""

import csv
import io
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import orjson
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

_EXPORT_PAGE = 500


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
        "jsonl_url": chosen.address("/audit.jsonl"),
    }
    return render(request, "audit/list.html", context, fragment="audit/_rows.html", status=422 if errors else 200)


async def download_csv(request: Request) -> Response:
    """The rows that the filter chooses as CSV (RFC 4180), newest first, with times in UTC. Raises Invalid."""
    return _download(request, "csv", "text/csv; charset=utf-8", _csv_line, first=_line(COLUMNS))


async def download_jsonl(request: Request) -> Response:
    """The rows that the filter chooses, an object on each line (jsonlines.org), newest first, with times in UTC. Raises Invalid."""
    return _download(request, "jsonl", "application/jsonl", _json_line)


def _download(request: Request, ending: str, media_type: str, line: Callable[[AuditRecord], str], first: str = "") -> Response:
    chosen, errors = parse_filter(request.query_params)
    if errors:
        raise Invalid(errors)
    return StreamingResponse(
        _lines(_repository(request), actor(request), chosen, line, first),
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="audit-log.{ending}"'},
    )


async def _lines(
    repository: AuditRepository, who: Actor, chosen: AuditFilter, line: Callable[[AuditRecord], str], first: str
) -> AsyncIterator[str]:
    """A page at a time, so that a log of any length goes out with the memory of one page."""
    yield first
    before: str | None = ""
    while before is not None:
        found = await repository.page(who, chosen, before=before, limit=_EXPORT_PAGE)
        yield "".join(line(record) for record in found.records)
        before = found.before


def _csv_line(record: AuditRecord) -> str:
    return _line(tuple(_harmless("" if value is None else str(value)) for value in _values(record).values()))


def _json_line(record: AuditRecord) -> str:
    return orjson.dumps(_values(record)).decode() + "\n"


def _values(record: AuditRecord) -> dict[str, object]:
    at = datetime.fromtimestamp(record.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {column: at if column == "at" else getattr(record, column) for column in COLUMNS}


def _harmless(cell: str) -> str:
    # A spreadsheet would run a cell that begins like this as a formula (OWASP, "CSV injection").
    return "'" + cell if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


def _line(cells: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


ROUTES = [
    page("/audit", show, needs=Permission.SEE, name="audit"),
    page("/audit.csv", download_csv, needs=Permission.SEE, name="audit-csv"),
    page("/audit.jsonl", download_jsonl, needs=Permission.SEE, name="audit-jsonl"),
]
