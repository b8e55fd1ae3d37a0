# 3.13 is the newest Python for which every locked library has a wheel (pysimdjson is what holds it back)
FROM python:3.13-slim AS build
WORKDIR /srv
RUN pip install --no-cache-dir --quiet 'uv>=0.9'
COPY requirements.lock .
RUN uv venv --quiet .venv \
 && uv pip install --no-cache --quiet --require-hashes -r requirements.lock \
 && find .venv -type d -name tests -prune -exec rm -rf {} +
COPY app app
# nothing can be written when the service runs, bytecode neither
RUN python -m compileall -q -j 0 .venv app

FROM python:3.13-slim
WORKDIR /srv
# as in the Makefile: fewer page faults; what else the service needs it sets itself
ENV PATH=/srv/.venv/bin:$PATH \
    CRITERION_HOST=0.0.0.0 \
    CRITERION_PORT=8000 \
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1
COPY --from=build /srv/.venv .venv
COPY --from=build /srv/app app
# the base image has no bytecode of the standard library: compile what the service uses of it, and see that it loads
RUN python -c "import app.main, urllib.request; app.main.create_app()"
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=1s \
    CMD python -c "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:$CRITERION_PORT/health/live')"
CMD ["python", "-m", "app.main"]
