# The service alone: no torch, no training. With a GPU:
#   docker build --build-arg BASE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 -t tasteprint:gpu .
ARG BASE=python:3.12-slim
FROM ${BASE}

# CUDA's images bring no Python; python:slim brings its own. libgomp is onnxruntime's.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && (command -v python3 || apt-get install --yes --no-install-recommends python3 python3-venv) \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
RUN python3 -m venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# Dependencies first, so that a change of code leaves this layer as it is.
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
    && pip install --no-cache-dir --requirement requirements.txt

COPY . .
RUN pip install --no-cache-dir --no-deps . \
    && rm -rf build *.egg-info
WORKDIR /

RUN useradd --system --no-create-home --shell /usr/sbin/nologin tasteprint
USER tasteprint

# Every address, as Docker's forwarding asks: `docker run` needs TASTEPRINT_API_KEYS, or to be told
# TASTEPRINT_ALLOW_ANYONE=true, as docker-compose.yml does behind the host's loopback.
ENV TASTEPRINT_HOST=0.0.0.0 TASTEPRINT_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=12s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['TASTEPRINT_PORT']}/readyz\", timeout=11)"]
CMD ["tasteprint-serve"]
