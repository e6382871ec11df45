"""Validation of command line arguments before torch, pandas or ONNX are imported.

Each check raises the error that the stage itself would raise, seconds earlier.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import typer

from models.card import AudioInput
from models.errors import BundleError
from training.audio.crop_limit import check_crop_length
from training.errors import (
    BadDataset,
    BadExport,
    BadLogs,
    BadManifest,
    BadPrecision,
    BadTable,
    MissingAudio,
    MissingInput,
    MissingMidi,
    UnknownMethod,
)
from training.fitting.settings import KIND
from training.networks.registry import DEFAULT_ENCODER, find_entry
from training.papers.settings import TABLES
from training.probes.settings import match_sources
from training.tables.sources import is_pattern, list_tables
from training.transfer.settings import BASELINES, METHODS

NO_FILE = "No such file or directory"


def check_prepared(folder: Path) -> Path:
    if not folder.is_dir():
        raise MissingInput(folder, "tasteprint-train prepare")
    return folder


def check_prepared_sets(folders: list[Path]) -> list[Path]:
    return [check_prepared(folder) for folder in folders]


def check_factors(folder: Path) -> Path:
    return _require(folder, "report.json", "tasteprint-train factorize")


def check_optional_factors(folder: Path | None) -> Path | None:
    return folder and check_factors(folder)


def check_run(folder: Path) -> Path:
    return _require(folder, "settings.json", "tasteprint-train estimator")


def kind_of_run(folder: Path) -> str:
    """The command of `tasteprint-train` that made a run."""
    try:
        return (folder / KIND).read_text().strip()
    except OSError:
        return "estimator"


def check_runs(folders: list[Path]) -> list[Path]:
    return [_require(folder, "clips.csv", "tasteprint-train similarity") for folder in folders]


def check_division(split: Path | None, song_split: bool) -> None:
    """Refuse clips that nothing divides into training and validation."""
    if split is None and not song_split:
        raise typer.BadParameter(
            "needed to hold out artists; or divide the songs of each artist with --song-split",
            param_hint="--split",
        )


def check_judged(run: Path | None, bundle: Path | None, split: Path | None) -> None:
    """What `evaluate` judges: a run or a bundle, and of a bundle the split."""
    if (run is None) == (bundle is None):
        raise typer.BadParameter("give either --run or --bundle", param_hint="--run")
    if run:
        check_run(run)
    if bundle:
        check_bundle(bundle)
        if split is None:
            raise typer.BadParameter(
                "needed with --bundle, whose card does not say which artists it has heard",
                param_hint="--split",
            )
    check_split(split)


def check_evaluation(folder: Path | None) -> Path | None:
    return folder and _require(folder, "measures.json", "tasteprint-train evaluate")


def check_evaluations(folders: list[Path]) -> list[Path]:
    return [_require(folder, "measures.json", "tasteprint-train evaluate") for folder in folders]


def check_user_runs(folders: list[Path]) -> list[Path]:
    return [_require(folder, "per_user.npz", "tasteprint-train users") for folder in folders]


def check_user_vectors(folder: Path) -> Path:
    return _require(folder, "report.json", "tasteprint-train users")


def check_tags(file: Path | None) -> Path | None:
    if file and not file.is_file():
        raise BadDataset("artist-tags", f"there is no file {file}; give --tags one")
    return file


def check_task(folder: Path) -> Path:
    return _require(folder, "task.json", "tasteprint-train dataset")


def check_tasks(folders: list[Path]) -> list[Path]:
    return [check_task(folder) for folder in folders]


def check_pools(folders: list[Path]) -> list[Path]:
    return [_require(folder, "tracks.csv", "tasteprint-train prepare") for folder in folders]


def check_results(folder: Path) -> Path:
    if not folder.is_dir():
        raise MissingInput(folder, "tasteprint-train compare")
    return folder


def check_split(file: Path | None) -> Path | None:
    if file and not file.is_file():
        raise MissingInput(file, "tasteprint-train split")
    return file


def check_logs(paths: list[Path]) -> list[Path]:
    """Files, or folders or patterns, which are read by their files."""
    for path in paths:
        if not is_pattern(path) and not path.exists():
            raise BadLogs(path, "no such file")
    return paths


def check_properties(stated: list[str]) -> list[str]:
    for text in stated:
        if not text.partition("=")[2]:
            raise typer.BadParameter(f"{text!r} is no property such as spark.driver.memory=8g")
    return stated


def check_plays(paths: list[Path]) -> list[Path]:
    list_tables(paths)
    return paths


def check_songs(folder: Path) -> Path:
    if not folder.is_dir():
        raise BadTable(folder, "there is no such folder; give --songs the folder of the songs")
    return folder


def check_optional_table(file: Path | None) -> Path | None:
    if file is not None and not file.exists():
        raise BadTable(file, "no such file")
    return file


def check_optional_data(file: Path | None) -> Path | None:
    return file and check_data(file)


def check_manifest(file: Path) -> Path:
    if not file.exists():
        raise BadManifest(file, "no such file")
    return file


def check_audio_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise MissingAudio(folder)
    return folder


def check_midi(source: Path) -> Path:
    if not source.exists():
        raise MissingMidi(source, "no such file or folder")
    return source


def check_data(file: Path) -> Path:
    if not file.is_file():
        raise BadExport(str(file), f"no JSON list of name, use and licence ({NO_FILE})")
    return file


def check_audio(folders: list[Path]) -> list[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise BadPrecision(f"there is no folder of audio {folder}")
    return folders


def check_bundle(folder: Path) -> Path:
    if not (folder / "card.json").is_file():
        raise BundleError(f"bundle {folder.name}: no readable card.json ({NO_FILE})")
    return folder


def check_bundle_of_folds(folder: Path) -> Path:
    """A bundle, or a path with `{fold}`, of which the chosen folds are checked by the stage."""
    return folder if "{fold}" in str(folder) else check_bundle(folder)


def check_optional_bundle_of_folds(folder: Path | None) -> Path | None:
    return folder and check_bundle_of_folds(folder)


def check_optional_bundle(folder: Path | None) -> Path | None:
    return folder and check_bundle(folder)


def check_bundles(folders: list[Path]) -> list[Path]:
    return [check_bundle(folder) for folder in folders]


def check_optional_task(folder: Path | None) -> Path | None:
    return folder and check_task(folder)


def check_bundle_name(folder: Path) -> Path:
    """The folder's name becomes the model's name; refused before training, not after."""
    from models.card import NAME

    if not re.fullmatch(NAME, folder.name):
        raise BadExport(f"the name {folder.name!r}", "lower-case letters, digits and hyphens only")
    return folder


def check_method(method: str) -> str:
    """A transfer method or a baseline."""
    if method not in (*METHODS, *BASELINES):
        raise UnknownMethod(method, (*METHODS, *BASELINES))
    return method


def check_methods(methods: str) -> list[str]:
    return [check_method(method) for method in methods.split(",")]


def check_shippable(method: str) -> str:
    """A transfer method: baselines are not exported."""
    if method not in METHODS:
        raise BadExport(f"the method {method!r}", f"is not one of {', '.join(METHODS)}")
    return method


def architecture_of(bundle: Path) -> str:
    """The encoder that a bundle's card names; a card that cannot be read is refused later."""
    try:
        card = json.loads((bundle / "card.json").read_bytes())
        return str(card.get("architecture") or DEFAULT_ENCODER)
    except (OSError, ValueError, AttributeError):
        return DEFAULT_ENCODER


def check_sources(bundles: list[Path], sources: Sequence[tuple[str, ...]]) -> None:
    """Refuse outputs that no encoder's card states; a card that cannot be read is refused later."""
    outputs: dict[str, list[str]] = {}
    for bundle in bundles:
        try:
            card = json.loads((bundle / "card.json").read_bytes())
            outputs[str(bundle)] = [tensor["name"] for tensor in card["outputs"]]
        except (OSError, ValueError, KeyError, TypeError):
            return
    match_sources(sources, outputs)


def check_width(encoder: str, width: int) -> int:
    """A width that an encoder can be built with.

    Raises
    ------
    UnknownEncoder, typer.BadParameter
    """
    widths = find_entry(encoder).widths
    if widths and width not in widths:
        raise typer.BadParameter(
            f"{width} is not one of {', '.join(map(str, widths))}", param_hint="--width"
        )
    if width < 1:
        raise typer.BadParameter(f"{width} is less than 1", param_hint="--width")
    return width


def check_widths(encoder: str, widths: list[int]) -> list[int]:
    return [check_width(encoder, width) for width in widths]


def check_table(name: str) -> str:
    """A table of `training.papers`."""
    if name not in TABLES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(TABLES)}")
    return name


def check_variant(variant: str) -> str:
    """Part of file names and of labels in tables."""
    if not re.fullmatch(r"[a-z0-9 ._-]*", variant):
        raise typer.BadParameter(
            f"{variant!r} has other characters than a-z, 0-9, '.', '_', '-' and spaces"
        )
    return variant


def check_compared_width(results: Path, method: str, width: int, teacher: Path) -> int:
    """A width of which there are results, or else one of the teacher's architecture."""
    if not any(results.rglob(f"{method}*-w{width}-f*-s*.json")):
        check_width(architecture_of(teacher), width)
    return width


def check_encoder(name: str) -> str:
    find_entry(name)
    return name


def check_optional_encoder(name: str | None) -> str | None:
    return name and check_encoder(name)


def check_heard(bundle: Path | None, encoder: str | None, patches: int, patch_s: float) -> None:
    """Refuse other windows than those that a bundle's card states."""
    given = {"--encoder": encoder, "--patches": patches, "--patch-s": patch_s}
    for option, value in given.items():
        if bundle and value:
            raise typer.BadParameter(
                f"{value} beside --bundle {bundle}, whose card states the windows; leave one out",
                param_hint=option,
            )


def check_crop(prepared: Path, crop_s: float | None) -> None:
    """Refuse crops longer than a prepared patch or window; a damaged folder is refused later."""
    try:
        source = json.loads((prepared / "source.json").read_bytes())
        audio = AudioInput.model_validate(source["audio"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if crop_s is not None:
        check_crop_length(crop_s, audio)


def check_taught(unlabelled: list[Path], teacher: Path | None) -> None:
    """Refuse clips without factors where no teacher labels them."""
    if unlabelled and not teacher:
        raise typer.BadParameter(
            f"{unlabelled[0]} has no targets without a teacher; give --teacher a bundle",
            param_hint="--unlabelled",
        )


def check_trainable(trainable: str, init: Path | None) -> None:
    """Refuse to freeze random weights."""
    if trainable != "all" and not init:
        raise typer.BadParameter(
            f"{trainable} would freeze random weights; give --init a bundle",
            param_hint="--trainable",
        )


def check_listeners(
    recordings: list[Path], factors: Path | None, split: Path | None, logs: list[Path]
) -> None:
    """The task of listeners takes all four, and factors and split of each fold."""
    given = {"--factors": factors, "--split": split, "--logs": logs}
    for option, value in given.items():
        if bool(value) != bool(recordings):
            raise typer.BadParameter(
                "recordings, factors, split and logs are given together", param_hint=option
            )
        if isinstance(value, Path) and "{fold}" not in str(value):
            raise typer.BadParameter(f"{value} has no {{fold}}", param_hint=option)


def parse_numbers(text: str) -> list[int]:
    """Whole numbers separated by commas."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 0,1,2") from error


def parse_values(text: str | None) -> tuple[float, ...]:
    """Positive numbers separated by commas; none of None."""
    try:
        values = tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 1,10,40") from error
    if any(value <= 0 for value in values):
        raise typer.BadParameter(f"{text!r} holds a number that is not above 0")
    return values


def _require(folder: Path, file: str, command: str) -> Path:
    if not (folder / file).is_file():
        raise MissingInput(folder, command)
    return folder
