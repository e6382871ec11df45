"""Choice of the catalogue: that of the settings, else the one that the default model brings."""

from __future__ import annotations

from pathlib import Path

from service.settings import Settings

# In a bundle's folder, of songs or artists of its space.
OWN_CATALOGUE = "catalogue.parquet"
# As TASTEPRINT_CATALOGUE: no catalogue.
NONE = Path("none")


def find_catalogue(settings: Settings) -> Path | None:
    """The file of TASTEPRINT_CATALOGUE, else that of the default model's bundle; None for none."""
    if settings.catalogue is not None:
        return None if settings.catalogue == NONE else settings.catalogue
    own = settings.models_dir / settings.default_model / OWN_CATALOGUE
    return own if own.exists() else None
