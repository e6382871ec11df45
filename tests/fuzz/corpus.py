"""Good files in every format that is read, one to three seconds each: what mutants come from."""

from __future__ import annotations

from pathlib import Path

import av
import soundfile

from tests.sounds import FORMATS, Sound, golden, write, write_av

RATE = 44_100
# Real recordings, where the project lies beside them.
ORIGINALS = Path(__file__).parents[3] / "shared" / "data" / "originals"
# FFmpeg's name of the codec and of the container, for what the service reads beside `FORMATS`.
BY_FFMPEG = {
    "aac": ("aac", "adts"),
    "alac.m4a": ("alac", "ipod"),
    "caf": ("pcm_s16le", "caf"),
    "w64": ("pcm_s16le", "w64"),
    "wma": ("wmav2", "asf"),
}
# The packets of one format in another one's container.
REMUXED = {"flac.ogg": "ogg", "flac.mkv": "matroska", "ogg.webm": "webm", "mp3.mkv": "matroska"}
SUBTYPES = {
    "float.wav": "FLOAT",
    "24.wav": "PCM_24",
    "ulaw.wav": "ULAW",
    "adpcm.wav": "IMA_ADPCM",
    "au": "PCM_16",
}
CUT_BYTES = 48_000  # three seconds of an MP3 of 128 kbit/s


def corpus(folder: Path, originals: Path | None = ORIGINALS) -> dict[str, bytes]:
    """Each file's content by `<format>:<what it sounds>`; the same order each time.

    Without the real recordings it is one synthesised chord, a second and a half long.
    """
    found: dict[str, bytes] = {}
    recordings = sorted(originals.iterdir()) if originals and originals.is_dir() else []
    for index, path in enumerate(recordings):
        seconds = 1 + index % 3
        sound = soundfile.read(path, seconds * RATE, dtype="float32", always_2d=True)[0]
        found |= _in_every_format(folder, path.stem, sound)
        found[f"{path.suffix[1:]}:{path.stem} as it is"] = path.read_bytes()[:CUT_BYTES]
    return found or _in_every_format(folder, "chord", golden(1.5))


def _in_every_format(folder: Path, name: str, sound: Sound) -> dict[str, bytes]:
    found = {}
    for kind in (*FORMATS, *BY_FFMPEG, *SUBTYPES):
        path = folder / f"{name}.{kind}"
        if kind in BY_FFMPEG:
            codec, container = BY_FFMPEG[kind]
            write_av(path, sound, RATE, codec, container)
        else:
            write(path, sound, RATE, SUBTYPES.get(kind))
        found[f"{kind}:{name}"] = path.read_bytes()
    # AMR is mono at 8 kHz; nobody listens to it, so that every fifth sample will do.
    path = write_av(
        folder / f"{name}.amr", sound[::5, :1], 8_000, "libopencore_amrnb", "amr", bit_rate=12_200
    )
    found[f"amr:{name}"] = path.read_bytes()
    for kind, container in REMUXED.items():
        path = _remux(folder / f"{name}.{kind.partition('.')[0]}", folder / kind, container)
        found[f"{kind}:{name}"] = path.read_bytes()
    return found


def _remux(source: Path, path: Path, container: str) -> Path:
    with av.open(str(source)) as packed, av.open(str(path), "w", format=container) as file:
        stream = file.add_stream_from_template(packed.streams.audio[0])
        for packet in packed.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                file.mux(packet)
    return path
