"""Audio files of a folder, by name: which of the files beside each other is the song.

A name does not stand for one file: `song.flac` has lyrics, subtitles, features and pictures of the
same name beside it. What ends as audio does is the song; where two files do, none is chosen. Names
are compared in one Unicode form, as macOS writes accents apart from their letters (NFD).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from training.tables.folders import list_files

# What audio files end in, also those that are not read: they are the song all the same.
AUDIO_NAMES = """
    .mp3 .mp2 .mpga .flac .ogg .oga .opus .m4a .m4b .m4r .mp4 .aac .adts .alac .wav .wave .w64 .rf64
    .bwf .aif .aiff .aifc .au .snd .webm .weba .mka .mkv .wma .asf .caf .3gp .3ga .amr .mov .wv .ape
    .tta .tak .ac3 .eac3 .dts .mpc .dsf .dff .ra .rm .spx .gsm .voc
"""
# Of files beside a track's audio, which may have its name.
OTHER_NAMES = """
    .jpg .jpeg .png .gif .bmp .webp .tif .tiff .svg .ico .txt .json .jsonl .csv .tsv .xml .yaml .yml
    .html .htm .md .rtf .pdf .doc .docx .lrc .cue .nfo .log .srt .vtt .ass .sub .m3u .m3u8 .pls
    .md5 .sha1 .sha256 .sfv .ffp .mid .midi .kar .musicxml .mxl .npy .npz .pkl .pickle .pt .pth .h5
    .hdf5 .mat .parquet .db .ini .url .lab .beats .jams .svl .asd .pk .peak .reapeaks .sfk .zip .gz
    .tar .rar .7z .part .tmp .bak .crdownload
"""
SUFFIXES, NOT_AUDIO = frozenset(AUDIO_NAMES.split()), frozenset(OTHER_NAMES.split())


class Ambiguous(Exception):
    """Raised if two audio files have the name that is looked for; the message names them."""


def may_be_audio(path: Path) -> bool:
    """Whether a file's name does not say that it is something else; hidden files do."""
    return path.suffix.lower() not in NOT_AUDIO and not path.name.startswith(".")


def list_audio(folder: Path) -> list[Path]:
    """Files at any depth that may be audio, sorted; also in linked folders, not in hidden ones.

    A file of an unknown kind beside audio of the same name is not the song.
    """
    found = [file for file in list_files(folder) if may_be_audio(file) and file.is_file()]
    songs = {_key(file) for file in found if file.suffix.lower() in SUFFIXES}
    return [file for file in found if file.suffix.lower() in SUFFIXES or _key(file) not in songs]


def _key(file: Path) -> str:
    return normalize(str(file.with_suffix("")))


def normalize(name: str) -> str:
    """A name in Unicode form C, in which most programs write."""
    return unicodedata.normalize("NFC", name)


class AudioFiles:
    """Audio files by their names without the extension.

    Parameters
    ----------
    folder : searched itself, and below where it has no file of a name
    files : those of the folder
    """

    def __init__(self, folder: Path, files: Iterable[Path]) -> None:
        self.folder, self.files = folder, list(files)
        self._direct: dict[str, list[Path]] = {}
        self._below: dict[str, list[Path]] = {}
        for file in self.files:
            relative = file.relative_to(folder)
            if file.parent == folder:
                names = self._direct
            else:
                names = self._below
                for name in (relative.as_posix(), relative.with_suffix("").as_posix()):
                    self._direct.setdefault(normalize(name), []).append(file)
            for name in (file.name, file.stem):
                names.setdefault(normalize(name), []).append(file)

    @classmethod
    def scan(cls, folder: Path, *, below: bool = True) -> AudioFiles:
        """The files of a folder, and with `below` of its subfolders."""
        files = list_audio(folder)
        return cls(folder, files if below else [file for file in files if file.parent == folder])

    @property
    def names(self) -> list[str]:
        """Every name that a file is found by, without a path."""
        return [name for name in (*self._direct, *self._below) if "/" not in name]

    def find(self, name: str) -> Path | None:
        """The audio file of a track id: its name, with or without the extension; None without any.

        Raises
        ------
        Ambiguous
        """
        files = self.find_all(name)
        if len(files) > 1:
            shown = " and ".join(str(file.relative_to(self.folder)) for file in files[:2])
            more = f" and {len(files) - 2} more" if len(files) > 2 else ""
            raise Ambiguous(f"{name!r} is {shown}{more}")
        return files[0] if files else None

    def find_all(self, name: str) -> list[Path]:
        """The audio files of that name; those below the folder if the folder itself has none."""
        for names in (self._direct, self._below):
            if files := list(dict.fromkeys(names.get(normalize(name), ()))):
                return files
        return []


class PathFinder:
    """Paths as a table states them, whatever Unicode form or separator the table has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listings: dict[Path, dict[str, Path]] = {}

    def find(self, name: str) -> Path:
        """The path of a file below the folder, or as stated where there is no such file."""
        stated = self.folder / name
        if not name or stated.exists():
            return stated
        for spelled in dict.fromkeys((name, name.replace("\\", "/"))):
            found = self._walk(Path(spelled))
            if found is not None:
                return found
        return stated

    def _walk(self, relative: Path) -> Path | None:
        place = Path(relative.anchor) if relative.is_absolute() else self.folder
        parts = relative.parts[1:] if relative.is_absolute() else relative.parts
        for part in parts:
            step = place / part
            if not step.exists():
                listed = self._list(place).get(normalize(part))
                if listed is None:
                    return None
                step = listed
            place = step
        return place

    def _list(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listings:
            entries = folder.iterdir() if folder.is_dir() else ()
            self._listings[folder] = {normalize(entry.name): entry for entry in entries}
        return self._listings[folder]
