# syntax=docker/dockerfile:1.7
# The server: API, MCP tools and command line. Everything Python is pinned by constraints.txt. For a build that can be
# repeated to the byte, pass the base with its digest: --build-arg PYTHON=python:3.11.11-slim-bookworm@sha256:...
ARG PYTHON=python:3.11.11-slim-bookworm

FROM ${PYTHON} AS build
# torch without CUDA: embedding a few sentences needs no GPU, and the image is about 4 GB smaller.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/convrec
WORKDIR /source
COPY . .
RUN /opt/convrec/bin/pip install --extra-index-url "${TORCH_INDEX}" --constraint constraints.txt \
    ".[app,mcp,otel,served-llm,postgres,redis,demo]"

FROM ${PYTHON}
RUN groupadd --gid 10001 convrec \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin convrec \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data /data/home /data/cache /data/chroma
COPY --from=build /opt/convrec /opt/convrec
ENV PATH=/opt/convrec/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ANONYMIZED_TELEMETRY=False \
    CONVREC_HOME=/data/home \
    CONVREC_CACHE=/data/cache
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME ["/data/home", "/data/cache"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["convrec"]
# Without a key of `convrec keys create` it refuses to listen on an address that others can reach.
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
