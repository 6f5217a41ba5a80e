# The few commands that a developer needs. `make help` lists them.

CARGO ?= cargo
# Most tests wait most of the time, for servers to start or lives to end.
TESTS_AT_ONCE ?= $(shell expr 2 '*' $$(nproc))

.DEFAULT_GOAL := help
.PHONY: help demo test judges lint audit bench bench-quick instructions bench-churn bench-changes bulk mutants overload schedule hostile soak catalogue replay

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## The sample shop on http://127.0.0.1:8080, with a Redis of its own (installs redis-server if missing)
	@.ci/install demo
	$(CARGO) run --release --locked -- demo

test: ## All checks and tests (installs their tools if missing)
	@.ci/install test
	$(MAKE) lint
	$(CARGO) test --locked -- --test-threads=$(TESTS_AT_ONCE)
	$(CARGO) test --locked --test it -- --ignored --test-threads=1 --skip five_times_what_redis_can_give --skip soak

judges: ## Programs of others judge the HTTP interface: redbot, schemathesis, spectral, cache tests, Varnish, nginx (docs/judges.md)
	@.ci/install judges
	SCHEMATHESIS_EXAMPLES=1000 $(CARGO) test --locked --test it -- --nocapture judges:: edge::

lint: ## Format, clippy with warnings as errors, licences and sources of the dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --locked --offline check bans licenses sources; \
	else echo "cargo-deny is not installed: licences and sources are not checked"; fi

audit: ## Known vulnerabilities among the dependencies (cargo-deny; asks the network)
	$(CARGO) deny --locked check

bench: ## listcache beside nginx, Varnish and bare Redis; writes docs/benchmarks.md (25 minutes; BENCH="--rows herd,trace" for some)
	@.ci/install bench
	$(CARGO) bench --locked --bench comparison -- $(BENCH)

bench-quick: ## The same, each row once and briefly; writes nothing (under two minutes once it is built)
	@.ci/install bench
	$(CARGO) bench --locked --bench comparison -- --quick

instructions: ## Instructions that a page in L1 takes, counted by callgrind; writes docs/benchmarks.md
	@.ci/install bench
	$(CARGO) bench --locked --bench comparison -- --instructions

mutants: ## Breaks the code in a copy, one mutation of tests/mutations at a time: a test must fail for each (15 minutes)
	@.ci/install test
	tests/mutations/run

overload: ## Five times the reads that Redis can answer, for 30 s, beside pages of L1 (optimised build)
	@.ci/install test
	OVERLOAD_SECONDS=30 $(CARGO) test --release --locked --test it -- --ignored --nocapture five_times_what_redis_can_give

schedule: ## 10,000 listings with lives of a minute, refreshed by two nodes, one of which is killed (takes some 8 min)
	@.ci/install test
	LISTINGS=10000 $(CARGO) test --locked --test it -- --ignored --nocapture schedule_at_scale

bench-churn: ## A year of price changes, 30,000 times faster: changes told, refreshes coalesced, everything flushed (53 minutes; CHURN="--days 7")
	@.ci/install test
	$(CARGO) bench --locked --bench churn -- $(CHURN)

bench-changes: ## Changes on a shop like OpenMage's: how soon they are shown, hits meanwhile, the cost of a publish (4 minutes once built)
	@.ci/install test
	$(CARGO) bench --locked --bench changes -- $(CHANGES)

bulk: ## A million items from PostgreSQL into one listing: speed and memory (needs some 3 GB; installs the tools of the tests)
	@.ci/install test
	$(CARGO) bench --locked --bench bulk

hostile: ## Ten minutes of attacks beside honest readers: sockets held, followers gone, log, names, cursors (HOSTILE_SECONDS=60 for less)
	@.ci/install test
	HOSTILE_SECONDS=$${HOSTILE_SECONDS:-600} $(CARGO) test --locked --test it -- --ignored --nocapture hostile

soak: ## An hour of faults around three nodes and a Redis, with walkers who check every item (SOAK_SECONDS=600 for less)
	@.ci/install test
	$(CARGO) test --locked --test it -- --ignored --nocapture soak

catalogue: ## 20,000 combinations of filters through five origins, a million by a crawler (optimised build; COMBINATIONS=2000 CRAWLED=100000 for less)
	@.ci/install test
	COMBINATIONS=$${COMBINATIONS:-20000} CRAWLED=$${CRAWLED:-1000000} $(CARGO) test --release --locked --test it -- --nocapture --test-threads=1 filters::catalogue filters::crawler

replay: ## A year of price changes by API, outbox and webhooks: each listing is right after each hour (optimised build; REPLAY_DAYS=7 for less)
	@.ci/install test
	REPLAY_DAYS=$${REPLAY_DAYS:-365} $(CARGO) test --release --locked --test it -- --nocapture --test-threads=1 changing::replay
