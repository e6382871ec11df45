"""File type by its first bytes: what a file is that no decoder here reads.

Many kinds of file begin like audio: RIFF also holds pictures, films and MIDI, an MP4 may be a
photograph. A file of such a kind is complete, and sending it again does not help.
"""

from __future__ import annotations

from typing import NamedTuple

from models.audio.containers.riff import AUDIO_FORMS

CONVERT = "convert it to a format that is read: ffmpeg -i INPUT OUTPUT.flac"
RENDER = "render it to audio with a synthesizer, as WAV or FLAC"
SEND_AUDIO = "send an audio file: MP3, FLAC, Ogg Vorbis, Opus, M4A/AAC, WAV, AIFF or WebM"
EXTRACT = "extract its sound: ffmpeg -i INPUT -vn OUTPUT.flac"


class FileType(NamedTuple):
    """Name of a kind of file, with its article, and what to do with it."""

    name: str
    remedy: str


# The four bytes after the size of a RIFF or FORM chunk.
FORMS = {
    b"WEBP": FileType("a WebP picture", SEND_AUDIO),
    b"AVI ": FileType("an AVI film", EXTRACT),
    b"AMV ": FileType("an AMV film", EXTRACT),
    b"RMID": FileType("a MIDI file in RIFF", RENDER),
    b"ACON": FileType("an animated cursor", SEND_AUDIO),
    b"sfbk": FileType("a SoundFont", SEND_AUDIO),
    b"DLS ": FileType("a collection of DLS instruments", SEND_AUDIO),
    b"CDXA": FileType("a film of a video CD", EXTRACT),
    b"CDDA": FileType("a track list of a CD", SEND_AUDIO),
    b"PAL ": FileType("a colour palette", SEND_AUDIO),
    b"RDIB": FileType("a bitmap in RIFF", SEND_AUDIO),
    b"XWMA": FileType("an xWMA file", CONVERT),
    b"QLCM": FileType("a QCP file", CONVERT),
    b"ILBM": FileType("an ILBM picture", SEND_AUDIO),
    b"PBM ": FileType("an IFF picture", SEND_AUDIO),
    b"ANIM": FileType("an IFF animation", SEND_AUDIO),
    b"8SVX": FileType("an 8SVX file", CONVERT),
    b"16SV": FileType("a 16SV file", CONVERT),
    b"SMUS": FileType("a score in IFF", RENDER),
    b"XDIR": FileType("an XMIDI file", RENDER),
    b"DJVU": FileType("a DjVu document", SEND_AUDIO),
    b"DJVM": FileType("a DjVu document", SEND_AUDIO),
    b"MAUD": FileType("a MAUD file", CONVERT),
}
# The major brand of an MP4's `ftyp`.
BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "a HEIC picture"),
    **dict.fromkeys((b"mif1", b"msf1"), "a HEIF picture"),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF picture"),
    b"crx ": "a Canon raw picture",
    b"jp2 ": "a JPEG 2000 picture",
    b"jpx ": "a JPEG 2000 picture",
    b"jxl ": "a JPEG XL picture",
}
# What a file begins with.
STARTS = {
    b"wvpk": FileType("a WavPack file", CONVERT),
    b"MAC ": FileType("a Monkey's Audio file", CONVERT),
    b"TTA1": FileType("a TTA file", CONVERT),
    b"TTA2": FileType("a TTA file", CONVERT),
    b"MPCK": FileType("a Musepack file", CONVERT),
    b"MP+": FileType("a Musepack file", CONVERT),
    b"tBaK": FileType("a TAK file", CONVERT),
    b"DSD ": FileType("a DSF file", CONVERT),
    b"FRM8": FileType("a DSDIFF file", CONVERT),
    b"#!AMR_MC": FileType("an AMR file of several channels", CONVERT),
    b"#!AMR-WB_MC": FileType("an AMR file of several channels", CONVERT),
    b"Creative Voice File": FileType("a VOC file", CONVERT),
    b"\x0b\x77": FileType("an AC-3 file", CONVERT),
    b"\x7f\xfe\x80\x01": FileType("a DTS file", CONVERT),
    b"\xfe\x7f\x01\x80": FileType("a DTS file", CONVERT),
    b".RMF": FileType("a RealMedia file", CONVERT),
    b".ra\xfd": FileType("a RealAudio file", CONVERT),
    b"FLV\x01": FileType("a Flash film", EXTRACT),
    b"\x00\x00\x01\xba": FileType("an MPEG film", EXTRACT),
    b"MThd": FileType("a MIDI file", RENDER),
    b"Extended Module": FileType("an XM module", RENDER),
    b"IMPM": FileType("an IT module", RENDER),
    b"\x89PNG": FileType("a PNG picture", SEND_AUDIO),
    b"\xff\xd8\xff": FileType("a JPEG picture", SEND_AUDIO),
    b"GIF8": FileType("a GIF picture", SEND_AUDIO),
    b"%PDF": FileType("a PDF document", SEND_AUDIO),
    b"PK\x03\x04": FileType("a ZIP archive", SEND_AUDIO),
    b"\x1f\x8b": FileType("a gzip archive", SEND_AUDIO),
    b"Rar!": FileType("a RAR archive", SEND_AUDIO),
    b"7z\xbc\xaf": FileType("a 7z archive", SEND_AUDIO),
}
TS_PACKET_BYTES, TS_SYNC = 188, 0x47
HEAD_BYTES = TS_PACKET_BYTES + 1


def other_type(head: bytes) -> FileType | None:
    """The type of a file that is not read, by its first `HEAD_BYTES`; None if it is not known."""
    if head[:4] in (b"RIFF", b"RIFX", b"FORM") and head[8:12] not in AUDIO_FORMS:
        return FORMS.get(head[8:12]) or _unknown_form(head)
    if head[4:8] == b"ftyp" and (name := BRANDS.get(head[8:12])):
        return FileType(name, SEND_AUDIO)
    if len(head) == HEAD_BYTES and head[0] == head[TS_PACKET_BYTES] == TS_SYNC:
        return FileType("an MPEG transport stream", EXTRACT)
    return next((kind for start, kind in STARTS.items() if head.startswith(start)), None)


def _unknown_form(head: bytes) -> FileType | None:
    """A RIFF or FORM file of another kind, if the kind is given; None for a file cut before it."""
    if len(head) < 12:
        return None
    kind = head[8:12].decode("ascii", "replace").strip()
    return FileType(f"a {head[:4].decode()} file of the kind {kind!r}", SEND_AUDIO)
