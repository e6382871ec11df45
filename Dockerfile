# The service alone: no torch, no training.
#   docker build --tag tasteprint .                        on CPUs
#   docker build --target cuda --tag tasteprint:gpu .      on NVIDIA GPUs
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS dependencies
WORKDIR /src
# Without pip: the base image's installs into this environment, which is all that is copied.
RUN python3 -m venv --without-pip /venv

# Dependencies first, so that a change of code leaves these layers as they are. onnxruntime apart,
# as its wheel for GPUs has ten times the size of the one for CPUs.
COPY pyproject.toml ./
RUN python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > all.txt \
    && grep --invert-match ^onnxruntime all.txt > requirements.txt \
    && grep ^onnxruntime-gpu all.txt | cut -d';' -f1 | sed 's/-gpu//' > cpu.txt \
    && grep ^onnxruntime-gpu all.txt | cut -d';' -f1 | sed 's/-gpu/-gpu[cuda,cudnn]/' > cuda.txt
RUN pip --python /venv/bin/python install --no-cache-dir --requirement requirements.txt

FROM dependencies AS dependencies-cpu
RUN pip --python /venv/bin/python install --no-cache-dir --requirement cpu.txt

# CUDA and cuDNN from NVIDIA's wheels; the driver comes with the host.
FROM dependencies AS dependencies-cuda
RUN pip --python /venv/bin/python install --no-cache-dir --requirement cuda.txt

FROM dependencies AS application
COPY . .
RUN pip --python /venv/bin/python install --no-cache-dir --no-deps --prefix=/application .

FROM python:${PYTHON}-slim AS runtime
RUN useradd --no-create-home --shell /usr/sbin/nologin --uid 10001 tasteprint
USER 10001
# Every address, as the forwarding of ports asks: `docker run` needs TASTEPRINT_API_KEYS, or to be
# told TASTEPRINT_ALLOW_ANYONE=true, as docker-compose.yml does behind the host's loopback.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    TASTEPRINT_HOST=0.0.0.0 TASTEPRINT_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=12s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['TASTEPRINT_PORT']}/readyz\", timeout=11)"]
CMD ["tasteprint-serve"]

FROM runtime AS cuda
# Read by the NVIDIA container toolkit, which brings the driver's libraries in.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=dependencies-cuda /venv /venv
COPY --from=application /application /venv

# Last, so that it is built where no target is named.
FROM runtime AS cpu
COPY --from=dependencies-cpu /venv /venv
COPY --from=application /application /venv
