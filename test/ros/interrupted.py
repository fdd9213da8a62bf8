"""Runs a program, and sends it SIGINT at the worst moment: its main thread has just taken the lock of a Condition.

    python interrupted.py METHOD TIMES PROGRAM.py ARGUMENT...

METHOD: of a class with a Condition, such as acquire or put; it is in the lock's TIMES-th taking there.
"""

import runpy
import signal
import sys
import threading

take = threading.Condition.__enter__


def take_and_interrupt(condition):
    global times
    taken = take(condition)
    if sys._getframe(1).f_code.co_name == method and threading.current_thread() is threading.main_thread():
        times -= 1
        if times == 0:
            signal.raise_signal(signal.SIGINT)
    return taken


if __name__ == "__main__":
    _, method, number, *sys.argv = sys.argv
    times = int(number)
    threading.Condition.__enter__ = take_and_interrupt
    runpy.run_path(sys.argv[0], run_name="__main__")
