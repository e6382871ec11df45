"""Exceptions of training: one tree; each message states the wrong value and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


class TrainingError(Exception):
    """Base class of errors that the user can mend; the command line prints them as one line."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the message: constructors differ, and worker processes send errors back."""
        return _with_text, (type(self), str(self))


def _with_text(kind: type[TrainingError], text: str) -> TrainingError:
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error


class MissingTool(TrainingError):
    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} is not installed; {remedy}")


class RenderFailed(TrainingError):
    def __init__(self, midi: Path, reason: str) -> None:
        super().__init__(f"{midi.name}: {reason}")


class ParityFailed(TrainingError):
    def __init__(self, output: str, error: float, limit: float) -> None:
        super().__init__(
            f"{output}: ONNX differs from the trained model by {error:.2e} of its scale, and the "
            f"limit is {limit:.0e}; nothing was written"
        )


class BadLogs(TrainingError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class MissingInput(TrainingError):
    def __init__(self, path: Path, command: str) -> None:
        super().__init__(f"{path} is missing or incomplete; make it with `{command}`")


class OtherRun(TrainingError):
    def __init__(self, out: Path) -> None:
        super().__init__(
            f"{out} holds a run with other settings, data or teacher; choose another --out, delete "
            "this one, or start over with --no-resume (where the command has that option)"
        )


class BadManifest(TrainingError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class BadDataset(TrainingError):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"data set {name}: {reason}")


class OtherManifest(TrainingError):
    def __init__(self, out: Path) -> None:
        super().__init__(
            f"{out} holds the windows of another manifest, or for another encoder; choose another "
            "--out, or delete this one"
        )


class NothingToTrain(TrainingError):
    def __init__(self, part: str, n_tracks: int) -> None:
        super().__init__(
            f"no window for the part {part!r}: none of its {n_tracks} prepared tracks has an item "
            "with a factor; check that item ids are the same in the logs and the manifest"
        )


class BadTransfer(TrainingError):
    def __init__(self, method: str, width: int, teacher_width: int | None) -> None:
        found = f"has width {teacher_width}" if teacher_width else "is missing"
        super().__init__(
            f"{method} at width {width} needs a teacher of that width, and the teacher {found}; "
            "give --teacher an encoder of that width, or choose kd, which takes any width"
            if method in ("init", "fix")
            else f"{method} needs a teacher; give --teacher the bundle of an encoder"
        )


class OtherEncoder(TrainingError):
    def __init__(self, method: str, encoder: str, teacher_encoder: str) -> None:
        super().__init__(
            f"{method} takes the network of the teacher, a {teacher_encoder}, and --encoder is "
            f"{encoder}; leave out --encoder, or choose base or kd, which take any encoder"
        )


class OtherEmbedding(TrainingError):
    def __init__(self, encoder: str, dim: int, teacher_dim: int) -> None:
        super().__init__(
            f"kd compares the embeddings of student and teacher, and that of the student, a "
            f"{encoder}, has {dim} dimensions, the teacher's {teacher_dim}; choose another "
            "--encoder or --teacher, or the method base"
        )


class BadTeacher(TrainingError):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"bundle {name} {reason}")


class UnknownEncoder(TrainingError):
    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no encoder {name!r}; choose one of {', '.join(known)}")


class OtherAudio(TrainingError):
    def __init__(self, found: object, encoder: str, wanted: object) -> None:
        super().__init__(
            f"the prepared windows are {found}, and the encoder {encoder} takes {wanted}; prepare "
            "the audio again for that encoder"
        )


class BadCrop(TrainingError):
    def __init__(self, crop_s: float, window_s: float, segment_s: float = 0) -> None:
        segment = f"a multiple of {segment_s:g} s, the teacher's segment, and " if segment_s else ""
        super().__init__(
            f"crops of {crop_s:g} s do not fit: they must be {segment}at most {window_s:g} s, the "
            "length of the windows; choose another --crop-s, or 0 for whole windows"
        )


class UnknownMethod(TrainingError):
    def __init__(self, method: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown method {method!r}; choose one of {', '.join(known)}")


class BadFold(TrainingError):
    def __init__(self, fold: int, n_folds: int) -> None:
        super().__init__(f"there is no fold {fold}; the data set has folds 0 to {n_folds - 1}")


class OtherUsers(TrainingError):
    def __init__(self, n_missing: int) -> None:
        super().__init__(
            f"{n_missing} users of the factors are not in the logs; evaluate with "
            "the logs that were factorised"
        )


class BadExport(TrainingError):
    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}; nothing was written")


class BadPrecision(TrainingError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; nothing was written")


class NothingToEvaluate(TrainingError):
    def __init__(self, n_clips: int, min_listeners: int) -> None:
        super().__init__(
            f"none of the {n_clips} held-out clips is of an item with {min_listeners} or more "
            "listeners in the logs; lower --min-listeners, or hold out more artists"
        )


class MissingMidi(TrainingError):
    def __init__(self, source: Path, reason: str) -> None:
        super().__init__(f"{source} is neither a folder of .mid files nor an archive: {reason}")
