# make demo and make test work from a fresh clone; the first one creates .venv.
# PYTHON=python3.12 chooses another interpreter for a new environment, VENV=dir another place.

PYTHON ?= python3.11
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# The environment stands alone: nothing of a sourced ROS or of another environment may leak in.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH RMW_IMPLEMENTATION
unexport ROS_DOMAIN_ID ROS_DISCOVERY_SERVER ROS_SUPER_CLIENT ROS_STATIC_PEERS
unexport FASTDDS_DEFAULT_PROFILES_FILE FASTRTPS_DEFAULT_PROFILES_FILE FASTDDS_BUILTIN_TRANSPORTS
ifneq ($(ROS_DISTRO)$(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
unexport LD_LIBRARY_PATH ROS_DISTRO ROS_VERSION ROS_PYTHON_VERSION _ROS_WHEELS_BOOTSTRAP_COMPLETE
endif

# Python code is installed in place: only a change of these asks for a new installation.
INSTALLED_FROM = pyproject.toml setup.py CMakeLists.txt package.xml constraints.txt \
	$(wildcard msg/*.msg srv/*.srv launch/*.py config/*.* scripts/*)

FUZZ ?= 700

.PHONY: help demo test fuzz soak train clean interpreter
.DELETE_ON_ERROR:

help:
	@echo "make demo    a camera, the node and an operator who clicks; results in demo_out/"
	@echo "make test    the whole test suite, parity with two other implementations included"
	@echo "make fuzz    $(FUZZ) damaged inputs for everything that takes somebody else's data; FUZZ=5000 for more"
	@echo "make soak    half an hour of the node under load, flat or not; ARGS='--minutes 3', results in soak_out/"
	@echo "make train   train the embedded model; ARGS='--config FILE --resume'"
	@echo "make clean   remove the environment and everything that was built"

demo: $(VENV)/.installed
	$(VENV)/bin/sam2_ros demo --out demo_out

# The tests skip what they cannot import; ROS and the two other implementations may not be missing here.
test: $(VENV)/.installed-test
	@$(VENV)/bin/python -c 'import rclpy, sam2.sam2_video_predictor, transformers'
	$(VENV)/bin/python -m pytest test -m 'not slow'

fuzz: $(VENV)/.installed-test
	SAM2_ROS_FUZZ=$(FUZZ) $(VENV)/bin/python -m pytest test/fuzz

soak: $(VENV)/.installed-test
	$(VENV)/bin/python benchmarks/soak.py $(ARGS)

train: $(VENV)/.installed-train
	$(VENV)/bin/sam2_ros train $(ARGS)

clean:
	rm -rf $(VENV) build install log dist *.egg-info demo_out soak_out sam2_ros/msg sam2_ros/srv sam2_ros/*.so

interpreter:
	@test ! -x $(VENV)/bin/python -o "$(origin PYTHON)" = file || \
		$(VENV)/bin/python -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' \
			"$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')" || \
		{ echo "$(VENV) was made with another Python than $(PYTHON): make clean, or choose another place with VENV=dir"; exit 1; }

$(VENV)/.installed: $(INSTALLED_FROM) | interpreter
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer with its venv module is needed, $(PYTHON) is not (Debian: apt install python3.11-venv), or: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || \
		{ echo "the headers of $(PYTHON) are needed to compile the messages (Debian: apt install python3-dev)"; exit 1; }
	@for compiler in $${CC:-cc} $${CXX:-c++}; do command -v $$compiler >/dev/null || \
		{ echo "the compiler $$compiler is needed to compile the messages (Debian: apt install g++)"; exit 1; }; done
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-train: $(VENV)/.installed
	$(PIP) "sam2_ros[train]"
	touch $@

# The extras of the package that is installed already, then the official code without the
# dependencies it declares: they would replace this torch by another one.
$(VENV)/.installed-test: $(VENV)/.installed test/parity.txt
	$(PIP) "sam2_ros[evaluate,train,test,parity]"
	SAM2_BUILD_CUDA=0 $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet \
		--no-deps --no-build-isolation --requirement test/parity.txt
	touch $@
