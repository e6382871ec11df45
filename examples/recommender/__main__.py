"""Start the recommender with the settings of `RECOMMENDER_*`."""

from __future__ import annotations

import uvicorn

from examples.recommender.app import create_app
from examples.recommender.settings import Settings


def main() -> None:
    settings = Settings()
    uvicorn.run(create_app(settings), host=settings.host, port=settings.port)


if __name__ == "__main__":
    main()
