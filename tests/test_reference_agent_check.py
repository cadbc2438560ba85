"""The reference agent asking whether its image can be pulled, before a machine is wiped for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.control_plane import AGENT_TOKEN, BOOTSTRAP_TOKEN, ControlPlane, control_plane
from tests.real.machine import Machine
from webapp.reference_agent import main

CHECK = "/api/v1/provision?check=1"
DIGEST = "sha256:" + "0a" * 32


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with control_plane() as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path, plane: ControlPlane) -> Machine:
    """A machine that is enrolled."""
    enrolled = Machine(tmp_path)
    assert enrolled.enroll(plane.url, BOOTSTRAP_TOKEN).returncode == 0
    return enrolled


def found(**check: Any) -> dict[str, Any]:
    """What the server answers."""
    return {
        "check": {"works": True, "kind": "works", "detail": "ghcr.io lets it be pulled.", "digest": DIGEST, **check},
        "image": {"name": "ubuntu", "reference": "ghcr.io/acme/ubuntu:24.04"},
    }


def test_what_works_is_said_with_the_digest_and_nothing_is_pulled(plane: ControlPlane, machine: Machine) -> None:
    plane.answer(CHECK, 200, found())
    checked = machine.agent("check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout == f"ghcr.io/acme/ubuntu:24.04 {DIGEST}: ghcr.io lets it be pulled.\n"
    assert plane.requests[1:] == [("GET", CHECK, f"Bearer {AGENT_TOKEN}", None)]
    assert machine.seen() is None


def ended(machine: Machine, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The check in this process, which is faster than one of its own."""
    code = main(["check", "--state", str(machine.state)])
    said = capsys.readouterr()
    return code, said.out, said.err.removeprefix("registry-credentials agent check: ").rstrip("\n")


def test_what_would_fail_ends_with_1_and_the_sentence(plane: ControlPlane, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    plane.answer(CHECK, 200, found(works=False, kind="wrong-credentials", detail="ghcr.io does not take\n\x1b[31mthem.", digest=None))
    assert ended(machine, capsys) == (1, "", "ghcr.io/acme/ubuntu:24.04: ghcr.io does not take  [31mthem.")


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, 1), (422, 1), (401, 77), (429, 75), (503, 75)],
)
def test_a_refusal_ends_as_at_a_pull(
    plane: ControlPlane, machine: Machine, capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    plane.refuse(CHECK, status, "This is not possible as things are", "No image is chosen.")
    assert ended(machine, capsys) == (code, "", "This is not possible as things are: No image is chosen.")


@pytest.mark.parametrize(
    "document",
    [
        {"image": {"name": "x", "reference": "ghcr.io/a/b:1"}, "registry_auth": {"password": "hunter2"}, "provision_id": "0" * 32},
        {"check": "works", "image": {}},
        {"check": {"works": True}},
        {},
    ],
)
def test_a_server_that_checks_nothing_does_not_pass_for_one_that_does(
    plane: ControlPlane, machine: Machine, capsys: pytest.CaptureFixture[str], document: dict[str, Any]
) -> None:
    plane.answer(CHECK, 200, document)
    sentence = "The server's answer cannot be used: it is of a version that checks nothing."
    assert ended(machine, capsys) == (1, "", sentence), "and nothing of what an older one hands over is shown"


@pytest.mark.parametrize("works", ["yes", 1, None])
def test_only_true_works(plane: ControlPlane, machine: Machine, capsys: pytest.CaptureFixture[str], works: object) -> None:
    plane.answer(CHECK, 200, found(works=works))
    assert ended(machine, capsys)[0] == 1


def test_a_machine_that_is_not_enrolled_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = ended(Machine(tmp_path), capsys)
    assert (code, said.split(",")[0]) == (78, "Enrol first")


def test_its_help_says_what_the_exit_status_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    assert "Exit status 0: it works; 1: it does not" in " ".join(capsys.readouterr().out.split())
