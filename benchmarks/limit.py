"""Upper bound for a server on this machine: `python -m benchmarks.limit PORT`.

One process per core with one connection at a time reads the upload from the socket, hashes it,
decodes it and runs the model. The service's distance from it is what HTTP and the service cost.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import socket
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.wire import LENGTH
from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.bundle import read
from models.card import AudioInput
from models.malloc import keep_freed_memory
from service.inference.precision import choose_graph

BUNDLE = Path(__file__).parents[1] / "models" / "cf-estimator"
BUFFER = 1 << 18
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Embedder:
    """Decoding and session as in the service, on one core."""

    def __init__(self) -> None:
        bundle = read(BUNDLE)
        self.audio: AudioInput = bundle.card.audio
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        content = bundle.graph_bytes(choose_graph(bundle, "auto", False, options))
        self.session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def embed(self, path: Path) -> list[np.ndarray]:
        windows = read_windows(path, self.audio, WindowChoice())
        answers: list[np.ndarray] = self.session.run(
            ["embedding", "features"], {"waveform": windows.samples}
        )
        return answers


def serve(listener: socket.socket) -> None:
    keep_freed_memory()  # as the service's decoders do
    embedder, buffer = Embedder(), bytearray(BUFFER)
    while True:
        connection, _ = listener.accept()
        with connection:
            while _answer(connection, embedder, buffer):
                pass


def _answer(connection: socket.socket, embedder: Embedder, buffer: bytearray) -> bool:
    """Answer one request; False if the client has disconnected."""
    view = memoryview(buffer)
    begin = b""
    while b"\r\n\r\n" not in begin:
        count = connection.recv_into(buffer)
        if not count:
            return False
        begin += view[:count]
    head, _, body = begin.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    if length:
        _receive_and_embed(connection, embedder, body, int(length[1]), view)
    connection.sendall(DONE)
    return True


def _receive_and_embed(
    connection: socket.socket, embedder: Embedder, body: bytes, size: int, view: memoryview
) -> None:
    digest, file = hashlib.sha256(body), os.memfd_create("limit")
    try:
        os.write(file, body)
        missing = size - len(body)
        while missing:
            count = connection.recv_into(view)
            digest.update(view[:count])
            os.write(file, view[:count])
            missing -= count
        embedder.embed(Path(f"/proc/self/fd/{file}"))
        digest.hexdigest()
    finally:
        os.close(file)


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    context = multiprocessing.get_context("fork")  # no thread has started yet
    workers = [
        context.Process(target=serve, args=(listener,), daemon=True)
        for _ in os.sched_getaffinity(0)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
