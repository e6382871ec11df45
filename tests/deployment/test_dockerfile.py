"""The reader of Dockerfiles: stages, what each needs, and the configuration of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployment.dockerfile import PATH, NotRead, parse, read
from tests.running import ROOT

TEXT = """\
# A comment.
ARG VERSION=3
FROM python:${VERSION}-slim AS Base
ARG PLACE=/venv
ENV PATH=${PLACE}/bin:$PATH GREETING="good day"
RUN make thing \\
    # a comment within
    && echo $GREETING "a  b"

FROM base AS unused
RUN false

FROM base AS build
WORKDIR /src
WORKDIR part
COPY . .
CMD ["first"]

FROM python:${VERSION}-slim
COPY --from=build --chown=me /venv /venv
EXPOSE 80 81
USER me
HEALTHCHECK --interval=15s --timeout=2s \\
    CMD ["curl", "localhost"]
CMD sleep 1
"""


def test_a_stage_has_its_name_base_and_instructions() -> None:
    file = parse(TEXT)
    assert [stage.name for stage in file.stages] == ["base", "unused", "build", "3"]
    assert file.stage("Base").base == "python:3-slim"
    (run,) = file.stage("base").of("RUN")
    assert run.command() == ["/bin/sh", "-c", 'make thing && echo $GREETING "a  b"']
    assert run.line == 6
    (copy,) = file.stage().of("COPY")
    assert (copy.flags, copy.words()) == ({"from": "build", "chown": "me"}, ["/venv", "/venv"])


def test_a_target_needs_the_stages_that_it_is_from_or_copies_from() -> None:
    file = parse(TEXT)
    assert [stage.name for stage in file.needed()] == ["base", "build", "3"]
    assert [stage.name for stage in file.needed("unused")] == ["base", "unused"]


def test_an_image_has_the_configuration_of_its_stage_and_of_the_stages_below() -> None:
    file = parse(TEXT)
    build = file.image("build")
    assert build.env == {"PATH": f"/venv/bin:{PATH}", "GREETING": "good day"}
    assert (build.workdir, build.user, build.command()) == ("/src/part", "root", ["first"])
    last = file.image()
    assert last.env == {"PATH": PATH}
    assert (last.user, last.ports, last.base) == ("me", ("80", "81"), "python:3-slim")
    assert last.command() == ["/bin/sh", "-c", "sleep 1"]
    assert last.healthcheck == ["curl", "localhost"]
    assert last.healthcheck_flags == {"interval": "15s", "timeout": "2s"}


def test_build_arguments_replace_defaults() -> None:
    file = parse(TEXT, {"VERSION": "4", "PLACE": "/opt"})
    assert file.stage("base").base == "python:4-slim"
    assert file.image("base").env["PATH"] == f"/opt/bin:{PATH}"
    assert parse("FROM a\nARG X\nWORKDIR /${X:-none}").image().workdir == "/none"


def test_an_entrypoint_takes_the_command_as_arguments() -> None:
    file = parse('FROM a\nCMD ["x"]\nENTRYPOINT ["run"]\nCMD ["-v"]')
    assert file.image().command() == ["run", "-v"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM a\nRUN <<EOF\nx\nEOF", 2),
        ("FROM a\nRUN --mount=type=cache x", 2),
        ("FROM a\n\nONBUILD RUN x", 3),
        ("FROM a\nRUN x \\", 2),
    ],
    ids=["heredoc", "flag of RUN", "unknown instruction", "end within a line"],
)
def test_what_is_not_read_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(NotRead, match=f"line {line}:"):
        parse(text)


def test_a_stage_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(KeyError, match="no stage gpu; there are base, unused, build"):
        parse(TEXT).stage("gpu")


@pytest.mark.parametrize(
    "path", [ROOT / "Dockerfile", *sorted((ROOT / "examples").rglob("Dockerfile"))], ids=str
)
def test_every_dockerfile_of_the_project_is_read(path: Path) -> None:
    assert read(path).image().command()
