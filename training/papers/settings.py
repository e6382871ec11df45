"""The papers' tables: columns, classifier and the papers' own numbers; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Classifier = Literal["vote", "svm", "softmax"]


@dataclass(frozen=True)
class PaperTable:
    """A table whose rows are tasks and whose columns are features.

    Attributes
    ----------
    classifier : see `training.papers.classifiers`
    columns : what the paper compares
    stated : task of the paper → its accuracy by column; none where the paper draws figures
    """

    source: str
    title: str
    classifier: Classifier
    columns: tuple[str, ...]
    stated: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


_CONCEPTS = ("trained directly", "artist", "album", "track", "joint")
TABLES: dict[str, PaperTable] = {
    "002-1": PaperTable(
        "Chen, Liang 2020, table 1",
        "MusiCNN without and with a music embedding of listeners' preference",
        "vote",
        ("without", "with"),
        {"GTZAN, fault-filtered": (0.7653, 0.8013), "FMA-small": (0.5918, 0.6148)},
    ),
    "003": PaperTable(
        "Lee et al. 2017",
        "Levels of a sample-level CNN, trained on labels of two cultures",
        "svm",
        ("last layer", "three levels", "first", "second", "both"),
    ),
    "004-2": PaperTable(
        "Lee, Park, Nam 2019, table 2",
        "Transfer of artist, album and track",
        "softmax",
        _CONCEPTS,
        {
            "GTZAN, fault-filtered": (0.547, 0.724, 0.652, 0.564, 0.745),
            "FMA-small": (0.533, 0.598, 0.560, 0.463, 0.593),
            "NAVER Korean": (0.720, 0.662, 0.641, 0.549, 0.663),
        },
    ),
    "004-3": PaperTable(
        "Lee, Park, Nam 2019, table 3",
        "Number of negatives",
        "softmax",
        ("1", "2", "4", "8", "16"),
        {
            "GTZAN, fault-filtered": (0.665, 0.663, 0.681, 0.702, 0.711),
            "FMA-small": (0.544, 0.535, 0.568, 0.573, 0.578),
            "NAVER Korean": (0.643, 0.634, 0.658, 0.676, 0.673),
        },
    ),
    "004-4": PaperTable(
        "Lee, Park, Nam 2019, table 4",
        "Number of training artists",
        "softmax",
        ("500", "1000", "2000", "5000", "10000"),
        {
            "GTZAN, fault-filtered": (0.638, 0.681, 0.706, 0.745, 0.755),
            "FMA-small": (0.517, 0.568, 0.588, 0.593, 0.603),
            "NAVER Korean": (0.636, 0.658, 0.668, 0.663, 0.686),
        },
    ),
}
