"""`registry-credentials …`: the command line. What a command needs is imported when it runs, so that `--help` is quick."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence

from webapp import __version__
from webapp.clock import DAY, HOUR, MINUTE
from webapp.errors import AppError, ConfigurationError
from webapp.kms_key import is_kms_key
from webapp.names import printable
from webapp.settings import VARIABLES, Settings, unknown_variables

CANNOT_START, INTERRUPTED = os.EX_CONFIG, 128 + 2

_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}
_MOST_PASSWORD = 64 * 1024  # bytes

_REWRAP_TO = "the new root key's file, made when it is not there; or aws-kms:ARN or transit:URL/MOUNT/KEY, which wraps a new one"

_EPILOG = """\
exit status:
  0   done
  1   refused; the reason is on standard error
  2   wrong usage
  70  a fault of the program; the log has it
  75  not now: try again later
  78  a setting is wrong; the line on standard error names it

settings (environment variables; in brackets the default):
""" + "\n".join(f"  {name:28} {meaning}" for name, meaning in VARIABLES.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of these arguments (the process's own by default); returns the exit status. Wrong usage ends in SystemExit(2)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["agent"]:
        from webapp.reference_agent import main as agent  # noqa: PLC0415  for a quick --help

        return agent(arguments[1:])
    options = _parser().parse_args(arguments)
    run: Callable[[Settings, argparse.Namespace], int] = options.run
    try:
        settings = Settings.from_environ(os.environ)
        for line in unknown_variables(os.environ):
            _say(line)
        return run(settings, options)
    except ConfigurationError as error:
        _say(str(error))
        return CANNOT_START
    except AppError as error:
        _say(str(error))
        return os.EX_TEMPFAIL
    except KeyboardInterrupt:
        return INTERRUPTED


def parse_lifetime(text: str) -> int:
    """`10m`, `8h` or `30d` in milliseconds. Raises ArgumentTypeError with a sentence, also beyond 1 minute to 365 days."""
    if found := re.fullmatch(r"([0-9]{1,6})([mhd])", text, re.ASCII):
        lifetime = int(found[1]) * _UNITS[found[2]]
        if MINUTE <= lifetime <= 365 * DAY:
            return lifetime
    raise argparse.ArgumentTypeError("a lifetime is a number with m, h or d behind it, from 1m to 365d, such as 10m or 30d")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="registry-credentials",
        description="Keeps the keys to private container registries, and hands each agent the one that its image needs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Settings, argparse.Namespace], int], summary: str, more: str) -> argparse.ArgumentParser:
        described = f"{summary[0].upper()}{summary[1:]}. {more}"
        added = commands.add_parser(name, help=summary, description=described, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    command("serve", _serve, "serve the pages and the agents until Ctrl-C", "Prints the link to set up the account while there is none.")
    admin = command("create-admin", _create_admin, "make an admin", "Makes the account, too, if there is none.")
    admin.add_argument("--email", required=True, help="the email address to sign in with")
    admin.add_argument(
        "--password-stdin",
        required=True,
        action="store_true",
        help="read the password, of at least 15 characters, from standard input; one line end is taken off",
    )
    token = command("bootstrap-token", _bootstrap_token, "make a token that enrols agents", "Prints it, this once, and nothing else.")
    token.add_argument("--lifetime", default="10m", type=parse_lifetime, help="1m to 365d: minutes (m), hours (h) or days (d); %(default)s")
    token.add_argument("--description", default="", help="what it is for, at most 500 characters")
    token.add_argument("--allow-reenrolment", action="store_true", help="machines installed again may enrol under their old names")
    command("check", _check, "open every sealed value, showing none", "The exit status is 1 when one does not open.")
    command(
        "rotate-key",
        _rotate_key,
        "make a new key and put all that is sealed under it",
        "Goes on while the server runs, and after a kill. The old key is retired when nothing needs it any more.",
    )
    rewrap = command(
        "rewrap-root", _rewrap_root, "wrap the keyring under another root key", "Nothing is sealed anew. Says what to set then."
    )
    rewrap.add_argument("--to", required=True, metavar="WHERE", help=_REWRAP_TO)
    audit = commands.add_parser("audit", help="verify the audit log", description="The audit log.", allow_abbrev=False)
    subcommands = audit.add_subparsers(dest="audit_command", required=True, metavar="COMMAND")
    verify = subcommands.add_parser(
        "verify",
        help="is every row as it was written, and none missing",
        description="Verify every row of the audit log. The exit status is 1 when one is not as it was written, or missing.",
        allow_abbrev=False,
    )
    verify.set_defaults(run=_audit_verify)
    commands.add_parser("agent", help="be the agent on a machine: enroll, pull", add_help=False)
    return parser


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    from webapp.serve import serve  # noqa: PLC0415  for a quick --help

    return serve(settings)


def _create_admin(settings: Settings, options: argparse.Namespace) -> int:
    password = sys.stdin.buffer.read(_MOST_PASSWORD + 1)
    if len(password) > _MOST_PASSWORD:
        _say(f"The password is longer than {_MOST_PASSWORD // 1024} KiB.")
        return 1
    return _run(settings, "create-admin", {"email": options.email}, password)


def _bootstrap_token(settings: Settings, options: argparse.Namespace) -> int:
    chosen = {"lifetime": options.lifetime, "description": options.description, "allow_reenrolment": options.allow_reenrolment}
    return _run(settings, "bootstrap-token", chosen)


def _check(settings: Settings, options: argparse.Namespace) -> int:
    return _run(settings, "check", {})


def _rotate_key(settings: Settings, options: argparse.Namespace) -> int:
    return _run(settings, "rotate-key", {})


def _audit_verify(settings: Settings, options: argparse.Namespace) -> int:
    return _run(settings, "audit-verify", {})


def _rewrap_root(settings: Settings, options: argparse.Namespace) -> int:
    to = options.to if is_kms_key(options.to) else os.path.abspath(options.to)  # noqa: PTH100  a link stays a link
    return _run(settings, "rewrap-root", {"to": to})


def _run(settings: Settings, name: str, arguments: dict[str, str | int | bool], given: bytes | None = None) -> int:
    """Run a command in the server, or here, and print its outcome."""
    from webapp.control import run_command_line  # noqa: PLC0415  for a quick --help

    outcome = run_command_line(settings, name, arguments, given)
    sys.stderr.write(outcome.stderr)
    sys.stdout.write(outcome.stdout)
    sys.stdout.flush()
    return outcome.exit


def _say(sentence: str) -> None:
    sys.stderr.write(f"registry-credentials: {printable(' '.join(sentence.split()))}\n")
