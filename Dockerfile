# The search server, without torch: on a bundle, and by deploy/compose.yaml also on a registry, with the ingest beside it.
#
#   docker build -t croquis .
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/models/bundles/siamese:/bundle:ro" -v croquis-changes:/changes croquis
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_WAIT_POLICY=passive \
    OMP_NUM_THREADS=1

# A lock of locks/; deploy/compose.yaml takes `platform`, with what the registry, the ingest and the store need.
ARG LOCK=runtime
WORKDIR /build
COPY locks locks
# setuptools, which builds the package, of the lock too: pip would fetch the newest one.
RUN sed -n '/^setuptools==/,/^    --hash=.*[^\\]$/p' locks/pipeline.txt > build.txt \
    && pip install --no-cache-dir --require-hashes -r "locks/$LOCK.txt" -r build.txt
COPY . .
RUN pip install --no-cache-dir --no-build-isolation --no-deps . && rm -rf /build/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin croquis \
    && mkdir /changes /backup && chown croquis /changes /backup

WORKDIR /
USER 10001
VOLUME ["/bundle", "/changes"]
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["croquis", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--bundle", "/bundle", "--changes", "/changes"]
