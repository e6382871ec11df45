"""A bare FastAPI endpoint that receives and hashes an upload: `uvicorn benchmarks.bare:app`."""

from __future__ import annotations

import hashlib

from fastapi import FastAPI, Request, UploadFile

CHUNK = 1 << 20

app = FastAPI()


@app.post("/multipart")
async def multipart(file: UploadFile) -> dict[str, str]:
    digest = hashlib.sha256()
    while chunk := await file.read(CHUNK):
        digest.update(chunk)
    return {"sha256": digest.hexdigest()}


@app.post("/raw")
async def raw(request: Request) -> dict[str, str]:
    digest = hashlib.sha256()
    async for chunk in request.stream():
        digest.update(chunk)
    return {"sha256": digest.hexdigest()}
