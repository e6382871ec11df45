"""Options that several commands share, and options made from a settings dataclass."""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable, Collection
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from annotated_types import Ge, Le
from typing_extensions import Doc

from training.cli import checks
from training.mine.settings import MINE_SOURCE

WORKERS = os.cpu_count() or 2
MODELS = Path("models")
SHIPPED_TEACHER = MODELS / "cf-estimator"


def default_teacher() -> Path:
    """The model that `mine` made last; without one, the shipped encoder."""
    made = [card for card in MODELS.glob("*/card.json") if is_mined(card)]
    newest = max(made, key=lambda card: card.stat().st_mtime_ns, default=None)
    return newest.parent if newest else SHIPPED_TEACHER


def is_mined(card: Path) -> bool:
    try:
        provenance = json.loads(card.read_bytes())["provenance"]
        return MINE_SOURCE in provenance["hyperparameters"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


# Of the options that a teacher is given by.
TEACHER_DEFAULT: dict[str, Any] = {
    "default_factory": default_teacher,
    "show_default": f"the model that `mine` made last, else {SHIPPED_TEACHER}",
}

Out = Annotated[Path, typer.Option(help="Folder to write into.")]
PreparedDir = Annotated[
    Path, typer.Option("--prepared", help="Folder of `prepare`.", callback=checks.check_prepared)
]
PreparedDirs = Annotated[
    list[Path],
    typer.Option(
        "--prepared",
        help="Folder of `prepare`; may be given more than once.",
        callback=checks.check_prepared_sets,
    ),
]
Init = Annotated[
    Path | None,
    typer.Option(
        "--init",
        help="Bundle of an encoder whose weights the network starts from, all but those of the "
        "embedding layer; with the same --encoder and --width.",
        callback=checks.check_optional_bundle,
    ),
]
UnlabelledDirs = Annotated[
    list[Path],
    typer.Option(
        "--unlabelled",
        help="Folder of `prepare` whose clips the teacher alone labels; those of artists that test "
        "or validate are left out. May be given more than once.",
        callback=checks.check_prepared_sets,
    ),
]
FeatureTeacher = Annotated[
    Path | None,
    typer.Option(
        "--teacher",
        help="Bundle of an encoder whose output the network learns beside the factors.",
        callback=checks.check_optional_bundle,
    ),
]
TeacherPreparedDirs = Annotated[
    list[Path],
    typer.Option(
        "--teacher-prepared",
        help="Folder of the same tracks, prepared for the teacher; may be given more than once. "
        "Default: the folders of --prepared and --unlabelled, if the teacher's patches can be cut "
        "from their windows.",
        callback=checks.check_prepared_sets,
    ),
]
FactorsDir = Annotated[
    Path, typer.Option("--factors", help="Folder of `factorize`.", callback=checks.check_factors)
]
RunDir = Annotated[
    Path, typer.Option("--run", help="Folder of `estimator`.", callback=checks.check_run)
]
TaskDir = Annotated[
    Path, typer.Option("--task", help="Folder of `dataset`.", callback=checks.check_task)
]
Teacher = Annotated[
    Path,
    typer.Option(
        help="Bundle of the teacher, an encoder; {fold} in the path stands for the held-out fold.",
        callback=checks.check_bundle_of_folds,
        **TEACHER_DEFAULT,
    ),
]
BundleDir = Annotated[
    Path,
    typer.Option(
        "--out", help="Folder of the bundle, models/<name>.", callback=checks.check_bundle_name
    ),
]
DataFile = Annotated[
    Path,
    typer.Option(
        "--data",
        help="JSON: a list of {name, use, licence} of the training data.",
        callback=checks.check_data,
    ),
]
LogsFiles = Annotated[
    list[Path],
    typer.Option(
        "--logs",
        "--plays",
        help="CSV, TSV or Parquet, one row per user and item, or one per play: a file, a folder, "
        "or a pattern in quotes, such as 'plays/*.csv.gz'. May be given more than once.",
        callback=checks.check_logs,
    ),
]
UserColumn = Annotated[str, typer.Option(help="Column of the user id.")]
ItemColumn = Annotated[str, typer.Option(help="Column of the item id, the same in logs and audio.")]
CountColumn = Annotated[
    str | None, typer.Option(help="Column of play counts; default: each row counts as one play.")
]
TimeColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of times, numbers or dates: the latest fifth of the rows is held out to rank, "
        "in place of a fifth by chance.",
    ),
]
SumRepeats = Annotated[
    bool,
    typer.Option(
        "--sum-repeats", help="Without --count-column, an entry is the number of its rows, not 1."
    ),
]
MinUserItems = Annotated[
    int, typer.Option("--min-items", "--min-user-items", help="Drop users with fewer items.")
]
MinItemUsers = Annotated[
    int,
    typer.Option(
        "--min-users",
        "--min-item-users",
        help="Drop items with fewer users; in turns with --min-items, until both hold.",
    ),
]
SparkMaster = Annotated[
    str,
    typer.Option(help="Where Spark runs; empty: as spark-defaults.conf or spark-submit says."),
]
SparkFolder = Annotated[
    Path | None,
    typer.Option(help="Folder that all of Spark's machines reach; default: a temporary one."),
]
SparkConf = Annotated[
    list[str],
    typer.Option(
        help="Property of the Spark session, as spark.driver.memory=8g; may be given more than "
        "once.",
        callback=checks.check_properties,
    ),
]
CardVersion = Annotated[str, typer.Option(help="Version of the model.")]
OnDemand = Annotated[
    bool,
    typer.Option(
        "--on-demand",
        help="The service loads the model when it is first requested, not at the start.",
    ),
]
PatchCount = Annotated[
    int,
    typer.Option(
        "--patches",
        help="Number of patches of a window that the encoder hears, in the centres of equal parts; "
        "0: its default input.",
        min=0,
    ),
]
PatchSeconds = Annotated[
    float,
    typer.Option(
        "--patch-s", help="Length of a patch in seconds; 0: of the encoder's default.", min=0
    ),
]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing",
        help="Accept that ids of one side of a join are not on the other: held-out items that the "
        "logs do not know, or fewer than half of the tracks with a factor or a file.",
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same result.")]
Workers = Annotated[int, typer.Option("--workers", help="Number of files processed in parallel.")]
Resume = Annotated[bool, typer.Option(help="Continue from the last checkpoint.")]


def with_settings(
    settings: type[Any], exclude: Collection[str] = (), *, parameter: str = "settings"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: a parameter of a command becomes one option per field of a dataclass.

    Name, type, default, help text (`Doc`) and bounds (`Ge`, `Le`) are those of the field, so that a
    hyperparameter is stated once. The command gets the object that is made of the options.

    Parameters
    ----------
    settings : a dataclass whose fields are `name: Annotated[type, Doc("help text")] = default`
    exclude : fields that are no options of the command; they keep their defaults
    parameter : name of the command's parameter
    """
    parameters = [
        _to_parameter(name, annotation, default)
        for name, annotation, default in _describe_fields(settings)
        if name not in exclude
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            chosen = {option.name: arguments.pop(option.name) for option in parameters}
            command(**arguments, **{parameter: settings(**chosen)})

        options: list[inspect.Parameter] = []
        for option in inspect.signature(command, eval_str=True).parameters.values():
            is_settings = option.name == parameter
            options += parameters if is_settings else [_as_keyword(option)]
        # typer reads both; of the two, `__wrapped__` would lead back to the undecorated command.
        del run.__wrapped__
        run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in options}
        return run

    return decorate


def _describe_fields(settings: type[Any]) -> list[tuple[str, Any, Any]]:
    """Name, annotation and default of each field, in the dataclass's order."""
    hints = get_type_hints(settings, include_extras=True)
    return [
        (
            field.name,
            hints[field.name],
            inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in fields(settings)
    ]


def _to_parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind, *metadata = get_args(annotation)
    stated: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, Doc):
            stated["help"] = item.documentation
        elif isinstance(item, Ge):
            stated["min"] = item.ge
        elif isinstance(item, Le):
            stated["max"] = item.le
        else:
            raise TypeError(f"{name}: {item!r} cannot be made into an option")
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option(**stated)],
    )


def _as_keyword(parameter: inspect.Parameter) -> inspect.Parameter:
    """Typer passes every argument by keyword; so a default may stand before none."""
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
