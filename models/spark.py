"""Spark session of the command lines, and what it needs: pyspark and Java."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import TasteprintError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

QUIET = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
# Of a session whose tasks are Python, where the JVM does little: its optimising compiler and its
# collector's threads would take the tasks' cores for some ten seconds.
SMALL_JVM = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
# Where tasks run Python: this interpreter, on this machine alone.
INTERPRETER = "PYSPARK_PYTHON"


@dataclass(frozen=True)
class SparkOptions:
    """Where and how Spark runs.

    Attributes
    ----------
    master : as Spark names it; empty: what spark-defaults.conf or spark-submit sets
    folder : that every executor reaches, for entries and checkpoints; None: a temporary one, which
        does for `local`
    conf : properties of the session
    is_python : whether tasks run Python and little else, so that a driver with its tasks on this
        machine does with a small JVM
    """

    master: str = "local[*]"
    folder: Path | None = None
    conf: Mapping[str, str] = field(default_factory=dict)
    is_python: bool = False

    @property
    def is_local(self) -> bool:
        return self.master.startswith("local")

    def properties(self) -> dict[str, str]:
        """Of the session: `conf` comes last."""
        small = SMALL_JVM if self.is_local and self.is_python else {}
        return QUIET | small | dict(self.conf)


class MissingSpark(TasteprintError):
    """Raised if pyspark or Java is not installed."""

    title = "Spark is not installed"


@contextmanager
def open_session(name: str, options: SparkOptions) -> Iterator[SparkSession]:
    """A Spark session; one that runs already is used, and goes on running.

    Parameters
    ----------
    name : of the application, as Spark's own pages list it

    Raises
    ------
    MissingSpark
    """
    check_spark()
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    builder: Any = SparkSession.builder.appName(name)
    if options.master:
        builder = builder.master(options.master)
    if options.is_local:
        os.environ.setdefault(INTERPRETER, sys.executable)
    # pyspark warns of a pandas newer than it knows; nothing here uses pandas through Spark.
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
    for key, value in options.properties().items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


def check_spark() -> None:
    """Refuse to begin without pyspark, or without Java, which the driver runs on.

    Raises
    ------
    MissingSpark
    """
    if importlib.util.find_spec("pyspark") is None:
        raise MissingSpark(
            "pyspark is not installed", remedy="pip install '.[spark]' in a copy of the repository"
        )
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        where = f"JAVA_HOME is {home}" if home else "there is no `java` on the PATH"
        raise MissingSpark(
            f"Java is not installed; Spark runs on it, version 17 or later, and {where}",
            remedy="sudo apt-get install default-jre-headless",
        )
