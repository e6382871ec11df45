"""Catalogue of songs: ids, vectors, metadata and users in a file, searched exactly."""

from models.catalogue.file import load, save
from models.catalogue.search import Filters, Hit, Vectors, unit
from models.catalogue.songs import Catalogue, Track
from models.catalogue.source import BadCatalogue, CatalogueSource
from models.catalogue.users import Listener, Users

__all__ = [
    "BadCatalogue",
    "Catalogue",
    "CatalogueSource",
    "Filters",
    "Hit",
    "Listener",
    "Track",
    "Users",
    "Vectors",
    "load",
    "save",
    "unit",
]
