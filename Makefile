# Trunkline: a click on a web page rings a telephone.
#
#   make run    set up, build, start the whole system on this machine, make one call, stay up
#   make test   set up, build, test everything
#
# Both install the Debian packages they need (scripts/set-up says which) and explain themselves
# if they cannot. A Rust toolchain is the one prerequisite.

.PHONY: help run demo test test-programs test-browser test-line test-desktop test-loom test-isdn-random lint fuzz bench-media bench-voice bench-scale bench-directory bench-instructions

help:
	@sed -n '3,4p' Makefile | sed 's/^# *//'
	@echo 'make demo   both embodiments of the patent and Fig. 9, exit status 0 if all speech arrived intact'
	@echo 'make test-browser   calls from within the page, in headless Chromium'
	@echo 'make test-line   the line against the real DAHDI driver, in a guest of QEMU'
	@echo 'make test-desktop   the telephone program in its window, with microphone and loudspeaker'
	@echo 'make fuzz   every parser, coverage-guided, one minute each'
	@echo 'make test-isdn-random   twenty thousand random sequences of calls on a primary rate interface'
	@echo 'make bench-media   the media plane against rtpengine and a bare relay (root, quiet machine)'
	@echo 'make bench-voice   speech from twenty bad networks, beside SpeexDSP and NetEQ (10 minutes)'
	@echo 'make bench-scale   16 E1 full of calls, 50 attempts a second for ten minutes'
	@echo 'make bench-directory   the directory beside NSD, Knot and PowerDNS on the same numbers (10 minutes)'
	@echo 'make bench-instructions   instructions of the hot functions against a baseline (ACCEPT=1 writes it anew)'

run:
	@scripts/set-up run
	cargo build --release --workspace --bins
	@exec target/release/trunkline-demo run

demo:
	@scripts/set-up run
	cargo build --release --workspace --bins
	target/release/trunkline-demo check

test: lint test-programs test-loom

lint:
	@scripts/set-up test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# Every crate by itself, then the programs together against software that nobody here wrote (the
# tests of demo/). One set of packages, so that nothing is built twice.
test-programs: target/pesq/ready
	@scripts/set-up test
	cargo build --workspace --bins --tests
	PESQ_PYTHON=$(CURDIR)/target/pesq/bin/python cargo test --workspace --bins --lib --tests --no-fail-fast
	cargo test --workspace --doc

# Every interleaving of the two threads of what is shared without a lock: the jitter buffer, the
# rings and the port table that the kernel has its hands in too.
test-loom:
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p trunkline-rtp --test loom_jitter
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p trunkline-xdp --lib

# A click in a real browser, and a telephone that rings and talks: from within the page. One test at a
# time, since speech is judged. PICTURES=$PWD/web/pictures writes the README's pictures anew.
test-browser: target/pesq/ready test-desktop
	@scripts/set-up browser
	cargo build --workspace --bins
	PESQ_PYTHON=$(CURDIR)/target/pesq/bin/python \
		cargo test -p trunkline-demo --test browser -- --test-threads 1

# The real DAHDI driver, in Debian's kernel in QEMU: every request that is made of it, the gateway on
# it, and libpri on it as the gateway's far end.
test-line:
	@scripts/test-line

# The telephone program on a desktop: its window on a screen without a graphics card, its sound on a
# sound server whose devices other programs play into and record from, started by hand and by clicks
# in Chromium and Firefox.
test-desktop:
	@scripts/set-up desktop
	cargo build -p trunkline-phone -p trunkline-web
	cargo test -p trunkline-phone --test desktop -- --ignored --test-threads=1

# Requests of both sides of an interface in any order over a line that loses frames, twenty thousand
# sequences; `make test` tries 128.
test-isdn-random:
	SEQUENCES=20000 cargo test -p trunkline-isdn --lib nothing_is_left_over

# PESQ (ITU-T P.862) scores the speech in the tests; it is not part of the product.
target/pesq/ready: scripts/pesq-requirements.txt
	@scripts/set-up test
	python3 -m venv target/pesq
	target/pesq/bin/pip install --quiet --disable-pip-version-check -r scripts/pesq-requirements.txt
	touch $@

fuzz:
	@scripts/set-up run
	scripts/fuzz

# The same load through every relay; RESULTS.md and media.svg are written anew. For a try:
#   target/release/trunkline-bench-media --short
bench-media:
	@scripts/set-up bench
	cargo build --release -p trunkline-bench --bins
	target/release/trunkline-bench-media --capacity --out bench
	target/release/trunkline-bench-media --point 500x50 --codec-a pcma --codec-b pcmu --out bench/pcma-pcmu
	target/release/trunkline-bench-media --point 50x50 --codec-a pcma --codec-b opus --out bench/pcma-opus
	target/release/trunkline-bench-media --point 500x50 --relay rtpengine --relay rtpengine-srtp \
		--relay mio --relay mio-srtp --relay af-xdp --relay af-xdp-srtp --relay af-xdp-gcm \
		--out bench/srtp
	target/release/trunkline-bench-timeslots --out bench/timeslots.md

# Speech over twenty bad networks, scored by PESQ, in virtual time; voice.md and voice.svg are written
# anew. Fails if our playout is not as good as it shall be. Other networks, other recordings:
#   PESQ_PYTHON=target/pesq/bin/python target/release/trunkline-bench-voice --short --seeds 4,5 --speech 2
bench-voice: target/pesq/ready
	@scripts/set-up voice
	@scripts/voice-peers target/voice
	cargo build --release -p trunkline-bench --bin trunkline-bench-voice
	PESQ_PYTHON=target/pesq/bin/python target/release/trunkline-bench-voice --out bench

# Every B channel of 16 E1 in calls for ten minutes, 50 attempts a second; bench/scale.md is written
# anew. Fails if a frame is lost, a channel stuck, or a call without its record. For a try:
#   target/release/trunkline-bench-scale --spans 2 --calls-per-s 6 --seconds 30
bench-scale:
	@scripts/set-up bench
	cargo build --release -p trunkline-gateway -p trunkline-bench --bin trunkline-gateway \
		--bin trunkline-exchange --bin trunkline-bench-scale
	target/release/trunkline-bench-scale --out bench/scale.md

# The directory and general name servers under the same queries; bench/directory.md is written anew.
# For a try: target/release/trunkline-bench-directory --short
bench-directory:
	@scripts/set-up directory
	cargo build --release -p trunkline-directory --bins --example udp_echo
	cargo build --release -p trunkline-bench --bin trunkline-bench-directory
	target/release/trunkline-bench-directory --out bench

# What each hot function of the media plane costs, counted by valgrind: the same on every run, so
# that a small growth is seen. Fails with the functions that have grown beyond bench/instructions.yaml.
bench-instructions:
	@scripts/set-up instructions
	cargo bench --quiet -p trunkline-bench --bench instructions -- $(if $(ACCEPT),--accept)
