"""What Spark needs is named with the command that installs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from models.spark import SMALL_JVM, MissingSpark, SparkOptions, check_spark


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="needs pyspark")
def test_missing_java_is_said_with_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MissingSpark, match=r"Java is not installed; .*no `java` on the PATH; sudo apt"
    ):
        check_spark()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingSpark, match="JAVA_HOME is"):
        check_spark()


def test_missing_pyspark_is_said_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingSpark, match=r"pyspark is not installed; pip install '\.\[spark\]' in a copy"
    ):
        check_spark()


def test_a_small_jvm_is_for_python_tasks_of_this_machine() -> None:
    (name,) = SMALL_JVM
    assert SMALL_JVM.items() <= SparkOptions("local[2]", is_python=True).properties().items()
    own = SparkOptions("local[2]", conf={name: "-Xss8m"}, is_python=True)
    assert own.properties()[name] == "-Xss8m"
    for options in (SparkOptions("local[2]"), SparkOptions("spark://host:7077", is_python=True)):
        assert name not in options.properties()
