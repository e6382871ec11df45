"""How long this process has been there, its imports included."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

# Of /proc/<pid>/stat behind the name in brackets: `starttime`, field 22 (proc(5)).
START_TIME = 19


def process_age_s() -> float:
    """Seconds since the process began, to 10 ms; of its CPU time where there is no /proc."""
    if sys.platform != "linux":
        return time.process_time()
    behind_name = Path("/proc/self/stat").read_text().rpartition(")")[2]
    started_s = int(behind_name.split()[START_TIME]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
