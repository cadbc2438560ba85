"""Several processes on one port: who starts whom again, how all of them end, and what is refused."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.server import run
from tests.real.process import free_port

PATIENCE_SECONDS = 20


@dataclass
class Supervised:
    """The program `tests.supervised` while it runs."""

    process: subprocess.Popen[bytes]
    said_in: Path
    log_in: Path

    @property
    def lines(self) -> list[str]:
        return self.said_in.read_text().splitlines()

    @property
    def log(self) -> str:
        return self.log_in.read_text()

    def pids(self) -> list[int]:
        """The workers that have begun, in their order, also those that have ended."""
        return [int(line.split()[0]) for line in self.lines if line.endswith(" begins")]

    def those_who_said(self, what: str) -> list[int]:
        return sorted(int(line.split()[0]) for line in self.lines if line.endswith(f" {what}"))

    def have_begun(self, count: int) -> list[int]:
        """The pids of so many workers, once they have begun."""
        until(lambda: len(self.pids()) >= count, self)
        return self.pids()

    def ends(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)


def until(happens: Callable[[], bool], supervised: Supervised) -> None:
    """Wait for something that is about to happen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happens():
        assert time.monotonic() < deadline, f"{supervised.lines}\n{supervised.log}"
        time.sleep(0.01)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # Linux; one that has ended stays until somebody has asked how
    with contextlib.suppress(OSError):
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc/self").exists()


@contextlib.contextmanager
def supervised(folder: Path, count: int, kind: str) -> Iterator[Supervised]:
    """Run it in a session of its own, as a terminal's foreground program; whatever is left at the end is killed."""
    said, log = folder / "said", folder / "log"
    with said.open("wb") as out, log.open("wb") as err:
        command = [sys.executable, "-m", "tests.supervised", str(count), kind]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
    one = Supervised(process, said, log)
    try:
        yield one
    finally:
        for pid in (process.pid, *one.pids()):
            if is_there(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def test_one_begins_alone_and_is_announced_and_the_others_follow(tmp_path: Path) -> None:
    with supervised(tmp_path, 3, "waits") as program:
        pids = program.have_begun(3)
        assert len(set(pids)) == 3
        assert program.process.pid not in pids
        until(lambda: len(re.findall(r"INFO webapp\.processes: a process serves pid=\d+\n", program.log)) == 3, program)
        assert program.those_who_said("announced") == [pids[0]]
        assert program.lines.index(f"{pids[0]} announced") < program.lines.index(f"{pids[1]} begins")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_ends_all_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with supervised(tmp_path, 3, "waits") as program:
        pids = program.have_begun(3)
        program.process.send_signal(number)
        assert program.ends() == 0
        assert program.those_who_said("in order") == sorted(pids)
        assert program.those_who_said("at once") == []
        assert not any(is_there(pid) for pid in pids)
        assert "WARNING" not in program.log, "nobody ended unasked"


def test_ctrl_c_reaches_all_of_them_and_ends_each_once_and_a_second_one_forces(tmp_path: Path) -> None:
    with supervised(tmp_path, 3, "stubborn") as program:
        pids = program.have_begun(3)
        os.killpg(program.process.pid, signal.SIGINT)
        until(lambda: len(program.those_who_said("in order")) == 3, program)
        assert program.those_who_said("at once") == []
        assert all(is_there(pid) for pid in pids)
        os.killpg(program.process.pid, signal.SIGINT)
        assert program.ends() == 0
        assert program.those_who_said("at once") == sorted(pids)


def test_the_third_signal_kills_who_does_not_hear(tmp_path: Path) -> None:
    with supervised(tmp_path, 2, "deaf") as program:
        pids = program.have_begun(2)
        for what in ("in order", "at once"):
            program.process.terminate()
            until(lambda what=what: len(program.those_who_said(what)) == 2, program)  # type: ignore[misc]
        program.process.terminate()
        assert program.ends() == 0
        assert not any(is_there(pid) for pid in pids)


def test_one_that_is_killed_is_started_again_and_the_log_says_so(tmp_path: Path) -> None:
    with supervised(tmp_path, 2, "waits") as program:
        first, second = program.have_begun(2)
        os.kill(first, signal.SIGKILL)
        third = program.have_begun(3)[2]
        assert (
            f"WARNING webapp.processes: a process ended; another one is started pid={first} signal=SIGKILL in_seconds=0.01\n" in program.log
        )
        os.kill(third, signal.SIGTERM)
        fourth = program.have_begun(4)[3]
        assert f" pid={third} signal=SIGTERM in_seconds=0.02\n" in program.log, "it waits longer each time"
        assert len({first, second, third, fourth}) == 4
        assert program.those_who_said("announced") == [first], "once"
        program.process.terminate()
        assert program.ends() == 0
        assert program.those_who_said("in order") == sorted([second, fourth])


def test_when_the_parent_is_killed_all_end_also_those_that_came_later(tmp_path: Path) -> None:
    with supervised(tmp_path, 3, "waits") as program:
        pids = program.have_begun(3)
        os.kill(pids[1], signal.SIGKILL)
        pids = program.have_begun(4)
        program.process.kill()
        program.ends()
        until(lambda: not any(is_there(pid) for pid in pids), program)
        assert program.those_who_said("in order") == sorted({*pids} - {pids[1]})


def test_a_wrong_setting_ends_all_and_is_said_once(tmp_path: Path) -> None:
    with supervised(tmp_path, 4, "refuses") as program:
        assert program.ends() == os.EX_CONFIG
        assert [line for line in program.lines if line.startswith("refused")] == ["refused: WEBAPP_COLOUR: no such colour."]
        assert len(program.pids()) == 1
        assert program.log == ""


@pytest.mark.parametrize(
    ("kind", "line", "status"),
    [
        ("fails", "CRITICAL webapp[{pid}]: the program ends with an error that nobody foresaw", os.EX_SOFTWARE),
        ("unavailable", "ERROR webapp.processes[{pid}]: The disk is full.", os.EX_TEMPFAIL),
    ],
    ids=["fault", "not-now"],
)
def test_one_that_cannot_begin_is_tried_again_with_longer_waits(tmp_path: Path, kind: str, line: str, status: int) -> None:
    with supervised(tmp_path, 4, kind) as program:
        ended = rf"a process ended; another one is started pid=(\d+) status={status} in_seconds=(\S+)\n"
        until(lambda: len(re.findall(ended, program.log)) >= 3, program)
        found = re.findall(ended, program.log)[:3]
        assert [delay for _, delay in found] == ["0.01", "0.02", "0.02"]
        assert all(line.format(pid=pid) in program.log for pid, _ in found)
        program.process.terminate()
        assert program.ends() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not spread connections over the sockets of a port")
def test_connections_are_spread_over_all(tmp_path: Path) -> None:
    port = free_port()
    with supervised(tmp_path, 4, f"listens:{port}") as program, contextlib.ExitStack() as stack:
        pids = program.have_begun(4)
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)) for _ in range(64)]
        answered = Counter(int(client.makefile("rb").readline()) for client in clients)
        assert answered.keys() == {*pids}
        assert max(answered.values()) < 40, "of 64; 16 is what is to be expected, and this is 7 standard deviations away"


def test_a_port_on_which_others_share_is_refused_as_any_that_is_taken(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "second").mkdir()
    with supervised(tmp_path, 2, f"listens:{port}") as program:
        program.have_begun(2)
        with supervised(tmp_path / "second", 2, f"listens:{port}") as second:
            assert second.ends() == os.EX_CONFIG
            assert second.lines == [
                f"refused: WEBAPP_PORT: another program listens on 127.0.0.1 port {port}. Choose another port, or stop that program."
            ]


def test_nobody_waits_at_the_port_while_they_end(tmp_path: Path) -> None:
    port = free_port()
    with supervised(tmp_path, 2, f"listens:{port}") as program:
        program.have_begun(2)
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS):
            pass
        program.process.terminate()
        assert program.ends() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)


def test_sqlite_is_one_process(tmp_path: Path) -> None:
    ended = run({"WEBAPP_DATA_DIR": str(tmp_path / "data"), "WEBAPP_PROCESSES": "4"}, "serve")
    assert (ended.returncode, ended.stdout) == (os.EX_CONFIG, "")
    assert ended.stderr == (
        "registry-credentials: WEBAPP_PROCESSES: SQLite is one process; 4 need PostgreSQL."
        " Set WEBAPP_DATABASE_URL to postgresql://…, or leave WEBAPP_PROCESSES at 1.\n"
    )
    assert list(tmp_path.iterdir()) == [], "nothing was made"


def test_request_ids_of_processes_that_were_one_differ() -> None:
    program = (
        "import os\n"
        "from webapp.web.answers import new_request_id\n"
        "for _ in range(2):\n"
        "    if os.fork() == 0:\n"
        "        os.write(1, new_request_id().encode() + b'\\n')\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
    )
    ids = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert len(set(ids)) == 2
