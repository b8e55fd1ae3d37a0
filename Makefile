# Everything here needs Python 3.11 or newer, make, and a package index: `make serve`, `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EQUALS := tests/equals/.venv
NODE := tests/browser/node_modules

VERSION = $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' app/version.py)

# Everything here starts Python many times: compiled anew each time, it takes half as long again, and a first training three times.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help serve key test test-thorough check style types types-of-tests generated types-of-page openapi pictures screenshots vega test-browser test-clients test-equals abuse fuzz soak bench profile hooks
.PHONY: lock image release clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1#\2/p' $(MAKEFILE_LIST) | awk -F'#' '{printf "make %-13s %s\n", $$1, $$2}'

serve: $(VENV)/.runtime ## run the service; CRITERION_PORT=9000 make serve, and so on, change its settings
	$(BIN)/python -m app

key: $(VENV)/.runtime ## make an API key: make key NAME=ci SCOPES=evaluate,train [EXPIRES=2027-01-31T00:00:00Z] [KEYS_FILE=keys.json]
	@$(BIN)/python -m app.serving.keys '$(NAME)' '$(SCOPES)' $(if $(EXPIRES),--expires '$(EXPIRES)') $(if $(KEYS_FILE),--file '$(KEYS_FILE)')

test: $(VENV)/.dev ## run the tests; make test ARGS="tests/api -k errors" some of them, ARGS=--cov with what they reach
	$(BIN)/python -m pytest $(ARGS)

test-thorough: $(VENV)/.dev ## run what `make test` leaves out: every loss under every setting, and what takes long
	$(BIN)/python -m pytest -m thorough $(ARGS)

check: style types types-of-tests generated types-of-page ## lint, format, types (of JavaScript too where node is), and whether files that are generated are what the code says

style: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

types-of-tests: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python --project tests/pyrightconfig.json

generated: $(VENV)/.dev
	$(BIN)/python -m app.api.openapi --check
	$(BIN)/python -m app.api.vega --check
	$(BIN)/python -m docs.losses --check

types-of-page:
	if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(NODE)/.installed && $(NODE)/.bin/tsc -p tests/browser; fi

openapi: $(VENV)/.dev ## write openapi/, the answers in it, docs/settings.md and docs/losses.md anew
	$(BIN)/python -m app.api.openapi
	$(BIN)/python -m app.settings > docs/settings.md
	$(BIN)/python -m docs.losses

screenshots: $(VENV)/.dev ## take the README's pictures of the page anew; needs Chromium
	$(BIN)/python -m docs.screenshots

vega: $(VENV)/.dev ## write what draws the page's charts anew, after vl-convert has changed
	$(BIN)/python -m app.api.vega

pictures: $(VENV)/.dev ## draw the pictures of the README and the docs anew
	$(BIN)/python -m docs.pictures

test-browser: $(VENV)/.dev $(NODE)/.installed ## use the pages in a real Chromium (which comes by apt where it is missing)
	@test -x /usr/bin/chromium || (apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >/dev/null)
	$(BIN)/python -m pytest tests/browser $(ARGS)

test-clients: $(VENV)/.dev ## call a server by clients generated in four ways, and by programs in eight languages (missing ones come by apt)
	$(BIN)/python -m tests.clients

test-equals: $(VENV)/.runtime $(EQUALS)/.installed ## run every call that a loss says it equals in its library; ARGS="torch huber" some of them
	PYTHONPATH=. $(EQUALS)/bin/python -m tests.equals $(ARGS)

abuse: $(VENV)/.dev ## attack a real server: Linux, Java 17, an otherwise idle machine
	@command -v haproxy >/dev/null || (apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends haproxy >/dev/null)
	$(BIN)/python -m pytest tests/abuse -n 0 $(ARGS)

fuzz: $(VENV)/.dev ## bend bodies and look how each decoder reads them; make fuzz ARGS="100000 csv npz", or ARGS="--guided 1000000 json" (Python 3.12)
	@case '$(ARGS)' in *--guided*) $(UV) $(EXTRA) $(BIN)/uv pip install $(LOCKED) -r tests/wire/requirements.lock;; esac
	$(BIN)/python -m tests.wire.fuzzed $(ARGS)

soak: $(VENV)/.dev ## twice what the server has time for, each answer checked; make soak SECONDS=300
	$(BIN)/python -m tests.abuse.soak $(or $(SECONDS),60) $(ARGS)

bench: $(VENV)/.dev ## measure
	$(BIN)/python -m bench $(ARGS)

profile: $(VENV)/.dev ## where a request's time goes; make profile ARGS=8x3-binary
	$(BIN)/python -m bench.profile $(ARGS)

hooks: $(VENV)/.dev ## let git run `make check` before each commit
	$(BIN)/pre-commit install

lock: $(BIN)/uv ## write the lock files from pyproject.toml; make lock ARGS=--upgrade takes newer versions
	@$(COMPILE) --extra server -o requirements.lock
	@$(COMPILE) --extra evaluation --constraints requirements.lock -o requirements-evaluation.lock
	@echo 'uv>=0.9' | $(subst pyproject.toml,-,$(COMPILE)) -o requirements-build.lock
	@echo 'atheris>=3' | $(subst pyproject.toml,-,$(COMPILE)) -o tests/wire/requirements.lock
	@echo 'cyclonedx-bom>=7.3' | $(subst pyproject.toml,-,$(COMPILE)) -o requirements-sbom.lock
	@$(COMPILE) --extra server --extra client --extra data --extra onnx --group dev --constraints requirements.lock -o requirements-dev.lock

image: ## build the container's images, under the name of this release: all of it, and evaluation only (a third of the size)
	docker build --build-arg VERSION=$(VERSION) --tag criterion:$(VERSION) --tag criterion .
	docker build --build-arg VERSION=$(VERSION) --build-arg ONLY=-evaluation --tag criterion:$(VERSION)-evaluation .

release: $(VENV)/.dev ## tag this release and build its image: all is committed, and the changelog has its day
	@git diff --quiet HEAD || { echo "commit first" >&2; exit 1; }
	@grep -q '^## \[$(VERSION)\] - [0-9]' CHANGELOG.md || { echo "CHANGELOG.md has no day for $(VERSION)" >&2; exit 1; }
	$(MAKE) check test
	git tag --annotate v$(VERSION) --message "Criterion $(VERSION)"
	$(MAKE) image

clean: ## remove .venv and every cache
	rm -rf $(VENV) $(EQUALS) $(NODE) .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: made when it is missing, changed when a lock has changed

$(VENV)/.runtime: requirements.lock | $(BIN)/uv
	@echo "installing $<"
	@$(UV) $(EXTRA) $(BIN)/uv pip install $(LOCKED) -r $< || $(BIN)/python -m pip install $(LOCKED) -r $<
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(BIN)/uv
	@echo "installing $<"
	@$(UV) $(EXTRA) $(BIN)/uv pip sync $(LOCKED) $< || $(BIN)/python -m pip install $(LOCKED) -r $<
	@touch $@

# the page's types, and what looks for barriers in it
$(NODE)/.installed: tests/browser/package-lock.json
	@echo "installing $<"
	@npm ci --silent --no-audit --no-fund --prefix tests/browser
	@touch $@

# PyTorch, JAX, Keras and the like, in an environment of their own
$(EQUALS)/.installed: tests/equals/requirements.txt | $(BIN)/uv
	@echo "installing $<"
	@test -d $(EQUALS) || $(PYTHON) -m venv $(EQUALS)
	@$(subst VIRTUAL_ENV=$(VENV),VIRTUAL_ENV=$(EQUALS),$(UV)) $(EXTRA) $(BIN)/uv pip install --quiet -r $< \
	  || $(EQUALS)/bin/python -m pip install --quiet -r $<
	@touch $@

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-build.lock

# uv does not read pip's settings: what pip is told about indexes is handed on to it. A locked hash may come from any of
# them. Where uv cannot reach an index as pip is set up to (a proxy, a certificate, a password), pip does it, slowly.
SAYS = $$($(BIN)/pip config list | sed -n "s/\\\\n/ /g; s/^[^=]*\.$(1)='\(.*\)'$$/\1/p" | head -n 1)
UV = VIRTUAL_ENV=$(VENV) UV_SYSTEM_CERTS=$${UV_SYSTEM_CERTS:-1} UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$(call SAYS,index-url)}"
EXTRA = UV_INDEX_STRATEGY=unsafe-best-match UV_INDEX="$${UV_INDEX:-$(call SAYS,extra-index-url)}"
LOCKED = --quiet --require-hashes
# the lock comes from the main index alone: an extra one may hold the wheels of one platform only
COMPILE = $(UV) $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
  --custom-compile-command "make lock" $(ARGS) pyproject.toml
