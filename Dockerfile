# 3.13 is the newest Python for which every locked library has a wheel (pysimdjson is what holds it back)
# by digest, where a build is to be the same for ever: --build-arg PYTHON=python:3.13-slim@sha256:...
ARG PYTHON=python:3.13-slim
# --build-arg ONLY=-evaluation: no training, statistics or charts, and less than half the size (205 MB)
ARG ONLY=
FROM ${PYTHON} AS build
ARG ONLY
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends binutils >/dev/null
WORKDIR /srv
COPY requirements${ONLY}.lock requirements-build.lock requirements-sbom.lock ./
RUN pip install --no-cache-dir --quiet --require-hashes -r requirements-build.lock
RUN uv venv --quiet .venv \
 && uv pip install --no-cache --quiet --require-hashes -r requirements${ONLY}.lock \
 && find .venv -type d -name tests -prune -exec rm -rf {} + \
 # what debuggers and compilers would need is 60 MB; libraries that wheels bring along were moved about and must stay as they are
 && find .venv -name '*.so' ! -path '*.libs/*' -exec strip --strip-debug {} + \
 && find .venv \( -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -name '*.hpp' -o -name '*.pyx' -o -name '*.pxd' \) -delete
# what is in the image, with licences and hashes, for whoever looks for a library that has a hole
RUN uv venv --quiet /sbom \
 && uv pip install --no-cache --quiet --python /sbom --require-hashes -r requirements-sbom.lock \
 && /sbom/bin/cyclonedx-py environment --output-reproducible --of JSON -o sbom.cdx.json .venv
COPY app app
# nothing can be written when the service runs, bytecode neither
RUN python -m compileall -q -j 0 .venv app

FROM ${PYTHON}
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="criterion" \
      org.opencontainers.image.description="Loss functions over HTTP" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      sbom="/srv/sbom.cdx.json"
WORKDIR /srv
ENV PATH=/srv/.venv/bin:$PATH \
    CRITERION_HOST=0.0.0.0 \
    CRITERION_PORT=8000 \
    CRITERION_DATA_DIR=/var/lib/criterion
COPY --from=build /srv/.venv .venv
COPY --from=build /srv/sbom.cdx.json .
COPY --from=build /srv/app app
# the base image has no bytecode of the standard library: compile what the service uses of it, and see that it loads
RUN python -c "import app.main, sqlite3, urllib.request; app.main.create_app()"
# what jobs keep: a volume, since all else cannot be written
RUN install -d -o 10001 -g 10001 /var/lib/criterion
VOLUME /var/lib/criterion
RUN printf '#!/bin/sh\ncd /srv && exec python -m app "$@"\n' > /usr/local/bin/criterion && chmod 755 /usr/local/bin/criterion
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=1s \
    CMD python -c "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:$CRITERION_PORT/health/live')"
CMD ["python", "-m", "app"]
