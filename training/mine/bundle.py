"""Bundle of the model: exported after a parity check, with its CF space and a catalogue beside."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from models.bundle import Bundle
from models.card import Data, Scalar
from models.catalogue import Catalogue, CatalogueSource, save, unit
from models.catalogue.users import make_users
from training.cf.als import Factorization
from training.export.bundle import PARITY_CLIPS, as_teacher, make_provenance
from training.export.estimator import export_encoder, read_metrics
from training.mine.candidates import Candidate
from training.mine.hearing import Heard
from training.mine.inputs import Inputs
from training.mine.judging import Choice
from training.mine.network.stage import Tuned
from training.mine.settings import FINE_TUNED, MINE_SOURCE, MineSettings
from training.networks.musicnn import MusiCNN

LICENCE, FACTORS, CATALOGUE = "LICENSE", "factors", "catalogue.parquet"
INITIAL = "initial weights"
# Files above which the catalogue does not know songs by their bytes: each is read once more.
MAX_HASHED = 10_000


@dataclass(frozen=True)
class Model:
    """A model fitted on every song that was heard and played.

    Attributes
    ----------
    predicted : embedding of every song that was heard, (n, dim)
    tuned : the network that was fine-tuned from the linear map, if it is better
    """

    candidate: Candidate
    choice: Choice
    factors: Factorization
    predicted: NDArray[np.float32]
    tuned: Tuned | None = None

    def make_network(self) -> tuple[MusiCNN, dict[str, Scalar]]:
        """The network, and the entries of its card that it is built again by."""
        network, architecture = self.candidate.make_network(self.choice.fitted)
        return (self.tuned.network if self.tuned else network), architecture

    @property
    def method(self) -> str:
        name = self.candidate.name
        if self.tuned:
            return f"fine-tuned from a ridge regression on {name}; MSE + cosine proximity"
        kept = "fine-tuned on earlier plays" if self.candidate.is_own else "frozen"
        return f"ridge regression on {name}, {kept}"

    @property
    def encoder_facts(self) -> dict[str, Scalar]:
        """Which encoder, and whether it is one of the bundle's own."""
        if self.tuned:
            return {**self.tuned.facts, MINE_SOURCE: self.tuned.output}
        card = self.candidate.encoder.card
        if self.candidate.is_own:
            stated = card.provenance.hyperparameters
            kept = {name: stated[name] for name in ("fine_tuned_encoder", FINE_TUNED)}
            return {**kept, MINE_SOURCE: self.candidate.output}
        return {"frozen_encoder": card.name, MINE_SOURCE: self.candidate.output}

    @property
    def teacher(self) -> str | None:
        """Digest of the bundle that the encoder was taken from."""
        encoder = self.candidate.encoder
        return encoder.card.provenance.teacher if self.candidate.is_own else encoder.digest

    @property
    def encoder_data(self) -> tuple[Data, ...]:
        """What the encoder was trained on before the operator's own songs."""
        encoder = self.candidate.encoder
        if self.candidate.is_own:
            stated = encoder.card.provenance.data
            return tuple(data for data in stated if data.use.startswith(INITIAL))
        return as_teacher(encoder, INITIAL if self.tuned else "frozen encoder")


@dataclass(frozen=True)
class Export:
    """What a card states beside the fit, and where the bundle is written.

    Attributes
    ----------
    out : folder with the name of the bundle
    evaluation : folder with the `measures.json` of the folds; None states no metrics
    """

    out: Path
    card_version: str
    data: tuple[Data, ...]
    evaluation: Path | None
    default: bool = True


def default_data(inputs: Inputs) -> tuple[Data, ...]:
    """What a card states of the training data where the user states nothing."""
    use = f"audio and targets: {inputs.count()}"
    return (Data(name="the operator's own songs and plays", use=use, licence="not stated"),)


def export(
    model: Model, inputs: Inputs, heard: Heard, settings: MineSettings, export: Export
) -> tuple[Bundle, Mapping[str, float]]:
    """Write the bundle, its factors and its catalogue.

    Returns
    -------
    The bundle, and the parity error of each output.

    Raises
    ------
    ParityFailed, BundleError, BadExport
    """
    shutil.rmtree(export.out, ignore_errors=True)
    encoder = model.candidate.encoder
    network, architecture = model.make_network()
    metrics: dict[str, Scalar] = {}
    if export.evaluation is not None:
        metrics |= read_metrics(export.evaluation, None, Path())
    spread = np.linspace(0, len(heard.tracks) - 1, PARITY_CLIPS).astype(int)
    written, errors = export_encoder(
        network,
        export.out,
        heard.waveforms(encoder.card.audio, np.unique(spread).tolist()),
        make_provenance(
            method=model.method,
            teacher=model.teacher,
            data=(*export.data, *model.encoder_data),
            seed=settings.seed,
            hyperparameters={
                **model.encoder_facts,
                **architecture,
                "alpha": model.choice.fitted.alpha,
                "weights": "1 / sqrt(songs of the artist)",
                "plays": f"weight {model.factors.report['weight']}",
                "joined: fitted": inputs.account.describe_met(),
                **{f"als_{key}": value for key, value in asdict(model.factors.settings).items()},
            },
            metrics=metrics,
            split="fitted on every song that was heard and played; metrics are of models that "
            "were chosen and fitted without the artists that they are judged on, a fold at a time",
        ),
        space=model.factors.space,
        default=export.default,
        card_version=export.card_version,
    )
    if (encoder.folder / LICENCE).is_file():
        shutil.copyfile(encoder.folder / LICENCE, export.out / LICENCE)
    model.factors.save(export.out / FACTORS)
    save(make_catalogue(model, heard, written), export.out / CATALOGUE)
    return written, errors


def make_catalogue(model: Model, heard: Heard, bundle: Bundle) -> Catalogue:
    """Every played item by its factor, the songs that nobody played by their sound, and the users.

    Ids are those of the plays. Item factors and predictions have a common part each, which is
    subtracted: see `models.catalogue.Catalogue`. An item of several songs has no title.
    """
    factors, tracks = model.factors, heard.tracks
    card = bundle.card
    source = CatalogueSource(card.name, card.version, bundle.digest, card.space)
    played = Catalogue.build(
        source,
        list(factors.items),
        factors.item_factors,
        _texts(factors.items, tracks),
        model.predicted.mean(0),
        users=make_users(list(factors.users), factors.user_factors),
        about="; ".join(f"{data.name} ({data.licence})" for data in card.provenance.data[:1]),
    )
    cold = ~tracks["item_id"].isin(factors.items) & ~tracks["item_id"].duplicated()
    if not cold.any():
        return played
    unplayed = Catalogue.build(
        source,
        tracks["item_id"][cold].tolist(),
        model.predicted[cold.to_numpy()],
        _texts(pd.Index(tracks["item_id"][cold]), tracks),
    )
    return _append(played, unplayed, model.predicted[cold.to_numpy()])


def _append(played: Catalogue, unplayed: Catalogue, predicted: NDArray[np.float32]) -> Catalogue:
    """The played items, and predictions that are centred as queries are."""
    centred = predicted - played.query_mean
    return replace(
        played,
        columns={
            name: pa.chunked_array([*column.chunks, *unplayed.columns[name].chunks], pa.string())
            for name, column in played.columns.items()
        },
        blocks=(np.concatenate([*played.blocks, unit(centred)]),),
        lengths=np.concatenate([played.lengths, np.linalg.norm(centred, axis=1)]).astype(
            np.float32
        ),
        predicted=np.concatenate([played.predicted, np.ones(len(centred), bool)]),
    )


def _texts(items: pd.Index, tracks: pd.DataFrame) -> dict[str, list[str | None]]:
    """Title, artist and SHA-256 of the items that have a song; of several songs, the artist."""
    of_item = tracks["item_id"].map(tracks["item_id"].value_counts())
    single = tracks[of_item == 1].set_index("item_id").reindex(items)
    known = tracks.drop_duplicates("item_id").set_index("item_id").reindex(items)
    texts = {"title": _as_texts(single["title"]), "artist": _as_texts(known["artist_name"])}
    if len(tracks) <= MAX_HASHED:
        texts["sha256"] = [_sha256(path) for path in single["path"]]
    return texts


def _as_texts(column: pd.Series) -> list[str | None]:
    return [text if isinstance(text, str) and text else None for text in column]


def _sha256(path: object) -> str | None:
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
