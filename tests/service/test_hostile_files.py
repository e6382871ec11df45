"""Files that refer to other files or machines: nothing is accessed, and each has its answer."""

from __future__ import annotations

import io
import socket
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mp4 import box, replaced
from tests.running import Service
from tests.sounds import golden, write, write_av

FAR = "http://127.0.0.1:{port}/song.mp3"


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """What a file may name; a connection to it would lie in its queue."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file that the service's user may read: to hear it would be to have followed a name."""
    return write(tmp_path_factory.mktemp("near") / "near.wav", golden(3.0, 16_000, 1), 16_000)


def playlist(target: str) -> bytes:
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10.0,\n"
    return f"{head}{target}\n#EXT-X-ENDLIST\n".encode()


def keyed_playlist(target: str) -> bytes:
    key = f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXT-X-TARGETDURATION:10\n'
    return f"{key}#EXTINF:10.0,\n{target}\n#EXT-X-ENDLIST\n".encode()


def plain_playlist(target: str) -> bytes:
    return f"{target}\n".encode()


def pls(target: str) -> bytes:
    return f"[playlist]\nNumberOfEntries=1\nFile1={target}\nLength1=-1\nVersion=2\n".encode()


def concat_protocol(target: str) -> bytes:
    return playlist(f"concat:{target}|{target}")


def subfile_protocol(target: str) -> bytes:
    return playlist(f"subfile,,start,0,end,0,,:{target}")


def ffconcat(target: str) -> bytes:
    return f"ffconcat version 1.0\nfile '{target}'\nduration 10\n".encode()


def cue(target: str) -> bytes:
    return f'FILE "{target}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n'.encode()


def dash(target: str) -> bytes:
    return f"""<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT10S"
     profiles="urn:mpeg:dash:profile:isoff-main:2011"><BaseURL>{target}</BaseURL><Period>
<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1"><SegmentList duration="10">
<SegmentURL media="{target}"/></SegmentList></Representation></AdaptationSet></Period></MPD>
""".encode()


def xml_entity(target: str) -> bytes:
    document = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "{target}">]>'
    return f"{document}<svg xmlns='http://www.w3.org/2000/svg'><text>&e;</text></svg>".encode()


def svg(target: str) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{target}"/></svg>'.encode()


def sdp(target: str) -> bytes:
    port = target.rpartition(":")[2].partition("/")[0] if target.startswith("http") else "5004"
    return f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n".encode()


def asx(target: str) -> bytes:
    return f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>'.encode()


def asf_reference(target: str) -> bytes:
    return f"[Reference]\nRef1={target}\n".encode()


def archive(target: str) -> bytes:
    """A symbolic link to the target in a tar in a zip."""
    inner, outer = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        link = tarfile.TarInfo("song.mp3")
        link.type, link.linkname = tarfile.SYMTYPE, target
        tar.addfile(link)
    with zipfile.ZipFile(outer, "w") as packed:
        packed.writestr("song.mp3", inner.getvalue())
    return outer.getvalue()


TEXTS: tuple[Callable[[str], bytes], ...] = (
    *(playlist, keyed_playlist, plain_playlist, pls, concat_protocol, subfile_protocol, ffconcat),
    *(cue, dash, xml_entity, svg, sdp, asx, asf_reference, archive),
)


def targets(near: Path, listener: socket.socket) -> list[str]:
    port = listener.getsockname()[1]
    return [FAR.format(port=port), f"file://{near}", str(near), "file:///etc/passwd"]


def assert_not_reached(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("made", TEXTS, ids=lambda made: made.__name__)
def test_a_file_that_names_others_is_no_audio(
    service: Service, near: Path, listener: socket.socket, made: Callable[[str], bytes]
) -> None:
    for target in targets(near, listener):
        response = service.embed(made(target))
        assert response.status_code == 415, response.text
        assert response.json()["type"] == "urn:tasteprint:not-audio"
        assert target not in response.text
    assert_not_reached(listener)


def with_data_reference(mp4: bytes, kind: bytes, target: str) -> bytes:
    """The file with its samples said to lie elsewhere: another `dref` in its only track."""
    place = alias(target) if kind == b"alis" else target.encode() + b"\0"
    elsewhere = box(kind, bytes(4), place)  # no flag: not in this file
    reference = box(b"dref", bytes(4), struct.pack(">I", 1), elsewhere)
    return replaced(mp4, [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"], reference)


def alias(target: str) -> bytes:
    """A QuickTime alias record as `alis` holds it: fields of the Macintosh's, then the path."""
    path = target.encode()
    record = struct.pack(">HH", 18, len(path)) + path + b"\0" * (len(path) % 2)
    return bytes(150) + record + struct.pack(">HH", 0xFFFF, 0)


@pytest.mark.parametrize("kind", [b"url ", b"urn ", b"alis"])
def test_an_mp4_that_refers_to_other_files_reaches_nothing(
    service: Service, near: Path, listener: socket.socket, tmp_path: Path, kind: bytes
) -> None:
    """FFmpeg reads what is here in their place, as it does not open such references."""
    made = write_av(tmp_path / "near.m4a", golden(2.0, seed=5), 44_100, "aac", "ipod").read_bytes()
    for target in targets(near, listener):
        reference = with_data_reference(made, kind, target)
        assert reference != made
        response = service.embed(reference)
        assert response.status_code in {200, 415, 422}, response.text
        if response.status_code == 200:
            assert response.json()["audio"]["codec"] == "aac"  # not the near one's
    assert_not_reached(listener)


def test_a_playlist_inside_a_container_is_not_opened(
    service: Service, near: Path, listener: socket.socket, tmp_path: Path
) -> None:
    for kind in ("mp3", "m4a"):
        good = write(tmp_path / f"good.{kind}", golden(2.0, seed=6)).read_bytes()
        for made in (playlist, ffconcat):
            for target in targets(near, listener)[:2]:
                hidden = made(target)
                response = service.embed(hidden + good)
                assert response.status_code < 500
                response = service.embed(good[:64] + hidden + good[64 + len(hidden) :])
                assert response.status_code < 500
    assert_not_reached(listener)


def test_a_name_that_is_a_path_or_a_url_is_not_opened(
    service: Service, near: Path, listener: socket.socket
) -> None:
    for target in (*targets(near, listener), "../../etc/passwd", "|true", f"concat:{near}"):
        files = {"file": (target, b"no audio", "audio/wav")}
        response = service.http.post("/embed", files=files)
        assert response.status_code == 415
    assert_not_reached(listener)
