"""Names of audio files: which of the files beside each other is the song.

A name does not stand for one file: `song.flac` has lyrics, subtitles, features and pictures of the
same name beside it. What ends as audio does is the song. Names are compared in one Unicode form, as
macOS writes accents apart from their letters (NFD).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TypeVar

Name = TypeVar("Name", bound=PurePath)

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


def may_be_audio(path: PurePath) -> bool:
    """Whether a file's name does not say that it is something else; hidden files do."""
    return path.suffix.lower() not in NOT_AUDIO and not path.name.startswith(".")


def list_audio(folder: Path) -> list[Path]:
    """Files at any depth that may be audio, sorted; nothing in hidden folders."""
    found = [
        file
        for file in sorted(folder.rglob("*"))
        if may_be_audio(file)
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    return choose_songs(found)


def choose_songs(files: Sequence[Name]) -> list[Name]:
    """Those that are songs: a file of an unknown kind beside audio of the same name is not."""
    songs = {_key(file) for file in files if file.suffix.lower() in SUFFIXES}
    return [file for file in files if file.suffix.lower() in SUFFIXES or _key(file) not in songs]


def _key(file: PurePath) -> str:
    return normalize(str(file.with_suffix("")))


def normalize(name: str) -> str:
    """A name in Unicode form C, in which most programs write."""
    return unicodedata.normalize("NFC", name)
