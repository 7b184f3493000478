# make demo    the whole path on the built-in data set: train, convert, benchmark, predict
# make test    lint, types and tests
# make web     a page on localhost that runs a .tflite; BUNDLE=DIR opens it with a bundle's model and images
# make test-web   that page in Chromium, with the bundles in BUNDLE (several: DIR:DIR)
# make test-android    the Android project's tests, its Kotlin compiled (fetched by npm; needs Java 17)
# make test-clients    the same files in MediaPipe, in the old tflite-runtime and, where it is, in Chromium
# make arm     what counting ARM instructions needs, in the cache folder (Debian or Ubuntu; 80 MB to fetch)
# All but the page's make .venv and install into it first; PYTHON chooses the interpreter.

PYTHON ?= python3
VENV ?= .venv
# MediaPipe and tflite-runtime (the newest has no wheel after Python 3.11) cannot be
# installed beside TensorFlow.
CLIENTS ?= .venv-clients
OLD_PYTHON ?= python3.11
DEMO := runs/demo
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
INT8 := $(DEMO)/mobilenet_v3_small_0.5_64_int8.tflite
FLOAT32 := $(DEMO)/mobilenet_v3_small_0.5_64_float32.tflite
KOTLIN_VERSION := 2.4.20
KOTLIN := build/kotlin/node_modules/kotlin-compiler/lib/kotlin-compiler.jar

.PHONY: demo test lint types unit arm web test-web test-android test-clients clean
.DELETE_ON_ERROR:

$(INSTALLED): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v[:2] <= (3, 13) and \
		f"error: Python must be 3.11, 3.12 or 3.13; name one with make PYTHON=python3.12. Received: {v[0]}.{v[1]}")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# Each step is a file, so a second call goes on where the first one stopped.
demo: $(DEMO)/latency.json $(DEMO)/confusion.png $(DEMO)/montage.png
	@echo
	@echo "The demo is complete. Look at:"
	@echo "  $(DEMO)/curves.png      accuracy and loss by epoch"
	@echo "  $(DEMO)/confusion.png   which shapes the int8 file takes for which"
	@echo "  $(DEMO)/montage.png     images with what the float and the int8 model say"
	@echo "  $(INT8:.tflite=.html)   the report of the int8 file"
	@echo "The file for a phone: $(INT8)"
	@echo "Next, your own images: $(RUN) train.py --version v3 --size small --dataset FOLDER"

$(DEMO)/model.keras: $(INSTALLED)
	rm -rf $(DEMO)
	$(RUN) train.py --version v3 --size small --alpha 0.5 --dataset shapes --epochs 8 \
		--batch-size 64 --output-dir $(DEMO)

$(INT8): $(DEMO)/model.keras
	$(RUN) convert_tflite.py --quantize int8 --model $(DEMO) --overwrite

$(FLOAT32): $(DEMO)/model.keras
	$(RUN) convert_tflite.py --quantize none --model $(DEMO) --overwrite

$(DEMO)/latency.json: $(INT8) $(FLOAT32)
	$(RUN) -m benchmarks.latency $(FLOAT32) $(INT8) --json $@ --overwrite

$(DEMO)/confusion.png: $(INT8)
	$(RUN) -m benchmarks.accuracy $(DEMO)/model.keras $(INT8) --confusion $@ --overwrite

$(DEMO)/images: $(DEMO)/model.keras
	$(RUN) -m mobilenet_tf.data.samples --dataset shapes --count 20 --output-dir $@

$(DEMO)/montage.png: $(INT8) $(FLOAT32) $(DEMO)/images
	$(RUN) -m mobilenet_tf.predict --model $(FLOAT32) --model $(INT8) --montage $@ --overwrite --top 2 \
		$(DEMO)/images

test: lint types unit

lint: $(INSTALLED)
	$(RUN) -m black --check --quiet .
	$(RUN) -m isort --check --quiet .
	$(RUN) -m flake8

types: $(INSTALLED)
	$(RUN) -m mypy

unit: $(INSTALLED)
	$(RUN) -m pytest -n 2

# Needs no root and installs nothing into the system; see docs/arm.md.
arm: $(INSTALLED)
	$(RUN) -m benchmarks.arm --setup

NODE_MODULES := web/node_modules/.package-lock.json

$(NODE_MODULES): web/package.json web/package-lock.json
	cd web && npm ci --no-fund --no-audit
	@touch $@

web:
	@command -v npm > /dev/null || { echo "error: the page needs Node.js 20 or newer, with npm" >&2; exit 1; }
	@$(MAKE) --no-print-directory $(NODE_MODULES)
	@node web/serve.mjs $(if $(PORT),--port $(PORT)) $(if $(BUNDLE),--bundle '$(BUNDLE)')

test-web:
	@if ! command -v npm > /dev/null; then echo "skipped: the page's tests need Node.js 20 or newer, with npm"; \
	else $(MAKE) --no-print-directory $(NODE_MODULES) && \
		BUNDLES='$(BUNDLE)' node --test --test-reporter=spec web/tests/*.test.mjs; fi

# The compiler is npm's package of JetBrains; where it cannot be had, its tests are skipped.
test-android: $(INSTALLED)
	@test -e $(KOTLIN) || npm install --prefix build/kotlin --ignore-scripts --no-audit --no-fund \
		--no-package-lock --silent kotlin-compiler@$(KOTLIN_VERSION) \
		|| echo "no Kotlin compiler, for want of npm or of a network: the app is not compiled" >&2
	$(RUN) -m pytest -rs tests/test_android_project.py tests/test_android_kotlin.py \
		tests/test_export_android.py

test-clients: $(INSTALLED) $(CLIENTS)/mediapipe/.installed $(CLIENTS)/tflite-runtime/.installed
	MOBILENET_TF_CLIENTS=$(abspath $(CLIENTS)) $(RUN) -m pytest -m clients

$(CLIENTS)/mediapipe/.installed:
	$(PYTHON) -m venv $(CLIENTS)/mediapipe
	$(CLIENTS)/mediapipe/bin/python -m pip install --quiet --disable-pip-version-check mediapipe==1.2.2
	@touch $@

$(CLIENTS)/tflite-runtime/.installed:
	$(OLD_PYTHON) -m venv $(CLIENTS)/tflite-runtime
	$(CLIENTS)/tflite-runtime/bin/python -m pip install --quiet --disable-pip-version-check \
		tflite-runtime==2.14.0 'numpy<2'
	@touch $@

clean:
	rm -rf $(VENV) $(CLIENTS) $(DEMO) web/node_modules build
