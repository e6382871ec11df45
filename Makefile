# The two commands: `make serve` and `make test`. The other targets train or measure models and the service.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Training: the data, and where the stages write. One run per fold and width.
DATA ?= ../shared/data
GPU := $(shell nvidia-smi -L 2>/dev/null | head -1)
WIDTH ?= $(if $(GPU),128,32)
TRAIN := $(BIN)/tasteprint-train
LOGS := $(DATA)/lastfm-hetrec2011/user_artists.csv
FOLD ?= 0
SHARED := runs/model
RUN ?= $(SHARED)/fold$(FOLD)-width$(WIDTH)

.PHONY: serve test train-install format bench fuzz fuzz-upload model network musicnn linear heads transfer leaderboard docs image redis nginx chromium java page-pictures clean

serve: $(VENV)/serve.done
	@$(BIN)/tasteprint-serve

test: $(VENV)/all.done redis nginx chromium java
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

train-install: $(VENV)/all.done

format: $(VENV)/all.done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Benchmarks, twenty minutes; `ONLY=start` runs one, `ONLY=overload-10min` the long one.
bench: $(VENV)/all.done .venv-bench/done
	$(PIP) --editable '.[train,dev,bench]'
	$(BIN)/python -m benchmarks $(addprefix --only ,$(ONLY)) $(if $(MINUTES),--minutes $(MINUTES))

# The servers that ours is compared with, with the same decoding and graph.
.venv-bench/done: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[rivals]'
	@touch $@

# N mutants of real files through real decoders; resumes where the last run of the seed ended.
N ?= 20000
SEED ?= 0
fuzz: $(VENV)/all.done
	$(BIN)/python -m tests.fuzz $(N) --seed $(SEED)

# Coverage-guided fuzzing of the upload parser, for SECONDS. Atheris has wheels for CPython on x86-64 Linux.
SECONDS ?= 300
fuzz-upload: $(VENV)/all.done
	$(PIP) --editable '.[train,dev,fuzz]'
	$(BIN)/python -m tests.fuzz.upload -max_total_time=$(SECONDS) -seed=$(SEED)

# Measured on real recordings, since renderings do not represent recorded music.
QUANTIZE = $(TRAIN) quantize --data training/heard_data.json \
	--audio $(DATA)/emotify/audio --audio $(DATA)/gtzan-mini/audio

# MusiCNN's published weights, from the package index, as two bundles.
MUSICNN := runs/musicnn/musicnn-0.1.0-py3-none-any.whl
musicnn: $(VENV)/all.done $(MUSICNN)
	$(TRAIN) musicnn --wheel $(MUSICNN) --weights msd --out models/musicnn-msd
	$(TRAIN) musicnn --wheel $(MUSICNN) --weights mtt --on-demand --out models/musicnn-mtt
	$(QUANTIZE) --bundle models/musicnn-msd --precision int8
	$(TRAIN) spectrogram --bundle models/musicnn-msd

$(MUSICNN): | $(BIN)/python
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps \
		--dest $(@D) musicnn==0.1.0

# A linear map from MusiCNN's features to item factors, `cf-estimator` or `cf-estimator-large`: judged on five folds of
# artists, recordings and renderings apart, then fitted on all. `make musicnn` first. Two hours on two cores, most of it
# rendering.
NAME ?= cf-estimator
LINEAR := runs/linear
LARGE := $(filter %-large,$(NAME))
PATCHES := $(if $(LARGE),--patches 10 --patch-s 3,--patches 3 --patch-s $(if $(filter cf-estimator,$(NAME)),1,3))
JOIN := --item-column artist_id
define SETS
	$(TRAIN) prepare --manifest $(DATA)/mood-recordings/tracks.csv --audio $(DATA)/mood-recordings/audio \
		$(JOIN) --artist-column artist $(2) --out $(LINEAR)/$(1)/recordings
	$(TRAIN) prepare --manifest $(DATA)/midi-excerpts/tracks.csv --audio $(SHARED)/audio \
		$(JOIN) --artist-column artist $(2) --out $(LINEAR)/$(1)/renderings
endef
AS_SETS = --prepared $(LINEAR)/$(1)/recordings --prepared $(LINEAR)/$(1)/renderings
FACTORIZE := $(TRAIN) factorize --logs $(LOGS) $(JOIN) --regularization 40
FIT = $(TRAIN) linear-estimator --per-set --logs $(LOGS) $(JOIN) $(PATCHES) $(call AS_SETS,$(NAME)) \
	--data training/linear_data.json
linear: $(VENV)/all.done
	$(TRAIN) render --midi $(DATA)/midi-excerpts/midi.tar.xz --out $(SHARED)/audio
	$(call SETS,whole)
	$(call SETS,$(NAME),--encoder musicnn $(PATCHES))
	$(call SETS,musicnn,--encoder musicnn)
	set -e; for fold in 0 1 2 3 4; do run=$(LINEAR)/fold$$fold; \
		$(TRAIN) split $(call AS_SETS,whole) --fold $$fold --out $$run/split.csv; \
		$(FACTORIZE) --split $$run/split.csv --out $$run/factors; \
		$(FIT) --split $$run/split.csv --factors $$run/factors --out $$run/$(NAME); \
		$(TRAIN) evaluate --bundle $$run/$(NAME) --split $$run/split.csv --factors $$run/factors \
			--logs $(LOGS) $(JOIN) $(call AS_SETS,whole) $(call AS_SETS,$(NAME)) $(call AS_SETS,musicnn) \
			--encoder models/musicnn-msd --out $$run/evaluation-$(NAME); done
	$(TRAIN) evaluation-summary $(foreach fold,0 1 2 3 4,--evaluation $(LINEAR)/fold$(fold)/evaluation-$(NAME)) \
		--out $(LINEAR)/evaluation-$(NAME)
	$(FACTORIZE) --out $(LINEAR)/factors
	$(FIT) --factors $(LINEAR)/factors --evaluation $(LINEAR)/evaluation-$(NAME) \
		$(if $(LARGE),--on-demand) --out models/$(NAME)
	set -e; for precision in $(if $(LARGE),,int8 float16); do \
		$(QUANTIZE) --bundle models/$(NAME) --precision $$precision; done
	$(if $(LARGE),,$(TRAIN) spectrogram --bundle models/$(NAME))

# A model of your songs and plays, models/MODEL; by default of the shared recordings, whose artists
# cf-estimator has heard, so that it is left out.
SONGS ?= $(DATA)/mood-recordings/audio
PLAYS ?= $(LOGS)
CATALOGUE ?= $(if $(filter $(DATA)/%,$(SONGS)),$(DATA)/mood-recordings/tracks.csv)
MODEL ?= mine
model: $(VENV)/all.done
	$(TRAIN) mine --songs $(SONGS) --plays $(PLAYS) $(if $(CATALOGUE),--catalogue $(CATALOGUE)) --name $(MODEL) \
		$(if $(filter $(DATA)/%,$(SONGS)),--encoder models/musicnn-msd) $(MINE)

# The paper's network on the same clips, its features also on MusiCNN's; `make linear` first, which prepares them.
NETWORK ?= models/cf-estimator-paper
network: $(VENV)/all.done
	$(TRAIN) estimator $(call AS_SETS,whole) --balance --factors $(LINEAR)/fold$(FOLD)/factors \
		--split $(LINEAR)/fold$(FOLD)/split.csv --out $(RUN)/estimator --width $(WIDTH) --crop-s 7.5 --max-epochs 0 \
		--max-steps 1500 --validation-steps 100 --patience 8 --cosine-schedule --precision bf16-mixed \
		--teacher models/musicnn-msd --teacher-prepared $(LINEAR)/musicnn/recordings \
		--teacher-prepared $(LINEAR)/musicnn/renderings
	$(TRAIN) evaluate --run $(RUN)/estimator $(call AS_SETS,whole) --factors $(LINEAR)/fold$(FOLD)/factors \
		--logs $(LOGS) $(JOIN) --out $(RUN)/evaluation
	$(TRAIN) export --run $(RUN)/estimator --prepared $(LINEAR)/whole/recordings --factors $(LINEAR)/fold$(FOLD)/factors \
		--evaluation $(RUN)/evaluation --data training/linear_data.json --on-demand --out $(NETWORK)

# The shipped heads: `make musicnn` first. Whole windows are for the baseline on mel statistics and for probes on
# cf-estimator-paper, patches for probes on musicnn-msd. An hour on two cores.
HEADS := runs/heads
define HEAD
	$(TRAIN) dataset $(1) --data $(DATA)/$(2) --out $(HEADS)/whole/$(1)
	$(TRAIN) dataset $(1) --data $(DATA)/$(2) --teacher models/musicnn-msd --out $(HEADS)/patches/$(1)
	$(TRAIN) probe --task $(HEADS)/patches/$(1) --encoder models/musicnn-msd $(5) --kind $(3) \
		--source features,mean_pool,features+mel_statistics,mean_pool+mel_statistics,embedding \
		--baseline-task $(HEADS)/whole/$(1) --results $(HEADS)/results --card-version 2.0.0 --out models/$(4)
endef
# Not for moods: cf-estimator-paper has heard the same artists, with their factors as targets.
ON_CF = --task $(HEADS)/whole/$(1) --encoder models/cf-estimator-paper
heads: $(VENV)/all.done
	$(call HEAD,emotify-genre,emotify,logistic$(COMMA)rbf-svm,genre,$(call ON_CF,emotify-genre))
	$(call HEAD,emotify-gems,emotify,ridge$(COMMA)rbf-svm,emotion,$(call ON_CF,emotify-gems))
	$(call HEAD,esc10,esc10,logistic$(COMMA)rbf-svm,sounds,$(call ON_CF,esc10))
	$(call HEAD,mood-quadrant,mood-recordings,logistic$(COMMA)rbf-svm,mood)
	$(TRAIN) dataset artist-tags --data $(DATA) --out $(HEADS)/whole/artist-tags
	$(TRAIN) dataset artist-tags --data $(DATA) --teacher models/musicnn-msd --out $(HEADS)/patches/artist-tags
	$(TRAIN) calibrate-tags --task $(HEADS)/patches/artist-tags --encoder models/musicnn-msd \
		--baseline-task $(HEADS)/whole/artist-tags --out models/tags
COMMA := ,

# Small tasks by the transfer methods. First `make linear NAME=cf-linear`, whose encoder of each fold teaches, and
# `make network NETWORK=$(SHARED)/fold0/cf-estimator-paper FOLD=0`, and so on for the other folds, for `init`. Hours on two
# cores; resumable.
TASKS := emotify-genre:emotify gtzan-mini:gtzan-mini mood-quadrant:mood-recordings mood-cluster:mood-recordings esc10:esc10
COMPARED := runs/compare
COMPARE = $(TRAIN) compare --out $(COMPARED) --encoder cf-estimator --folds 0,1,2 --seeds 0 --batch-size 8 --crop-s 7.5 \
	--max-steps 1000 --validation-steps 50 --patience 8 --cosine-schedule --precision bf16-mixed \
	--workers $(if $(GPU),1,$(shell nproc)) --teacher '$(LINEAR)/fold{fold}/cf-linear' \
	--init '$(SHARED)/fold{fold}/cf-estimator-paper' --methods base,init,kd
transfer: $(VENV)/all.done
	set -e; for task in $(TASKS); do name=$${task%%:*}; data=$(DATA)/$${task#*:}; \
		$(TRAIN) dataset $$name --data $$data --out $(HEADS)/whole/$$name; \
		$(TRAIN) dataset $$name --data $$data --teacher models/musicnn-msd --out $(HEADS)/patches/$$name; \
		$(COMPARE) --task $(HEADS)/whole/$$name --teacher-task $(HEADS)/patches/$$name; done
	$(TRAIN) report --results $(COMPARED) --out docs/transfer
	$(TRAIN) ship --task $(HEADS)/whole/emotify-genre --teacher models/cf-linear \
		--teacher-task $(HEADS)/patches/emotify-genre --results $(COMPARED) --method kd --on-demand \
		--card-version 2.0.0 --out models/genre-kd

# Every shipped encoder on every task, and what it costs: `make heads` and `make linear` first, for both of its names. Judges
# what has no result yet; half an hour on two cores.
BOARD := emotify-genre emotify-gems gtzan-mini mood-quadrant mood-cluster esc10
leaderboard: $(VENV)/all.done
	$(TRAIN) leaderboard $(foreach task,$(BOARD),--task $(HEADS)/whole/$(task)) --recordings $(LINEAR)/whole/recordings \
		--factors '$(LINEAR)/fold{fold}/factors' --split '$(LINEAR)/fold{fold}/split.csv' --logs $(LOGS) $(JOIN) \
		--workers $(shell nproc) --out runs/leaderboard \
		--keep docs/leaderboard/figures.json --page docs/leaderboard.md

# The documentation as a site in build/docs/html; a warning, a dead link or a file of another host fails it.
docs: $(VENV)/all.done
	$(BIN)/python -m docs.site --out build/docs

# The Dockerfile's steps, followed in fresh roots without a Docker engine, and the sizes of its layers: `TARGET=cuda` for GPUs.
# Needs root.
image: $(VENV)/all.done
	@command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; }
	$(BIN)/python -m tests.deployment.follow --base runs/image/debian --out runs/image $(addprefix --target ,$(TARGET))

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The service only: no torch.
$(VENV)/serve.done: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

# The client is a distribution of its own, in its folder and on no index.
$(VENV)/all.done: pyproject.toml client/pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[train,dev]' --editable client
	@touch $@ $(VENV)/serve.done

# A real Redis for the tests, installed from Debian's packages if possible.
redis:
	@command -v redis-server >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server; } \
	|| { echo "The tests need redis-server: sudo apt-get install redis-server"; exit 1; }

# A real nginx for the tests of a proxy, which are skipped without it.
nginx:
	@command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light; } \
	|| echo "Tests behind nginx are skipped: sudo apt-get install nginx-light"

# A real browser for the tests of the page.
chromium:
	@command -v chromium >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
	|| echo "Tests of the page are skipped: sudo apt-get install chromium"

# The pictures of the page in the README and docs, by the tests that look at it.
page-pictures: $(VENV)/all.done chromium
	$(BIN)/pytest tests/service/page/test_pictures.py --pictures docs/figures

# Java for the tests of Spark, which are skipped without it.
java:
	@command -v java >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends default-jre-headless; } \
	|| echo "Tests of Spark are skipped: sudo apt-get install default-jre-headless"

clean:
	rm -rf $(VENV) .venv-bench runs build *.egg-info
