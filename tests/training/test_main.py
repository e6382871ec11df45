"""Whoever has the service alone is told how to get the rest."""

from __future__ import annotations

import sys

import pytest

from training import __main__


def test_a_missing_package_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "training.cli.main", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)  # as if it were not there
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert "typer is not installed" in str(ended.value)
    assert "make train-install" in str(ended.value)
