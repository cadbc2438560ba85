"""A process that holds secrets leaves no core dump, and nor does what it starts."""

import json
import subprocess
import sys

SCRIPT = """\
import ctypes, json, resource, subprocess, sys
from webapp.vault.hygiene import forbid_core_dumps

def state():
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0  # PR_GET_DUMPABLE
    return [dumpable, *resource.getrlimit(resource.RLIMIT_CORE)]

before = state()
forbid_core_dumps()
forbid_core_dumps()
child = [sys.executable, "-c", "import resource; print(*resource.getrlimit(resource.RLIMIT_CORE))"]
print(json.dumps({"before": before, "after": state(), "child": subprocess.check_output(child, text=True).split()}))
"""


def test_core_dumps_are_off_for_good() -> None:
    said = json.loads(subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout)
    assert said["after"] == [0, 0, 0], "neither dumpable nor with a limit that could be raised again"
    assert said["child"] == ["0", "0"]
    if sys.platform == "linux":
        assert said["before"][0] == 1, "what is looked at was not so already"
