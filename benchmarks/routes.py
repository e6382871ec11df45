"""The route of the service that answers by a given model."""

from __future__ import annotations

from models.card import Card, Kind

ROUTES: dict[Kind, str] = {
    "encoder": "/embed",
    "classifier": "/classify/{task}",
    "regressor": "/regress/{task}",
}


def route_of(card: Card) -> str:
    """Path and query of a POST that this model answers: `/classify/genre?model=genre`."""
    return f"{ROUTES[card.kind].format(task=card.task)}?model={card.name}"
