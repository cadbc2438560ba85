"""`registry-credentials create-admin`, `create-account` and `reset-password`; and which account a command is about."""

from dataclasses import replace

from webapp.accounts.account import chosen_account
from webapp.actor import Actor
from webapp.command import DONE, Command, Outcome, Refusal, lines
from webapp.names import parse_name
from webapp.store import Store
from webapp.vault import Secret


async def in_account(store: Store, command: Command, actor: Actor) -> Actor:
    """The actor in the account that `--account` names, or in the only one; in none when there is none yet.

    Raises Refusal when there are several and none is named, or when there is no such one.
    """
    try:
        account_id = chosen_account(await store.accounts.every(), str(command.arguments.get("account", "")))
    except ValueError as error:
        raise Refusal(str(error)) from None
    return replace(actor, account_id=account_id)


async def create_admin(store: Store, command: Command, actor: Actor) -> Outcome:
    """Make an admin of an account; and the account, when there is none."""
    password = _password(command)
    actor = await in_account(store, command, actor)
    member = await store.members.create_admin(actor, str(command.arguments["email"]), password, actor.account_id)
    return Outcome(DONE, stdout=f"Made the admin {member.email}.\n")


async def create_account(store: Store, command: Command, actor: Actor) -> Outcome:
    """Make a further account, with its first admin."""
    password = _password(command)
    try:
        name = parse_name(str(command.arguments["name"]))
    except ValueError as error:
        raise Refusal(str(error)) from None
    member = await store.members.create_account(actor, name, str(command.arguments["email"]), password)
    return Outcome(DONE, stdout=f"Made the account {name.text} ({member.account_id}) and its admin {member.email}.\n")


async def reset_password(store: Store, command: Command, actor: Actor) -> Outcome:
    """Give a member another password, end their sessions, and say what signs them in besides."""
    done = await store.passwords.reset(actor, str(command.arguments["email"]), _password(command))
    told = [f"Changed the password of {done.member.email}. Sessions that this ended: {done.sessions}."]
    remain = [
        f"{what}: {count}"
        for what, count in (("passkeys", done.passkeys), ("links to sign-ins elsewhere", done.identities), ("API tokens", done.api_tokens))
        if count
    ]
    if remain:
        told.append(f"These stay as they are, and work: {', '.join(remain)}. Whoever should not have them any more is to be removed.")
    return Outcome(DONE, lines(*told))


def _password(command: Command) -> Secret:
    """What was given on standard input. Raises Refusal."""
    if command.secret is None:
        raise Refusal("There is no password. Give it on standard input.")
    typed = command.secret.reveal()
    # Exactly one line end: `echo` and editors add one, and a password may well end in a blank.
    typed = typed.removesuffix(b"\r\n") if typed.endswith(b"\r\n") else typed.removesuffix(b"\n")
    try:
        typed.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("The password is no UTF-8 text.") from None
    return Secret(typed)
