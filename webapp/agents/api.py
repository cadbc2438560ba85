"""The agent API's side of enrolment: `POST /api/v1/enroll`."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp.agents.enrolment import Enrolment
from webapp.chain import Event
from webapp.errors import Conflict, Invalid
from webapp.names import parse_name
from webapp.web.json_body import read_json, text_of
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.routing import page


def _enrolment(request: Request) -> Enrolment:
    found: Enrolment = request.app.state.enrolment
    return found


async def enroll(request: Request) -> Response:
    """Enrol an agent with a bootstrap token: 201 with the agent's id and its token, told only here."""
    body = await read_json(request)
    try:
        name = parse_name(text_of(body, "name"))
    except ValueError as error:
        raise Invalid({"name": f"name: {error}"}) from None
    try:
        agent_id, token = await _enrolment(request).enroll(actor(request), name)
    except Conflict as error:
        event = Event("agent.enroll", "agent", "", name.text, decision="denied", detail=error.code)
        await request.app.state.denials.known(actor(request), event)
        raise
    return JSONResponse({"agent_id": agent_id, "agent_token": token.reveal().decode("ascii")}, status_code=201)


ROUTES = [page("/api/v1/enroll", enroll, needs=Permission.BOOTSTRAP, name="enroll", methods=["POST"])]
