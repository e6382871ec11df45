"""The way into `tasteprint-train`: where the service alone is installed it says what is missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the commands.

    Raises
    ------
    SystemExit
        Also where a package of the extra `train` is missing.
    """
    try:
        from training.cli.main import main as run
    except ModuleNotFoundError as error:
        sys.exit(
            f"tasteprint-train: {error.name} is not installed: the service needs no training; "
            "for it, `make train-install` or pip install -e '.[train]'"
        )
    run()
