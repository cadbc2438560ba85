"""The reference agent: the program on a machine that is being provisioned, small enough to read in one sitting.

`enroll` trades a bootstrap token for an agent token; `check` asks whether this machine's image can be pulled, before anything is wiped for
it; `pull` asks for the image and the credential for it, has `skopeo` copy the image into an OCI layout, and reports how it went. The
credential is on disk only while skopeo runs, in a file of mode 0600 in a directory of mode 0700, removed whatever happens (but for
SIGKILL: point TMPDIR at a tmpfs). The server is spoken to over TLS, always verified, or over plain HTTP on loopback only; a redirect is an
error. `HTTPS_PROXY` and `NO_PROXY` count, for skopeo too, but never for loopback. Exit status, after sysexits.h: 0 done; 1 failed;
2 usage; 75 try later; 77 token refused; 78 set up wrongly; 128 + n stopped by signal n.
"""

import argparse
import base64
import contextlib
import http.client
import ipaddress
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO
from urllib.request import HTTPDefaultErrorHandler, HTTPErrorProcessor, HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from webapp.reference import Reference, same_registry
from webapp.withheld import withhold

FAILED, TRY_LATER, REFUSED, SET_UP_WRONGLY = 1, os.EX_TEMPFAIL, os.EX_NOPERM, os.EX_CONFIG
ANSWER_SECONDS, ANSWER_BYTES = 30, 1 << 20
REPORT_WAITS = (1.0, 2.0, 4.0)  # seconds between the tries; the server counts the same report twice as one


class AgentError(Exception):
    """Ends the program with the status `exit_code`; its text is one line without secrets."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(one_line(message))
        self.exit_code = exit_code


def main(arguments: list[str]) -> int:
    """Run `registry-credentials agent ARGUMENTS…`; returns the exit status. argparse itself exits with 2 on wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        with _signals_unwind():
            sys.stdout.write(one_line({"enroll": enroll, "check": check, "pull": pull}[options.command](options)) + "\n")
    except AgentError as error:
        sys.stderr.write(f"registry-credentials agent {options.command}: {error}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="registry-credentials agent", description="The agent on a machine that is being provisioned.")
    commands = parser.add_subparsers(dest="command", required=True)
    enrolment = commands.add_parser("enroll", help="trade a bootstrap token for this machine's agent token")
    enrolment.add_argument("--server", required=True, metavar="URL", help="https://…, or http://… on loopback")
    enrolment.add_argument("--name", required=True, help="this machine's name")
    enrolment.add_argument("--token-file", type=Path, metavar="FILE", help="holds the bootstrap token (else: standard input)")
    enrolment.add_argument("--ca-file", type=Path, metavar="FILE", help="certificates in PEM to trust instead of the system's")
    checking = commands.add_parser(
        "check",
        help="ask whether this machine's image can be pulled: status 0 if it can, else 1 and why not",
        description="Has the server sign in at the registry and ask for this machine's image, as a pull would. Nothing is pulled, and"
        " nothing secret is sent. Exit status 0: it works; 1: it does not, and the one line on standard error says why.",
    )
    pulling = commands.add_parser("pull", help="pull this machine's image with skopeo, and report the result")
    pulling.add_argument("--to", type=Path, required=True, metavar="DIR", help="the OCI layout to copy the image into")
    pulling.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="how long skopeo may take (3600)")
    state = Path(os.environ.get("REGISTRY_CREDENTIALS_AGENT_STATE") or "~/.local/state/registry-credentials-agent").expanduser()
    for command in (enrolment, checking, pulling):
        command.add_argument("--state", type=Path, default=state, metavar="DIR", help=f"where the agent's token is kept ({state})")
    return parser


def enroll(options: argparse.Namespace) -> str:
    """Enrol and keep the agent token in `STATE/agent.json`. After a lost answer the same command may be run again."""
    try:
        token = (options.token_file.read_text("ascii") if options.token_file else sys.stdin.read()).strip()
        # The file is made before the token is: nobody could read the token a second time.
        options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if options.state.stat().st_mode & 0o022:
            raise AgentError(f"Others may write to {options.state}: it has to be a directory of this user's own.", SET_UP_WRONGLY)
        with tempfile.TemporaryDirectory(dir=options.state) as private, create_private(Path(private, "agent.json")) as file:
            server = {"server": options.server, "ca_file": str(options.ca_file.absolute()) if options.ca_file else None}
            answer = call(server, "POST", "/api/v1/enroll", token, {"name": options.name})
            if not all(isinstance(answer.get(key), str) for key in ("agent_id", "agent_token")):
                raise AgentError("The server's answer cannot be used: it holds no agent token.", FAILED)
            json.dump({**server, "agent_id": answer.get("agent_id"), "agent_token": answer.get("agent_token")}, file)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(options.state / "agent.json")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", "no ASCII text")
        raise AgentError(f"The token, or the state directory {options.state}, cannot be used: {reason}.", SET_UP_WRONGLY) from None
    return f"enrolled as {options.name}, agent {answer.get('agent_id')}"


def enrolled(options: argparse.Namespace) -> dict[str, Any]:
    """What `enroll` has kept. Raises AgentError."""
    try:
        return dict(json.loads((options.state / "agent.json").read_text("ascii")))
    except (OSError, ValueError, TypeError) as error:
        raise AgentError(f"Enrol first, with --state {options.state}: {error}", SET_UP_WRONGLY) from None


def check(options: argparse.Namespace) -> str:
    """Ask the server whether this machine's image can be pulled. Raises AgentError with its sentence when it cannot."""
    state = enrolled(options)
    answer = call(state, "GET", "/api/v1/provision?check=1", state.get("agent_token"))
    found, image = answer.get("check"), answer.get("image")
    if not (isinstance(found, dict) and isinstance(image, dict)):  # one that knows no check has handed over instead: nothing of it is shown
        raise AgentError("The server's answer cannot be used: it is of a version that checks nothing.", FAILED)
    if found.get("works") is not True:
        raise AgentError(f"{image.get('reference')}: {found.get('detail')}", FAILED)
    return f"{image.get('reference')} {found.get('digest')}: {found.get('detail')}"


def pull(options: argparse.Namespace) -> str:
    """Pull this machine's image into the OCI layout `options.to` and report the result, also when there is none."""
    state = enrolled(options)
    try:
        options.to.mkdir(parents=True, exist_ok=True)  # skopeo makes no parents
    except OSError as error:
        raise AgentError(f"Name a directory to pull to: {error}", SET_UP_WRONGLY) from None
    if ":" in str(options.to.absolute()) or not shutil.which("skopeo"):
        raise AgentError("The directory's path may hold no colon, and skopeo has to be installed.", SET_UP_WRONGLY)
    provision = call(state, "GET", "/api/v1/provision", state.get("agent_token"))
    result = {"provision_id": provision.get("provision_id"), "outcome": "failed", "digest": None}
    try:
        digest = copy_image(provision, options.to.absolute(), options.timeout)
    except BaseException as error:
        known = isinstance(error, AgentError)
        with contextlib.suppress(AgentError):  # what went wrong first is what is shown
            report(state, {**result, "error": str(error) if known else "The agent was stopped."}, REPORT_WAITS if known else ())
        raise
    report(state, {**result, "outcome": "pulled", "digest": digest, "error": None}, REPORT_WAITS)
    return f"pulled {provision['image']['reference']} {digest}"


def copy_image(provision: dict[str, Any], layout: Path, seconds: float) -> str:
    """Copy the provision's image into `layout`; returns its manifest's digest there. Raises AgentError in skopeo's words, redacted."""
    auth = provision.get("registry_auth")
    try:
        reference = Reference.parse(provision["image"]["reference"])
        password: str = auth["password"] if auth else ""
        basic = base64.b64encode(f"{auth['username']}:{password}".encode()).decode() if auth else ""
        # The server has checked this. A credential goes to no host but its own, so it is checked where it is used, too.
        if auth and not same_registry(auth["registry"], reference.host):
            raise AgentError(f"The credential is for {auth['registry']}, the image is on {reference.host}.", FAILED)
    except (KeyError, TypeError, ValueError) as error:
        raise AgentError(f"The server's answer cannot be used: {type(error).__name__}.", FAILED) from None
    # skopeo takes a tag or a digest; the digest says more. In the layout the image is found by its tag, if it has one.
    source = f"{reference.host}/{reference.repository}{'@' + reference.digest if reference.digest else ':' + str(reference.tag)}"
    name = reference.tag or str(reference.digest).replace(":", "-")
    key = "https://index.docker.io/v1/" if same_registry(reference.host, "docker.io") else reference.host
    with tempfile.TemporaryDirectory(prefix="registry-credentials-") as private:  # of mode 0700
        auth_file, digest_file = Path(private, "auth.json"), Path(private, "digest")
        command = ["skopeo", "copy", "--quiet", "--authfile", str(auth_file), "--digestfile", str(digest_file)]
        # An auth file without the host is not enough: skopeo 1.9 goes on to look in ~/.docker/config.json.
        command += [] if auth else ["--src-no-creds"]
        # As Docker does: a registry on this very machine may do without TLS, no other.
        command += ["--src-tls-verify=false"] if is_loopback(urllib.parse.urlsplit(f"//{reference.host}").hostname) else []
        command += [f"docker://{source}", f"oci:{layout}:{name}"]
        try:
            with create_private(auth_file) as file:
                json.dump({"auths": {key: {"auth": basic}} if auth else {}}, file)
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds)
            return digest_file.read_text("ascii").strip()
        except subprocess.CalledProcessError as error:
            said = withhold(error.stderr.decode(errors="replace"), basic, password).rpartition("level=fatal msg=")[2].strip()
            raise AgentError(said.strip('"').replace('\\"', '"') or "skopeo failed and did not say why.", FAILED) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AgentError(f"skopeo did not finish: {type(error).__name__}.", FAILED) from None
        finally:
            auth_file.unlink(missing_ok=True)  # first of all: a signal could cut short the removal of the directory


def create_private(path: Path) -> TextIO:
    """A new file for text that only this user may read: of mode 0600 from its first moment on."""
    return open(path, "x", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600))


def report(state: dict[str, Any], result: dict[str, Any], waits: tuple[float, ...]) -> None:
    """Tell the server, again after each of `waits` (seconds) if need be. Raises AgentError when it could not be told."""
    try:
        call(state, "POST", "/api/v1/provision/result", state.get("agent_token"), result)
    except AgentError as error:
        if error.exit_code != TRY_LATER or not waits:
            raise AgentError(f"The result ({result['outcome']}) could not be reported: {error}", error.exit_code) from None
        time.sleep(waits[0])
        report(state, result, waits[1:])


def call(server: dict[str, Any], method: str, path: str, token: object, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask `server` ({"server": URL, "ca_file": path or None}) with a bearer token; returns the answer's JSON object. Raises AgentError."""
    try:
        address = urllib.parse.urlsplit(server["server"])
        loopback = is_loopback(address.hostname)
        if not address.hostname or "@" in address.netloc or address.scheme not in (("https", "http") if loopback else ("https",)):
            raise AgentError("The server's URL has to be like https://control.example.com; http:// is for loopback only.", SET_UP_WRONGLY)
        if not isinstance(token, str) or not re.fullmatch("[!-~]+", token):
            raise AgentError("There is no token, or it is more than one word.", SET_UP_WRONGLY)
        tls = HTTPSHandler(context=ssl.create_default_context(cafile=server["ca_file"]))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = Request(server["server"].rstrip("/") + path, json.dumps(body).encode() if body else None, headers, method=method)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise AgentError(f"The server's URL or the CA file cannot be used: {error}", SET_UP_WRONGLY) from None
    opener = OpenerDirector()  # not build_opener(): that one follows redirects
    for handler in (tls, HTTPHandler(), ProxyHandler({} if loopback else None), HTTPDefaultErrorHandler(), HTTPErrorProcessor()):
        opener.add_handler(handler)
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as response:
            return dict(json.loads(response.read(ANSWER_BYTES)))
    except urllib.error.HTTPError as error:
        raise _refusal(error) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        code = SET_UP_WRONGLY if isinstance(reason, ssl.SSLCertVerificationError) else TRY_LATER
        raise AgentError(f"No answer from {server['server']}: {reason}", code) from None
    except (ValueError, TypeError):
        raise AgentError(f"What answers at {server['server']} does not answer with a JSON object.", FAILED) from None


def _refusal(error: urllib.error.HTTPError) -> AgentError:
    """The server's problem document (RFC 9457) as `title: detail`."""
    said = f"HTTP {error.code}"
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AttributeError), error:
        problem = json.loads(error.read(ANSWER_BYTES))
        said = ": ".join(str(problem[key]) for key in ("title", "detail") if problem.get(key)) or said
    if 300 <= error.code < 400:
        return AgentError(f"The server's URL is not right: it redirects ({said}), and no redirect is followed.", SET_UP_WRONGLY)
    return AgentError(said, REFUSED if error.code in (401, 403) else TRY_LATER if error.code == 429 or error.code >= 500 else FAILED)


def is_loopback(host: str | None) -> bool:
    """Whether `host`, a name or an address without brackets, is this very machine."""
    with contextlib.suppress(ValueError):
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    return False


def one_line(text: str) -> str:
    """`text` as one line that a terminal may be shown, at most 500 characters."""
    return "".join(character if character.isprintable() else " " for character in text)[:500].strip()


@contextlib.contextmanager
def _signals_unwind() -> Iterator[None]:
    """SIGTERM, SIGHUP and SIGINT end the program by an exception, so that every `finally` runs; once only, so that none is cut short."""
    heeded = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    signals = [each for each in heeded if signal.getsignal(each) != signal.SIG_IGN]  # nohup stays nohup

    def stop(number: int, _frame: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    with contextlib.ExitStack() as stack:
        for each in signals:
            stack.callback(signal.signal, each, signal.signal(each, stop))
        yield
