"""The API of the agents: enrolment, `POST /api/v1/enroll`, and the list for programs of members."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp.agents.agent import Agent
from webapp.agents.enrolment import Enrolment
from webapp.agents.repository import AgentRepository
from webapp.chain import Event
from webapp.errors import Conflict, Invalid
from webapp.names import parse_name
from webapp.web.addresses import wanted_page
from webapp.web.json_answers import listed
from webapp.web.json_body import read_json, text_of
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.routing import page
from webapp.web.times import for_programs


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


async def list_agents(request: Request) -> Response:
    """A page of the agents, by name; with `show=revoked` those that are revoked."""
    repository: AgentRepository = request.app.state.agents
    revoked, wanted = request.query_params.get("show") == "revoked", wanted_page(request)
    found = await repository.page(actor(request), wanted, revoked=revoked)
    return listed(request, "agents", wanted, found, _shown, {"show": "revoked" if revoked else ""})


def _shown(agent: Agent) -> Mapping[str, Any]:
    image = {"name": agent.image_name, "reference": agent.image_reference, "is_default": agent.image_id is None}
    return {
        "id": agent.id,
        "name": agent.name,
        "image": None if agent.image_name is None else image,
        "enrolled_at": for_programs(agent.enrolled_at),
        "last_seen_at": for_programs(agent.last_seen_at),
        "last_outcome": agent.last_outcome,
        "last_outcome_at": for_programs(agent.last_outcome_at),
        "last_error": agent.last_error,
        "revoked_at": for_programs(agent.revoked_at),
    }


ROUTES = [
    page("/api/v1/enroll", enroll, needs=Permission.BOOTSTRAP, name="enroll", methods=["POST"]),
    page("/api/v1/agents", list_agents, needs=Permission.SEE, name="api-agents"),
]
