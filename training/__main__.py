"""Entry point of `tasteprint-train`; names the missing package where training is not installed."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the commands.

    Raises
    ------
    SystemExit
        Also where a package of the extra `train` is missing. Commands import theirs when they run.
    """
    try:
        from training.cli.main import main as run

        run()
    except ModuleNotFoundError as error:
        sys.exit(
            f"tasteprint-train: {error.name} is not installed: the service needs no training; "
            "for it, `make train-install` or pip install -e '.[train]'"
        )


if __name__ == "__main__":
    main()
