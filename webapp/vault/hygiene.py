"""What the process does so that its memory is written nowhere."""

import contextlib
import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """No core dumps (`RLIMIT_CORE` 0), and on Linux no tracing by other processes of the user (prctl(2)).

    As far as the system lets it: a failure is no error, since the secrets are no less sealed at rest.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
