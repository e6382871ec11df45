"""Options of `tasteprint-train`: names and defaults are stable, each is made from one field."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from annotated_types import Ge, Le
from typer.main import get_command
from typer.testing import CliRunner
from typing_extensions import Doc

from training.cli.main import app
from training.cli.options import WORKERS, default_teacher, with_settings
from training.mine.settings import MINE_SOURCE

OPTIONS = Path(__file__).with_name("options.txt")


def describe(command: str, parameter: Any) -> str:
    names = "/".join([*parameter.opts, *parameter.secondary_opts])
    default = "required" if parameter.required else parameter.default
    if callable(default):
        default = parameter.show_default
    if names == "--workers" and command in ("dataset", "mine", "prepare", "render"):
        assert default == WORKERS
        default = "cpu count"
    if isinstance(default, list):
        default = ",".join(map(str, default))
    return f"{command} {names} = {default}"


def test_options_and_defaults_are_those_of_the_list() -> None:
    """Scripts of users depend on them: a change of the list is a change for users."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    found = [
        describe(name, parameter)
        for name, command in commands.items()
        for parameter in command.params
    ]
    assert sorted(found) == sorted(OPTIONS.read_text().splitlines())


@dataclass(frozen=True)
class Settings:
    depth: Annotated[int, Doc("Number of layers."), Ge(1), Le(9)] = 3
    name: Annotated[str | None, Doc("Name of the run.")] = None
    is_fast: Annotated[bool, Doc("Skip the checks.")] = False
    hidden: Annotated[int, Doc("No option of the command.")] = 7


def run(*arguments: str) -> tuple[int, str]:
    toy = typer.Typer()

    @toy.command()
    @with_settings(Settings, exclude=("hidden",))
    def command(out: Path, settings: Settings, again: bool = True) -> None:
        print(out, settings, again)

    result = CliRunner().invoke(toy, list(arguments), env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_a_command_gets_the_settings_object_of_its_options() -> None:
    code, output = run("here", "--depth", "5", "--is-fast")
    assert (code, output.strip()) == (
        0,
        "here Settings(depth=5, name=None, is_fast=True, hidden=7) True",
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--depth", "0"), "Invalid value for '--depth'"),
        (("--depth", "10"), "Invalid value for '--depth'"),
        (("--depth", "deep"), "Invalid value for '--depth'"),
        (("--hidden", "1"), "No such option: --hidden"),
    ],
)
def test_bounds_and_types_of_a_field_are_checked(arguments: tuple[str, ...], reason: str) -> None:
    code, output = run("here", *arguments)
    assert code == 2
    assert reason in output


def test_help_shows_text_and_default_of_each_field() -> None:
    code, output = run("--help")
    assert code == 0
    for text in ("Number of layers.", "Name of the run.", "--is-fast", "[default: 3]"):
        assert text in output
    assert "hidden" not in output


def test_metadata_that_no_option_can_express_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        rate: Annotated[float, "a comment"] = 0.1

    with pytest.raises(TypeError, match="rate: 'a comment' cannot be made into an option"):
        with_settings(Odd)


def write_card(models: Path, name: str, facts: dict[str, Any]) -> Path:
    (models / name).mkdir(parents=True)
    card = models / name / "card.json"
    card.write_text(json.dumps({"provenance": {"hyperparameters": facts}}))
    return card


def test_the_teacher_is_the_model_that_mine_made_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_teacher() == Path("models/cf-estimator")
    write_card(Path("models"), "cf-estimator", {"alpha": 1})
    (Path("models") / "damaged").mkdir()
    (Path("models") / "damaged" / "card.json").write_text("{")
    assert default_teacher() == Path("models/cf-estimator")
    first, second = (write_card(Path("models"), name, {MINE_SOURCE: "features"}) for name in "zy")
    os.utime(first, ns=(1, 1))
    assert default_teacher() == Path("models/y")
    os.utime(second, ns=(0, 0))
    assert default_teacher() == Path("models/z")
