"""Exceptions of training; each message states the wrong value and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class TrainingError(Exception):
    """Base class of errors that the user can fix; the command line prints them as one line."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the message: constructors differ, and worker processes send errors back."""
        return _with_text, (type(self), str(self))


def _with_text(kind: type[TrainingError], text: str) -> TrainingError:
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error


class MissingTool(TrainingError):
    """Raised if a required program or file is not installed."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} is not installed; {remedy}")


class RenderFailed(TrainingError):
    """Raised if a MIDI file cannot be rendered."""

    def __init__(self, midi: Path, reason: str) -> None:
        super().__init__(f"{midi.name}: {reason}")


class ParityFailed(TrainingError):
    """Raised if an ONNX output differs from the trained model's."""

    def __init__(self, output: str, error: float, limit: float) -> None:
        super().__init__(
            f"{output}: ONNX differs from the trained model by {error:.2e} of its scale, and the "
            f"limit is {limit:.0e}; nothing was written"
        )


class MissingAudio(TrainingError):
    """Raised if there is no folder of audio where one is named."""

    def __init__(self, folder: Path) -> None:
        found = "is a file" if folder.exists() else "does not exist"
        super().__init__(f"{folder} {found}; give --audio the folder of the audio files")


class BadSplit(TrainingError):
    """Raised if a file is no split of tracks."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is no split: it {reason}; make one with `tasteprint-train split`")


class BadTable(TrainingError):
    """Raised if a table of the user cannot be read or lacks a column.

    Attributes
    ----------
    path : of the file or folder
    reason : the message without the path
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class BadLogs(TrainingError):
    """Raised if listening logs cannot be read or have no usable row."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class NoSpace(TrainingError):
    """Raised if the folder of temporary files is full."""

    def __init__(self, folder: Path, n_bytes: int, reason: str) -> None:
        super().__init__(
            f"{folder}: {reason}, after {n_bytes / 2**20:.0f} MiB of temporary files; set TMPDIR "
            "to a folder with room for 8 bytes a row of the logs, and 8 more for counts and for "
            "times each"
        )


class Unmatched(TrainingError):
    """Raised if too few ids of one side of a join are on the other side."""

    def __init__(self, account: str, what: str) -> None:
        super().__init__(
            f"{account}: {what}; write the ids of both sides alike, or accept it by --allow-missing"
        )


class NothingPrepared(TrainingError):
    """Raised if no file of a manifest could be decoded."""

    def __init__(self, n_tracks: int, audio: Path, reason: str, refused: Path) -> None:
        super().__init__(
            f"none of the {n_tracks} tracks has a window: {reason} (the first of them; all are in "
            f"{refused}); check --audio, here {audio}, and the names of the files"
        )


class NothingToFactorize(TrainingError):
    """Raised if the logs are too few for factors, or their counts too large."""


class BadEngine(TrainingError):
    """Raised if an engine cannot factorise by these settings, or on this machine."""

    def __init__(self, engine: str, reason: str, remedy: str) -> None:
        super().__init__(f"--engine {engine} {reason}; {remedy}")


class NothingToSearch(TrainingError):
    """Raised if no user has entries on both sides of a hold-out."""

    def __init__(self, n_users: int, n_entries: int) -> None:
        super().__init__(
            f"of {n_users} users and {n_entries} entries, none has both entries to fit on and "
            "entries held out, and a search needs some; give more rows, or no --search"
        )


class TooFewEntries(TrainingError):
    """Raised if no user of the logs has enough items for some to be held out."""

    def __init__(self, n_users: int, min_entries: int) -> None:
        super().__init__(
            f"none of the {n_users} users has {min_entries} items or more, of which one validates; "
            "lower --min-entries, or give logs with more items of a user"
        )


class TooFewLabels(TrainingError):
    """Raised if fewer than two labels have enough training clips."""

    def __init__(self, n_found: int, min_clips: int, most: int) -> None:
        super().__init__(
            f"{n_found} labels have {min_clips} training clips or more, and two are the minimum; "
            f"the most frequent one has {most}: lower --min-clips, or add clips"
        )


class NoLabelledClips(TrainingError):
    """Raised if nothing is known of the labels of any clip of a part."""

    def __init__(self, part: str, n_clips: int) -> None:
        super().__init__(
            f"none of the {n_clips} clips of the part {part!r} has a label; add labels, or clips "
            "of other artists"
        )


class NoPairsToTrain(TrainingError):
    """Raised if no clip of a part has a user who played its artist, and not all others."""

    def __init__(self, part: str, n_clips: int) -> None:
        super().__init__(
            f"none of the {n_clips} clips of the part {part!r} has a user with a vector who played "
            "its artist and not every other one; check that item ids are the same in the logs and "
            "the manifest, and user ids in the logs and the vectors"
        )


class MissingInput(TrainingError):
    """Raised if an input of a command is missing or incomplete."""

    def __init__(self, path: Path, command: str) -> None:
        super().__init__(f"{path} is missing or incomplete; make it with `{command}`")


class OtherRun(TrainingError):
    """Raised if the output folder holds a run with other settings or data."""

    def __init__(self, out: Path) -> None:
        super().__init__(
            f"{out} holds a run with other settings, data or teacher; choose another --out, delete "
            "this one, or start over with --no-resume (where the command has that option)"
        )


class NoScheduleLength(TrainingError):
    """Raised if a cosine schedule has no length."""

    def __init__(self) -> None:
        super().__init__(
            "a cosine schedule ends with the run, and --max-steps 0 and --max-epochs 0 set no end; "
            "give one of them, or leave out --cosine-schedule"
        )


class BadPlateau(TrainingError):
    """Raised if a run would end before its learning rate is lowered."""

    def __init__(self, plateau_patience: int, patience: int) -> None:
        super().__init__(
            f"a run ends after {patience} validations without a lower loss, and the learning rate "
            f"is lowered after {plateau_patience}; give --plateau-patience less than --patience, "
            "or 0"
        )


class MixedResults(TrainingError):
    """Raised if a folder holds results of one task that were measured on other folds."""

    def __init__(self, folder: Path, task: str, fold: int, method: str, other: str) -> None:
        super().__init__(
            f"{folder} holds runs of {task} with other tracks or labels in fold {fold} ({method} "
            f"and {other}): the data set was read again since; delete the older runs, and run "
            "their methods again"
        )


class OtherFigures(TrainingError):
    """Raised if figures of a leaderboard cannot stand beside those of another run."""

    def __init__(self, path: Path, difference: str) -> None:
        super().__init__(
            f"{path} has {difference}: its entries cannot stand in one table with those judged "
            "now; judge them again, or leave out --keep"
        )


class MixedFactors(TrainingError):
    """Raised if a folder of factors holds files of several factorisations."""

    def __init__(
        self, folder: Path, recorded: str, found: str, command: str = "tasteprint-train factorize"
    ) -> None:
        super().__init__(
            f"the report in {folder} is of the CF space {recorded[:12]}, and the factors and ids "
            f"there are of {found[:12]}: the folder holds files of several factorisations; make it "
            f"again with `{command}`"
        )


class OtherSpace(TrainingError):
    """Raised if two inputs live in different CF spaces: their vectors have nothing in common."""

    def __init__(
        self, first: str | Path, space: str, other: str | Path, other_space: str, remedy: str
    ) -> None:
        super().__init__(
            f"{first} is of the CF space {space[:12]}, and {other} of {other_space[:12]}: vectors "
            f"of different spaces have nothing in common; {remedy}"
        )


class HeldOutItems(TrainingError):
    """Raised if vectors of users were fitted on items that the split holds out for the test."""

    def __init__(self, n_common: int, n_held_out: int, example: str) -> None:
        super().__init__(
            f"the vectors of users were fitted on {n_common} of the {n_held_out} items of the "
            f"split's test artists, such as {example!r}, so that the encoder would learn from them "
            "who likes these artists; make the vectors with the --split that is given here"
        )


class SharedArtist(TrainingError):
    """Raised if clips are divided by artist, and an artist has clips in several parts."""

    def __init__(self, artist: str, parts: Sequence[str]) -> None:
        super().__init__(
            f"the split has clips of {artist!r} in the parts {', '.join(parts)}, and an artist is "
            "to be in one; give its tracks one item id in the manifest and make the split again "
            "with `tasteprint-train split`, or divide the songs of all artists with --song-split"
        )


class MixedTeachers(TrainingError):
    """Raised if a report would average results of teachers that live in different CF spaces."""

    def __init__(self, folder: Path, method: str, teacher: str, other: str) -> None:
        super().__init__(
            f"{folder} holds runs of {method} with teachers of different CF spaces, {teacher} and "
            f"{other}; give the runs of one of them a --variant, or keep the results of each "
            "teacher in a folder of its own, and report them apart"
        )


class BadManifest(TrainingError):
    """Raised if a track manifest cannot be read or lacks a column."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class BadDataset(TrainingError):
    """Raised if a data set cannot be read."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"data set {name}: {reason}")


class OtherManifest(TrainingError):
    """Raised if the output folder holds the windows of another manifest."""

    def __init__(self, out: Path) -> None:
        super().__init__(
            f"{out} holds the windows of another manifest, or for another encoder; choose another "
            "--out, or delete this one"
        )


class EmptyPart(TrainingError):
    """Raised if the split leaves a part without artists."""

    def __init__(self, part: str, fold: int, n_artists: int) -> None:
        super().__init__(
            f"none of the {n_artists} artists is in the part {part!r} where fold {fold} is held "
            "out; choose another --fold, raise --validation, or add artists"
        )


class OtherSets(TrainingError):
    """Raised if two prepared folders cannot be taken as one set."""

    def __init__(self, first: Path, second: Path, found: str) -> None:
        super().__init__(
            f"{first} and {second} cannot be taken together: {found}; prepare both with the same "
            "--encoder, under names of their own, and with track ids that differ"
        )


class MissingAudioInput(TrainingError):
    """Raised if a set of an evaluation was not decoded for every encoder."""

    def __init__(self, first: Iterable[str], second: Iterable[str]) -> None:
        super().__init__(
            f"the sets {', '.join(first)} are decoded for one audio input and {', '.join(second)} "
            "for another; prepare each set for both with --encoder, in folders of the same name"
        )


class UnsplitTracks(TrainingError):
    """Raised if a split does not say in which part a prepared track is."""

    def __init__(self, n_missing: int, n_tracks: int, track_id: str) -> None:
        super().__init__(
            f"{n_missing} of {n_tracks} prepared tracks are not in the split, {track_id!r} among "
            "them; make a split of all prepared sets with `tasteprint-train split`, and give it by "
            "--split"
        )


class HeardArtists(TrainingError):
    """Raised if an encoder is judged on artists that it was trained on."""

    def __init__(self, run: Path, n_heard: int, artist: str) -> None:
        super().__init__(
            f"the run in {run} was trained on {n_heard} artists that are held out here, {artist!r} "
            "among them; give the --split that it was trained by, or one of the same fold"
        )


class NoPairs(TrainingError):
    """Raised if no held-out track has a rendering."""

    def __init__(self, n_renderings: int, n_tracks: int) -> None:
        super().__init__(
            f"none of the {n_renderings} renderings has the track id of one of the {n_tracks} "
            "held-out tracks; prepare them with the manifest of the recordings"
        )


class SharedArtists(TrainingError):
    """Raised if two evaluations that are pooled judge the same artist."""

    def __init__(self, n_shared: int, artist: str) -> None:
        super().__init__(
            f"{n_shared} artists are judged by more than one evaluation, {artist!r} among them; "
            "pool one evaluation of each fold of one split"
        )


class OtherEvaluation(TrainingError):
    """Raised if evaluations that are pooled were not made alike."""

    def __init__(self, folder: Path, what: str, first: object, found: object) -> None:
        super().__init__(
            f"the evaluation in {folder} has the {what} {found}, and the first one has {first}; "
            "pool evaluations that were made with the same options"
        )


class BadEncoder(TrainingError):
    """Raised if a bundle cannot be evaluated as an encoder."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"bundle {name} {reason}")


class NothingToTrain(TrainingError):
    """Raised if a part has no window with a target."""

    def __init__(self, part: str, n_tracks: int) -> None:
        super().__init__(
            f"no window for the part {part!r}: none of its {n_tracks} prepared tracks has an item "
            "with a factor; check that item ids are the same in the logs and the manifest"
        )


class NoAnchors(TrainingError):
    """Raised if no clip of a part can be an anchor of a concept."""

    def __init__(self, concept: str, part: str, n_clips: int) -> None:
        super().__init__(
            f"none of the {n_clips} clips of the part {part!r} has another clip of its {concept} "
            "to be compared with; choose another --concept, add clips, or divide songs with "
            "--song-split"
        )


class TooFewNegatives(TrainingError):
    """Raised if an anchor has fewer clips to be told from than there are negatives."""

    def __init__(self, concept: str, part: str, n_found: int, negatives: int) -> None:
        super().__init__(
            f"a clip of the part {part!r} has {n_found} clips of another {concept} to be told "
            f"from, and --negatives is {negatives}; add clips, or lower --negatives"
        )


class NoSegments(TrainingError):
    """Raised if an encoder hears a window as one piece, and no segments can be compared."""

    def __init__(self, name: str, patch_s: float, window_s: float) -> None:
        super().__init__(
            f"{name} hears {patch_s:g} s of a window of {window_s:g} s at a time, and the test "
            "needs two segments or more of each window; give an encoder of shorter patches"
        )


class OtherPatches(TrainingError):
    """Raised if encoders whose patches are joined one by one hear different patches."""

    def __init__(self, counts: Sequence[int]) -> None:
        super().__init__(
            f"the joined encoders hear {' and '.join(map(str, counts))} patches of a window, and "
            "are joined patch by patch; give encoders of patches of one length"
        )


class BadColumns(TrainingError):
    """Raised if the columns of a paper's table cannot stand beside each other."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the columns of the table: {reason}")


class OtherClips(TrainingError):
    """Raised if two similarity runs divide the clips in other ways."""

    def __init__(self, run: Path, other: Path) -> None:
        super().__init__(
            f"{run} and {other} hold other test clips: their results cannot be compared; train "
            "both on the same --prepared folders with the same --split and --song-split"
        )


class TooFewArtists(TrainingError):
    """Raised if a choice by cross-validation over artists has too few of them."""

    def __init__(self, data: str, n_artists: int) -> None:
        super().__init__(
            f"{data} has clips with a target of {n_artists} artist, and the choice of alpha by "
            "validation artists needs two; add artists, or leave out --per-set"
        )


class BadSource(TrainingError):
    """Raised if a linear estimator cannot be fitted on an output of that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"--source: {name!r} is given twice, or is not one of {', '.join(known)}; join several "
            "by +, each once"
        )


class BadTransfer(TrainingError):
    """Raised if a transfer method needs another teacher."""

    def __init__(self, method: str, width: int, teacher_width: int | None) -> None:
        found = f"has width {teacher_width}" if teacher_width else "is missing"
        super().__init__(
            f"{method} at width {width} needs a teacher of that width, and the teacher {found}; "
            "give --teacher or --init an encoder of that width, or choose kd, which takes any width"
            if method in ("init", "init-kd")
            else f"{method} needs a teacher; give --teacher the bundle of an encoder"
        )


class OtherEncoder(TrainingError):
    """Raised if a method needs the teacher's network and another encoder is chosen."""

    def __init__(self, method: str, encoder: str, teacher_encoder: str) -> None:
        super().__init__(
            f"{method} takes the weights of its bundle, a {teacher_encoder}, and --encoder is "
            f"{encoder}; give --init a bundle of that architecture, leave out --encoder, or choose "
            "base or kd, which take any encoder"
        )


class OtherEmbedding(TrainingError):
    """Raised if the embeddings of student and teacher differ in size."""

    def __init__(self, encoder: str, dim: int, teacher_dim: int) -> None:
        super().__init__(
            f"kd compares the embeddings of student and teacher, and that of the student, a "
            f"{encoder}, has {dim} dimensions, the teacher's {teacher_dim}; choose another "
            "--encoder or --teacher, or the method base"
        )


class BadPool(TrainingError):
    """Raised if a folder cannot serve as a pool of unlabelled recordings."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"the pool {folder} {reason}")


class NoPool(TrainingError):
    """Raised if a method needs unlabelled recordings, and there are none."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"{method} needs unlabelled recordings; give --pool a folder of `dataset` or "
            "`prepare`, or choose kd"
        )


class BadTeacher(TrainingError):
    """Raised if a bundle cannot be used as a teacher."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"bundle {name} {reason}")


class NoSpectrogram(TrainingError):
    """Raised if an encoder has no spectrogram to mask."""

    def __init__(self, encoder: str) -> None:
        super().__init__(
            f"the encoder {encoder} has no spectrogram to mask; leave out --spec-augment, or "
            "choose another --encoder"
        )


class BadInit(TrainingError):
    """Raised if a network cannot start from the weights of a bundle."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"bundle {name} {reason}, or choose another --init")


class UnknownEncoder(TrainingError):
    """Raised if the registry has no encoder of that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no encoder {name!r}; choose one of {', '.join(known)}")


class OtherAudio(TrainingError):
    """Raised if prepared windows do not fit the encoder's audio input."""

    def __init__(self, found: object, encoder: str, expected: object) -> None:
        super().__init__(
            f"the prepared windows are {found}, and the encoder {encoder} takes {expected}; "
            "prepare the audio again for that encoder"
        )


class BadCrop(TrainingError):
    """Raised if the crop length does not fit the teacher's segments, a patch or the window."""

    def __init__(
        self, crop_s: float, limit_s: float, segment_s: float = 0, *, of: str = "windows"
    ) -> None:
        segment = f"a multiple of {segment_s:g} s, the teacher's segment, and " if segment_s else ""
        super().__init__(
            f"crops of {crop_s:g} s do not fit: they must be {segment}at most {limit_s:g} s, the "
            f"length of the {of}; choose another --crop-s, or 0 for whole windows"
        )


class BadPatches(TrainingError):
    """Raised if an encoder cannot take a window in such patches."""

    def __init__(self, patches: int, patch_s: float, reason: str) -> None:
        super().__init__(
            f"{patches} patches of {patch_s:g} s cannot be taken: {reason}; choose other --patches "
            "and --patch-s"
        )


class UnknownMethod(TrainingError):
    """Raised if a method of that name does not exist."""

    def __init__(self, method: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown method {method!r}; choose one of {', '.join(known)}")


class BadFold(TrainingError):
    """Raised if the data set has no fold of that number."""

    def __init__(self, fold: int, n_folds: int) -> None:
        super().__init__(f"there is no fold {fold}; the data set has folds 0 to {n_folds - 1}")


class OtherUsers(TrainingError):
    """Raised if users of the factors are missing from the logs."""

    def __init__(self, n_missing: int) -> None:
        super().__init__(
            f"{n_missing} users of the factors are not in the logs; evaluate with "
            "the logs that were factorised"
        )


class BadExport(TrainingError):
    """Raised if a bundle cannot be written from these inputs."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}; nothing was written")


class OtherTracks(TrainingError):
    """Raised if two task folders must hold the same tracks, and do not."""

    def __init__(self, folder: Path, other: Path, reason: str) -> None:
        super().__init__(
            f"{folder} and {other} must hold the same tracks, targets and folds: {reason}; decode "
            "both from one data set with `tasteprint-train dataset`"
        )


class BadEntries(TrainingError):
    """Raised if a file is no list of a leaderboard's entries, or lacks a named one."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the entries in {path}: {reason}")


class BadPage(TrainingError):
    """Raised if a page has no place for what is drawn into it."""

    def __init__(self, page: Path, begin: str, end: str) -> None:
        super().__init__(
            f"{page} has no line {begin!r} with {end!r} after it, between which the table is "
            "drawn; write both lines into the page"
        )


class MixedInputs(TrainingError):
    """Raised if an entry's results on one task are of other bundles in some folds."""

    def __init__(self, folder: Path, entry: str, task: str) -> None:
        super().__init__(
            f"{folder} holds results of {entry} on {task} that were made with other bundles in "
            "some folds: judge all folds again with `tasteprint-train leaderboard`"
        )


class HeardTask(TrainingError):
    """Raised if an encoder would be judged on a task that its card says it was trained on."""

    def __init__(self, entry: str, task: str, bundle: Path, data: str) -> None:
        super().__init__(
            f"{entry} on {task}: the card of {bundle} says that it was trained on {data!r}, which "
            "the task is made of; name the task in `heard` of that part, with `bundle_of_fold` "
            "where there are encoders that have not heard a fold"
        )


class BelowBaseline(TrainingError):
    """Raised if a head is no better than the baseline on the same folds."""

    def __init__(self, measure: str, head: float, baseline: float, n_folds: int) -> None:
        super().__init__(
            f"the head's {measure} is {head:.4f} and the baseline on mel statistics has "
            f"{baseline:.4f}, over the same {n_folds} folds; results files, if any, are kept and "
            "no bundle was written: choose other encoder outputs, kinds or another encoder"
        )


class BadCheckpoint(TrainingError):
    """Raised if published weights cannot be read, or do not fit the network."""


class BadPrecision(TrainingError):
    """Raised if a graph cannot be converted to that precision."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; nothing was written")


class UnknownColumn(TrainingError):
    """Raised if no column of a table has a usual name for what is needed, or two have one."""

    def __init__(
        self, path: Path, role: str, option: str, found: Sequence[str], fitting: Sequence[str]
    ) -> None:
        names = ", ".join(map(repr, fitting))
        reason = f"could each hold the {role}: {names}" if fitting else f"no column is the {role}"
        super().__init__(
            f"{path}: {reason}; name it with {option}. The columns are "
            f"{', '.join(map(repr, found))}"
        )


class NothingInCommon(TrainingError):
    """Raised if no song with audio was played by anyone."""

    def __init__(self, counts: str, song: str, item: str) -> None:
        super().__init__(
            f"{counts}: no id is both a song's, such as {song!r}, and one of the plays, such as "
            f"{item!r}; name the files by the ids of the plays, or give --catalogue a table with "
            "both"
        )


class NotBetter(TrainingError):
    """Raised if a model ranks users no better than what knows nothing of the sound."""

    def __init__(self, words: str) -> None:
        super().__init__(
            f"{words}; nothing was exported. Give more songs, artists or plays, or export it all "
            "the same with --anyway"
        )


class TooLittleRoom(TrainingError):
    """Raised if a folder's disk has no room for what is going to be written."""

    def __init__(self, folder: Path, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"{folder}: {needed_bytes / 1e9:.1f} GB are needed for the decoded songs, and "
            f"{free_bytes / 1e9:.1f} GB are free; make room, or name a folder on another disk with "
            "--work"
        )


class NothingToUpdate(TrainingError):
    """Raised if there is no earlier model of `mine` that could be updated."""

    def __init__(self, bundle: Path) -> None:
        super().__init__(
            f"{bundle} holds no model of `tasteprint-train mine`, which --update refits; run it "
            "without --update first"
        )


class MissingEncoder(TrainingError):
    """Raised if the encoder that an update keeps is none of the bundles that are given."""

    def __init__(self, name: str, encoders: Sequence[Path]) -> None:
        given = ", ".join(map(str, encoders))
        super().__init__(
            f"--update keeps the encoder {name}, and of the bundles {given} none is the version of "
            "it that the model was fitted on; give that one with --encoder, or run without --update"
        )


class NothingToEvaluate(TrainingError):
    """Raised if no held-out item has enough listeners."""

    def __init__(self, n_clips: int, min_listeners: int) -> None:
        super().__init__(
            f"none of the {n_clips} held-out clips is of an item with {min_listeners} or more "
            "listeners in the logs; lower --min-listeners, or hold out more artists"
        )


class MissingMidi(TrainingError):
    """Raised if the MIDI source is neither a folder nor a tar archive of files with own names."""

    def __init__(self, source: Path, reason: str) -> None:
        super().__init__(
            f"{source} is neither a folder of .mid files with names of their own nor an archive of "
            f"them: {reason}"
        )


class LossNotFinite(TrainingError):
    """Raised if a loss is NaN or infinite: the weights are of no use from there on."""

    def __init__(self, part: str, loss: float, step: int, run: Path) -> None:
        super().__init__(
            f"the {part} loss is {loss} at step {step}; the checkpoints in {run} are of the "
            "validations before. Lower --learning-rate, or try --precision 32-true where it is "
            "another, in another --out"
        )
