"""The pages of the agents."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from webapp.agents.agent import Agent
from webapp.agents.bootstrap_tokens import BootstrapTokenRepository
from webapp.agents.repository import AgentRepository
from webapp.errors import Invalid, Stale
from webapp.web.addresses import list_context, wanted_page
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import done, render, wants_fragment
from webapp.web.routing import page
from webapp.web.stepup import confirm, step_up


def _repository(request: Request) -> AgentRepository:
    found: AgentRepository = request.app.state.agents
    return found


def _bootstrap_tokens(request: Request) -> BootstrapTokenRepository:
    found: BootstrapTokenRepository = request.app.state.bootstrap_tokens
    return found


async def list_agents(request: Request) -> Response:
    """The account's agents and its bootstrap tokens."""
    revoked = request.query_params.get("show") == "revoked"
    who, wanted = actor(request), wanted_page(request)
    found = await _repository(request).page(who, wanted, revoked=revoked)
    context = list_context("/agents", wanted, found, {"show": "revoked" if revoked else ""}) | {
        "revoked": revoked,
        "tokens": [] if wants_fragment(request) else await _bootstrap_tokens(request).newest(who),
    }
    return render(request, "agents/list.html", context, fragment="agents/_rows.html")


async def show_agent(request: Request) -> Response:
    """One agent, and the choice of its image."""
    agent = await _repository(request).get(actor(request), request.path_params["id"])
    return await _agent_page(request, agent, {})


async def save_agent(request: Request) -> Response:
    """Choose the agent's image. Asks for the password again, since it decides which credential is handed over."""
    form = await read_form(request)
    who, agent_id = actor(request), request.path_params["id"]
    agent = await _repository(request).get(who, agent_id)
    typed = form.text("image_id") or None
    if errors := await confirm(request, form):
        return await _agent_page(request, replace(agent, image_id=typed), errors, version=form.number("version"), status=422)
    try:
        await _repository(request).assign_image(who, agent_id, image_id=typed, version=form.number("version"))
    except Invalid as error:
        return await _agent_page(request, agent, error.errors, status=422)
    except Stale as error:
        return await _agent_page(request, replace(agent, image_id=typed), {}, changed=str(error), status=412)
    return done(request, f"/agents/{agent_id}", "agent-saved")


async def _agent_page(
    request: Request, agent: Agent, errors: dict[str, str], *, version: int | None = None, changed: str = "", status: int = 200
) -> Response:
    who = actor(request)
    context = {
        "agent": agent,
        "version": agent.version if version is None else version,
        "choices": await _repository(request).image_choices(who, agent.image_id),
        "default_image": await _repository(request).default_image_name(who),
        "errors": errors,
        "changed": changed,
        "step_up": step_up(request),
    }
    return render(request, "agents/edit.html", context, fragment="agents/_form.html", status=status)


async def ask_revoke(request: Request) -> Response:
    """The confirmation before an agent is revoked."""
    agent = await _repository(request).get(actor(request), request.path_params["id"])
    return render(request, "agents/revoke.html", {"agent": agent}, fragment="agents/_revoke.html")


async def revoke(request: Request) -> Response:
    """End an agent and its token at once."""
    await _repository(request).revoke(actor(request), request.path_params["id"])
    return done(request, "/agents", "agent-revoked")


async def ask_reenrolment(request: Request) -> Response:
    """The confirmation before a machine may enrol under this agent's name again."""
    agent = await _repository(request).get(actor(request), request.path_params["id"])
    return _reenrolment_page(request, agent, {})


async def allow_reenrolment(request: Request) -> Response:
    """Let a machine enrol under this agent's name again, once, within the hour."""
    form = await read_form(request)
    agent = await _repository(request).get(actor(request), request.path_params["id"])
    if errors := await confirm(request, form):
        return _reenrolment_page(request, agent, errors, status=422)
    await _repository(request).allow_reenrolment(actor(request), agent.id)
    return done(request, f"/agents/{agent.id}", "reenrolment-allowed")


def _reenrolment_page(request: Request, agent: Agent, errors: dict[str, str], status: int = 200) -> Response:
    context = {"agent": agent, "errors": errors, "step_up": step_up(request)}
    return render(request, "agents/reenrolment.html", context, fragment="agents/_reenrolment.html", status=status)


ROUTES = [
    page("/agents", list_agents, needs=Permission.SEE, name="agents"),
    page("/agents/{id}", show_agent, needs=Permission.SEE, name="agent"),
    page("/agents/{id}", save_agent, needs=Permission.EDIT, name="agent-save", methods=["POST"]),
    page("/agents/{id}/revoke", ask_revoke, needs=Permission.EDIT, name="agent-ask-revoke"),
    page("/agents/{id}/revoke", revoke, needs=Permission.EDIT, name="agent-revoke", methods=["POST"]),
    page("/agents/{id}/allow-reenrolment", ask_reenrolment, needs=Permission.EDIT, name="agent-ask-reenrolment"),
    page("/agents/{id}/allow-reenrolment", allow_reenrolment, needs=Permission.EDIT, name="agent-allow-reenrolment", methods=["POST"]),
]
