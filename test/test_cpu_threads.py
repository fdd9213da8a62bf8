"""Settings of the process: ours by default, the user's where there are any."""

import os
import subprocess
import sys

import pytest

from sam2_ros import cpu_threads


def test_waiting_threads_sleep_soon_unless_the_user_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    cpu_threads.prepare()
    assert os.environ["GOMP_SPINCOUNT"] == str(cpu_threads.SPIN_ROUNDS)
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    cpu_threads.prepare()
    assert os.environ["GOMP_SPINCOUNT"] == "5"


def test_a_wait_policy_of_the_user_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    cpu_threads.prepare()
    assert "GOMP_SPINCOUNT" not in os.environ


#: Takes and returns 24 MB in two pieces, again and again, and tells how often a page had to be asked for.
FAULTS = """
import resource, sys
from sam2_ros import cpu_threads
if sys.argv[1] == "prepared":
    cpu_threads.prepare()
import numpy as np
def take(): return [np.ones(12 << 20, np.uint8) for _ in range(2)]
take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_freed_memory_is_used_again_without_asking_the_kernel() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True, env=environment
            ).stdout
        )
        for how in ("prepared", "plain")
    }
    assert faults["prepared"] * 5 < faults["plain"], faults


#: Thirty threads that live on take and return 30 MB in pieces, one after the other; tells how much the process keeps.
KEPT = """
import sys, threading
from pathlib import Path
from sam2_ros import cpu_threads
cpu_threads.prepare()
import numpy as np
def resident(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
def take(done, end):
    [np.ones(1 << 20, np.uint8) for _ in range(30)]
    done.set()
    end.wait()
end, before, threads = threading.Event(), resident(), []
for _ in range(30):
    done = threading.Event()
    threads.append(threading.Thread(target=take, args=[done, end]))
    threads[-1].start()
    done.wait()
end.set()
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident pages as Linux does")
def test_what_many_threads_return_is_not_kept_for_each_of_them() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    kept = float(
        subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True, env=environment).stdout
    )
    assert kept < 200, f"{kept:.0f} MB"


#: Loads weights, computes on a thread that ends, and tells how many threads there were before and after each.  Threads
#: end a little later than Python says: the least number of the next seconds counts.
THREADS = """
import os, sys, time
import torch
from sam2_ros import cpu_threads
from sam2_ros.model import checkpoint
torch.set_num_threads(3)
first = len(os.listdir("/proc/self/task"))
def count():
    end = time.monotonic() + 10
    while (found := len(os.listdir("/proc/self/task"))) > first and time.monotonic() < end:
        time.sleep(0.01)
    return found
found = [first]
model = checkpoint.load(sys.argv[1])
found.append(count())
compute = lambda: model.encode_image(torch.zeros(1, 3, model.size.image_size, model.size.image_size))
cpu_threads.on_passing_thread(compute)
found.append(count())
compute()
print(*found, len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux does")
def test_what_torch_does_once_leaves_no_threads_that_slow_down_those_of_the_tracker(weights) -> None:
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-c", THREADS, str(weights)], capture_output=True, text=True, check=True, env=os.environ
    )
    first, loaded, computed, on_main = map(int, done.stdout.split())
    assert first == loaded == computed
    assert on_main == first + 2, "the helpers of the main thread stay"


def test_an_error_on_a_passing_thread_is_that_of_its_work() -> None:
    with pytest.raises(ZeroDivisionError):
        cpu_threads.on_passing_thread(lambda: 1 // 0)
