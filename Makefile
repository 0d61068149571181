# convlab. `make run` answers config.yaml; `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
STUDY ?= config.yaml
# Names of files may have any characters; what the user gives is taken as it is and quoted for the shell.
quoted = '$(subst ','\'',$(1))'
# A misspelt variable, or a study that is named without STUDY=, would run config.yaml instead, and one that is not there would be
# told after all is installed. Names with _ are mostly meant for the environment; what another make hands on is its own.
set_here = $(filter command,$(origin $(1)))
ifeq ($(MAKELEVEL),0)
known = $(findstring _,$(1))$(shell grep -E '[(,](value )?'$(call quoted,$(1))'[),]' $(MAKEFILE_LIST))
$(foreach name,$(.VARIABLES),$(if $(call set_here,$(name)),$(if $(call known,$(name)),,$(error make knows no variable \
  $(name); make help and README.md name those that there are, and one for the environment stands before make))))
missing = $(shell test -e $(call quoted,$(value STUDY)) || printf %s $(call quoted,$(value STUDY)))
$(if $(call set_here,STUDY),$(if $(call missing),$(error $(call missing) does not exist; name a study's config file: STUDY=<file>)))
studies = $(filter %.yaml %.yml,$(MAKECMDGOALS))
$(if $(studies),$(error a study is named so: make $(or $(filter-out $(studies),$(MAKECMDGOALS)),run) STUDY=$(firstword $(studies))))
endif
# Of what is asked for by 1, 0 means no, and a word that nobody knows neither.
$(foreach name,GPU DATA MODELS RERUN BUSY ALL DELETE UNEXPIRED,$(if $(call set_here,$(name)),$(if $(filter-out \
  0 1,$(value $(name))),$(error $(name) should be 1 or 0, not $(value $(name))))))
override GPU := $(filter-out 0,$(GPU))
override BUSY := $(filter-out 0,$(BUSY))
override STUDY := $(value STUDY)
# A name that begins with a dash is no option.
STUDY_FILE := $(if $(filter -%,$(firstword $(STUDY))),./)$(STUDY)
# What Keras computes with instead of TensorFlow, which is not installed then: make run BACKEND=jax, or torch, for studies
# that say so. One that compares backends needs each of them: make install BACKEND=tensorflow, make install BACKEND=jax.
BACKEND ?=
# `make run GPU=1` installs TensorFlow with CUDA instead of the CPU build. The two overwrite each other's files, so
# that an environment with CUDA keeps it; without GPU=1 no GPU is used all the same.
FOUND := $(patsubst $(VENV)/.installed-%,%,$(wildcard $(addprefix $(VENV)/.installed-,cpu gpu jax torch)))
BUILD := $(if $(GPU)$(filter gpu,$(FOUND)),gpu,cpu)
ifeq ($(GPU)$(BACKEND)$(BUILD),gpu)
export CUDA_VISIBLE_DEVICES ?= -1
endif
# Where `make serve` listens, and which model it serves if the study has several datasets.
PORT ?= 8080
DATASET ?=
# What `make export` converts with: PyTorch where it is asked for, or is there without TensorFlow; else TensorFlow.
CONVERTER := $(if $(filter torch,$(or $(BACKEND),$(if $(GPU)$(filter cpu gpu,$(FOUND)),,$(FOUND)))),torch,$(BUILD))
# Several small runs side by side on each GPU.
RUNS_PER_GPU ?= 1
# `make deploy` installs AWS' SDK only for studies that go there.
ON_AWS = $(shell grep -Esqz 'target.?:[[:space:]]*.?sagemaker' $(call quoted,$(STUDY_FILE)) && echo yes)
# More for Snakemake, e.g. make run ARGS="--forcerun report", or for make bench.
ARGS ?=
# The image that those of containers/ begin with, if it is not Python's own; tests/base_image.sh makes one without a registry.
BASE ?=
# What builds images: docker, or podman where that alone is there.
ENGINE ?= $(if $(shell command -v docker),docker,$(if $(shell command -v podman),podman,docker))

BIN := $(VENV)/bin
GPUS = $(shell nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | grep -c .)
# Progress bars in a terminal, lines elsewhere.
PROFILE := $(shell test -t 2 && echo default || echo log)
SNAKEMAKE = $(BIN)/snakemake --workflow-profile profiles/$(PROFILE) --cores $(CORES) $(if $(GPU),--resources gpu=$$(($(GPUS) * $(RUNS_PER_GPU))))
GPU_RUNS = $(if $(GPU), --gpu-runs $$(($(GPUS) * $(RUNS_PER_GPU))))
# Whole files, in the order of tests/conftest.py.
PYTEST = $(BIN)/pytest -n $(CORES) --dist loadfile --no-loadscope-reorder
# What is wrong with a config in one sentence, or what it asks for in one line, before Snakemake starts.
CHECK = $(BIN)/python scripts/plan.py --brief --cores $(CORES)$(GPU_RUNS)
# This machine's speed is measured where it is not known; not with ARGS, which may ask Snakemake for something else than a study.
MEASURE = $(if $(value ARGS),,--measure)
# Snakemake again for each planned look of a study, once for a study with fixed seeds.
LOOKS = $(BIN)/python scripts/settle.py
INSTALL := requirements/install.sh

# Python of .venv is started as it is, whatever the shell says; scripts see to it themselves when they are run by hand.
unexport PYTHONPATH PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONWARNINGS PYTHONHOME PYTHONINSPECT

.PHONY: help run settle demo quick plan register diff index peek timing usage data-card notebook archive verify export serve deploy deploy-plan teardown test test-fast test-slurm test-kills test-containers lint format lock schema \
  docs messages example bench calibrate image install clean clean-runs

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

$(VENV)/.installed-$(BUILD): requirements/$(BUILD).txt
	$(INSTALL) $(VENV) $(PYTHON) requirements/$(BUILD).txt
	@touch $@

$(VENV)/.installed-deploy: $(VENV)/.installed-$(CONVERTER) requirements/deploy.txt
	$(INSTALL) $(VENV) $(PYTHON) requirements/deploy.txt
	@touch $@

$(VENV)/.installed-sagemaker: $(VENV)/.installed-deploy requirements/sagemaker.txt
	$(INSTALL) $(VENV) $(PYTHON) requirements/sagemaker.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-$(BUILD) $(VENV)/.installed-deploy requirements/dev.txt
	$(INSTALL) $(VENV) $(PYTHON) requirements/dev.txt
	@touch $@

$(VENV)/.installed-cluster: requirements/cluster.txt $(VENV)/.installed-$(BUILD)
	$(INSTALL) $(VENV) $(PYTHON) requirements/cluster.txt
	@touch $@

$(addprefix $(VENV)/.installed-,jax torch): $(VENV)/.installed-%: requirements/%.txt
	$(INSTALL) $(VENV) $(PYTHON) $<
	@touch $@

# Commands that name neither keep up to date what is there, and install TensorFlow where nothing is.
install: $(addprefix $(VENV)/.installed-,$(or $(filter-out tensorflow,$(BACKEND)),$(if $(BACKEND)$(GPU),$(BUILD)),$(if $(filter gpu,$(FOUND)),$(filter-out cpu,$(FOUND)),$(FOUND)),$(BUILD)))  ## make .venv with the pinned dependencies (GPU=1 for CUDA, BACKEND=jax or torch)

# CHECK prints notes about the study; Snakemake then leaves them out.
run settle quick demo timing data-card export deploy: export CONVLAB_NOTES := printed

run: install  ## run a study to its report (STUDY=studies/x.yaml, CORES=n, GPU=1)
	@$(CHECK) $(MEASURE) $(call quoted,$(STUDY_FILE))
	$(LOOKS) --may-pause $(call quoted,$(STUDY_FILE)) -- $(SNAKEMAKE) --configfile $(call quoted,$(STUDY_FILE)) $(ARGS)

settle: install  ## go on with a study's planned looks until everything is settled or the plan ends
	@$(CHECK) $(MEASURE) $(call quoted,$(STUDY_FILE))
	$(LOOKS) $(call quoted,$(STUDY_FILE)) -- $(SNAKEMAKE) --configfile $(call quoted,$(STUDY_FILE)) $(ARGS)

quick: install  ## a first look at a study: fewer images and epochs, two seeds
	@study=$(call quoted,$(STUDY_FILE)); quick="results/quick/$${study##*/}"; \
	  $(BIN)/python scripts/quick.py "$$study" --output "$$quick"; \
	  $(CHECK) $(MEASURE) "$$quick"; \
	  $(SNAKEMAKE) --configfile "$$quick" $(ARGS)

plan: install  ## check a study and print its variants, costs and number of runs, before anything runs
	@$(BIN)/python scripts/plan.py $(call quoted,$(STUDY_FILE)) --cores $(CORES)$(GPU_RUNS) --measure

register: install  ## fix what is confirmatory before any run, and print its hash; later compare (HASH=published)
	@$(BIN)/python scripts/register.py $(call quoted,$(STUDY_FILE)) $(if $(value HASH),--verify $(call quoted,$(value HASH)))

diff: install  ## what changed between two studies or states (A=, B=); without them since STUDY's last state
	@$(BIN)/python scripts/diff.py $(call quoted,$(if $(value A),$(value A),$(STUDY_FILE))) $(if $(value B),$(call quoted,$(value B)))

peek: install  ## a study while it runs: its runs so far on validation images, and no verdicts
	@$(BIN)/python scripts/peek.py $(call quoted,$(STUDY_FILE)) --cores $(CORES)

index: install  ## the page that lists all studies of results/ with their verdicts: results/index.html
	@$(BIN)/python scripts/index.py

timing: install  ## time a study's variants side by side, alone on this machine (VARIANTS="a b", ROUNDS=5, BUSY=1)
	@$(CHECK) $(call quoted,$(STUDY_FILE))
	$(SNAKEMAKE) --until prepare --configfile $(call quoted,$(STUDY_FILE)) $(ARGS)
	@$(BIN)/python scripts/timing.py $(call quoted,$(STUDY_FILE)) $(if $(ROUNDS),--rounds $(call quoted,$(ROUNDS))) \
	  $(if $(BUSY),--busy) $(if $(VARIANTS),--variants $(VARIANTS))
	@echo "make run STUDY=... writes them into the report; it trains nothing for that"

usage: install  ## what the jobs of a study that has run took: time and memory, for a cluster's limits
	@$(BIN)/python scripts/resource_usage.py $(call quoted,$(STUDY_FILE))

demo: install  ## the whole suite on scikit-learn's digits, offline
	@$(CHECK) $(MEASURE) studies/demo.yaml
	$(SNAKEMAKE) --configfile studies/demo.yaml $(ARGS)

data-card: install  ## Croissant metadata of a study's prepared datasets, beside their arrays (DATASET=name)
	@$(CHECK) $(call quoted,$(STUDY_FILE))
	$(SNAKEMAKE) --until prepare --configfile $(call quoted,$(STUDY_FILE)) $(ARGS)
	@$(BIN)/python scripts/data_card.py $(call quoted,$(STUDY_FILE)) $(if $(value DATASET),$(call quoted,$(value DATASET)))

notebook: install  ## a finished study as one Jupyter notebook without convlab, with its data (DATASET=name)
	@$(BIN)/python scripts/notebook.py $(call quoted,$(STUDY_FILE)) $(if $(value DATASET),$(call quoted,$(value DATASET)))

archive: install  ## a finished study as one zip to cite, check and run again (ARCHIVE=file, DATA=1, MODELS=0, LICENCE=CC-BY-4.0, URL=doi)
	@$(BIN)/python scripts/archive.py $(call quoted,$(STUDY_FILE)) $(if $(value ARCHIVE),--output=$(call quoted,$(value ARCHIVE))) \
	  $(if $(filter 1,$(DATA)),--data) $(if $(filter 0,$(MODELS)),--without-models) \
	  $(if $(value LICENCE),--licence=$(call quoted,$(value LICENCE))) $(if $(value URL),--url=$(call quoted,$(value URL)))

verify: $(if $(filter 1,$(RERUN)),install)  ## check an archive, zip or folder (ARCHIVE=, SHA256=published, AGAINST=results/study, RERUN=1)
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) scripts/verify.py \
	  $(if $(value SHA256),--sha256=$(call quoted,$(value SHA256))) $(if $(value AGAINST),--against=$(call quoted,$(value AGAINST))) \
	  $(if $(filter 1,$(RERUN)),--rerun --cores $(CORES)) -- $(call quoted,$(or $(value ARCHIVE),$(error verify needs an archive: make verify ARCHIVE=study.zip)))

export: $(VENV)/.installed-deploy  ## the chosen model as Keras, SavedModel and ONNX files, with a model card
	@$(CHECK) $(call quoted,$(STUDY_FILE))
	$(SNAKEMAKE) export --configfile $(call quoted,$(STUDY_FILE)) $(ARGS)

serve: export  ## the chosen model behind HTTP on this machine (PORT=8080, DATASET=name, RUNTIME=saved_model)
	@folder=$$($(BIN)/python scripts/show_export.py $(call quoted,$(STUDY_FILE)) $(if $(value DATASET),$(call quoted,$(value DATASET)))); \
	  exec $(BIN)/python scripts/serve.py "$$folder" --port $(call quoted,$(value PORT)) \
	  $(if $(value RUNTIME),--runtime $(call quoted,$(value RUNTIME)))

deploy: $(VENV)/.installed-deploy $(if $(ON_AWS),$(VENV)/.installed-sagemaker)  ## start an endpoint, ask it about test images, stop it, show it in the report
	@$(CHECK) $(call quoted,$(STUDY_FILE))
	@status=0; $(SNAKEMAKE) deploy --configfile $(call quoted,$(STUDY_FILE)) $(ARGS) || status=$$?; \
	  $(SNAKEMAKE) --configfile $(call quoted,$(STUDY_FILE)) --quiet all || true; exit $$status

deploy-plan: install  ## what deploying to AWS SageMaker would create, may do and can cost; creates nothing
	@$(BIN)/python scripts/deploy_plan.py $(call quoted,$(STUDY_FILE))

# Only what the command line sets: a variable of the shell's that has such a name deletes nothing.
asked = $(if $(call set_here,$(1)),$(if $(filter 1,$(value $(1))),$(2)))

teardown: install $(if $(and $(call set_here,ALL),$(filter 1,$(ALL))),$(VENV)/.installed-sagemaker)  ## take down what an interrupted deployment to AWS left; ALL=1 lists what the account holds, DELETE=1 deletes it
	@$(BIN)/python scripts/teardown.py $(call asked,ALL,--all --config $(call quoted,$(STUDY_FILE))) $(call asked,DELETE,--delete) \
	  $(call asked,UNEXPIRED,--unexpired) $(if $(and $(call set_here,REGIONS),$(value REGIONS)),--regions $(foreach region,$(value REGIONS),$(call quoted,$(region))))

test: $(VENV)/.installed-dev  ## all tests, the end-to-end part included
	$(PYTEST)

test-fast: $(VENV)/.installed-dev  ## the tests that need no Snakemake, no training and no simulated studies
	$(PYTEST) -m "not slow"

test-slurm: $(VENV)/.installed-dev $(VENV)/.installed-cluster  ## on a real one-node SLURM, started and stopped for it
	tests/slurm_cluster.sh install
	$(BIN)/pytest -m slurm

test-kills: $(VENV)/.installed-dev  ## the demo study, killed twenty times on its way
	KILLS=20 $(BIN)/pytest -m kills

test-containers: $(VENV)/.installed-dev  ## build the images of containers/ and run them, with Docker or Podman (BASE=image)
	CONTAINERS=1 BASE=$(call quoted,$(value BASE)) $(BIN)/pytest tests/test_containers.py -s

lint: $(VENV)/.installed-dev  ## ruff, snakefmt, snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(SNAKEMAKE) --lint

format: $(VENV)/.installed-dev  ## format Python and Snakemake files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow

lock: $(VENV)/.installed-dev  ## pin the newest allowed versions again: requirements/*.txt, envs/*.yaml
	$(BIN)/python requirements/lock.py

schema: install  ## write workflow/schemas/config.schema.json from the config's models
	$(BIN)/python scripts/schema.py

docs: install  ## write docs/tables.md, and the tables of keys in docs/config.md
	$(BIN)/python scripts/docs.py

messages: install  ## find the report's messages in the source and bring report/locale/*.po up to date
	@$(BIN)/python scripts/update_translations.py

example: demo  ## write docs/example/: the demo's report as Markdown with its pictures
	$(BIN)/python scripts/example.py

image: IMAGE = $(if $(GPU),gpu,cpu)
image:  ## containers/convlab.sif for snakemake --sdm apptainer (GPU=1 for CUDA), with Apptainer and Docker or Podman
	@for program in apptainer $(ENGINE); do command -v $$program >/dev/null || \
	  { echo "error: make image needs Apptainer, and Docker or Podman; $$program is not installed" >&2; exit 1; }; done
	$(ENGINE) build -f containers/Dockerfile -t convlab:$(IMAGE) --build-arg BUILD=$(IMAGE) \
	  $(if $(value BASE),--build-arg BASE=$(call quoted,$(value BASE))) $(ARGS) .
	archive=$$(mktemp -d)/image.tar; trap 'rm -rf "$${archive%/*}"' EXIT; \
	  $(ENGINE) save -o "$$archive" convlab:$(IMAGE); \
	  apptainer build --force containers/convlab.sif "docker-archive:$$archive"

bench: $(VENV)/.installed-dev  ## the suite against notebooks on this machine, whatever it is (ARGS="--only speed --rounds 3")
	$(BIN)/python benchmarks/bench.py $(ARGS)

calibrate: $(VENV)/.installed-dev  ## simulate how often the statistics err, for docs/calibration.md (long)
	$(BIN)/python benchmarks/calibrate_pairing.py
	$(BIN)/python benchmarks/pairing_bound.py
	$(BIN)/python benchmarks/calibrate_sequential.py
	$(BIN)/python benchmarks/calibrate_images.py
	$(BIN)/python benchmarks/choice_simulation.py
	$(BIN)/python benchmarks/multcomp.py

clean-runs:  ## forget finished runs that are kept for other studies and for going back to earlier settings
	@! test -d .snakemake/convlab/runs || find .snakemake/convlab/runs -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +

clean:  ## remove results and Snakemake's memory of them; .venv stays
	@! ls results/*/deploy/*/state.json 2>/dev/null || { echo "error: these name what may still be on AWS; make teardown" >&2; false; }
	rm -rf results .snakemake
