"""One `psql` for many statements."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_END = "-- that was all --"


class Session:
    """A running `psql`, which stays connected. It ends with the first statement that fails, or with the server."""

    def __init__(self, command: Sequence[str | Path], environ: Mapping[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env=environ,
            cwd=folder,
            start_new_session=True,  # an interrupt of the tests is not for it
        )

    def sql(self, statements: str) -> list[str]:
        """Run these in one transaction, as `Cluster.sql` does; returns the lines of all that they return. Raises RuntimeError."""
        written, read = self._process.stdin, self._process.stdout
        assert written is not None
        assert read is not None
        lines: list[str] = []
        try:
            written.write(statements.replace(";", "\\;") + f";\n\\echo {_END}\n")
            written.flush()
        except OSError as error:
            raise RuntimeError("psql has ended") from error
        for line in read:
            if line == f"{_END}\n":
                return lines
            lines.append(line.removesuffix("\n"))
        raise RuntimeError("psql has ended: a statement failed, or the server has gone")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
