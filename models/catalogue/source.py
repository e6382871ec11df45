"""Source of vectors: the model that made them, and the CF space that they live in."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import TasteprintError


class BadCatalogue(TasteprintError):
    """Raised if a file is no catalogue, or does not fit to a query."""

    title = "Bad catalogue"


@dataclass(frozen=True)
class CatalogueSource:
    """What made the vectors: queries must be of the same.

    Attributes
    ----------
    space : CF space, where the model predicts one; then models of that space may ask
    precision : of the graph that ran; None of vectors that no graph made, such as item factors
    """

    model: str
    version: str
    digest: str
    space: str | None = None
    precision: str | None = None

    def accepts(self, other: CatalogueSource) -> bool:
        """Whether vectors of another source may be compared with these."""
        return self.space == other.space if self.space else self.digest == other.digest

    def has_precision_of(self, other: CatalogueSource) -> bool:
        """Whether vectors of both were made in one precision, as far as they were computed."""
        return None in (self.precision, other.precision) or self.precision == other.precision

    def describe(self) -> str:
        precision = f", {self.precision}" if self.precision else ""
        space = f", CF space {self.space[:12]}" if self.space else ""
        return f"{self.model} {self.version} ({self.digest[:12]}{precision}{space})"

    def require(self, other: CatalogueSource, what: str) -> None:
        """Refuse vectors of another space or model.

        Parameters
        ----------
        what : has the other vectors, such as "the query"

        Raises
        ------
        BadCatalogue
        """
        if self.accepts(other):
            return
        raise BadCatalogue(
            f"the catalogue has vectors of {self.describe()}, and {what} is of "
            f"{other.describe()}: they have nothing in common",
            value=other.space or other.digest,
            limit=self.space or self.digest,
            remedy="use that model, or index vectors of this one",
        )
