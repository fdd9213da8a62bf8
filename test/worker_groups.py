"""How the tests are divided among the processes of ``pytest -n 2``: by file, with the longest first.

Tests of one file share fixtures that take seconds.  Files that start processes of ROS are one group: no two of
their tests run at the same time.
"""

from xdist.scheduler import LoadScopeScheduling

#: Several real processes run in each of these tests, and need their time.
WITH_PROCESSES = (
    "test/demo/test_run.py",
    "test/ros/test_play_bag.py",
    "test/ros/test_processes.py",
    "test/ros/test_record_bag.py",
    "test/ros/test_three_ways.py",
)
#: Groups that begin first, so that nobody waits for them at the end.
LONGEST = ("processes", "test/training/test_train.py")


def group_of(nodeid):
    """The group of a test."""
    file = nodeid.partition("::")[0]
    return "processes" if file in WITH_PROCESSES else file


def longest_first(nodeid):
    """A key to sort tests by."""
    group = group_of(nodeid)
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


class ByGroup(LoadScopeScheduling):
    """A process that has nothing to do takes the next group."""

    def _split_scope(self, nodeid):
        return group_of(nodeid)
