"""Tests; each process of them computes in one thread.

Several test processes share the cores, with each other and with other work. Torch's threads wait
for each other in a busy loop at the end of each operation: where one of them has no core, five
thousand steps of a small layer take minutes instead of seconds.
"""

import os

for library in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
