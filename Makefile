# make check: linters, types, import rules, spelling, Go vet.   make test: every test.
# make test-hostile: hostile input, and fuzzing.   make bench: measurements.
VENV ?= .venv
PYTHON = $(VENV)/bin/python -P
GO = $(PYTHON) scripts/go.py
TESTS ?= tests
FUZZ_SECONDS ?= 60

.PHONY: env check test test-fast test-go test-hostile bench clean

env:
	@scripts/environment $(VENV) dev

check: env
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy scripts bench
	$(PYTHON) -c 'from importlinter.cli import lint_imports_command as main; main()' --no-cache
	$(PYTHON) -c 'import sys; from codespell_lib import _script_main as main; sys.exit(main())' $$(git ls-files)
	$(PYTHON) scripts/gofmt.py
	for program in init daemons service containerd; do $(GO) guest/$$program vet ./... || exit; done

test: env test-go
	$(PYTHON) -m pytest -m 'not matrix' $(TESTS)

# without the tests that fetch packages or boot machines
test-fast: env test-go
	$(PYTHON) -m pytest -m 'not net and not boot and not slow and not matrix' $(TESTS)

# hostile images, servers, locks, caches and disks, then a minute of each fuzz target
test-hostile: env
	$(PYTHON) -m pytest -m hostile $(TESTS)
	PYTHONPATH=. $(PYTHON) -m tests.fuzz --seconds $(FUZZ_SECONDS)

test-go: env
	$(GO) guest/init test ./...
	$(GO) guest/daemons test ./...
	$(GO) guest/service test ./...

bench: env
	$(PYTHON) bench/run.py

clean:
	rm -rf $(VENV) $(VENV).lock build dist src/hullkit/_guest
