"""Several demos at the same time on one machine: each has its own topics and its own folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sam2_ros.errors import Sam2RosError

#: ROS_DOMAIN_ID is 1 to DOMAINS: higher ones can meet the ports that Linux gives to other programs.
DOMAINS = 100


class FolderTaken(Sam2RosError):
    """Another demo writes into the folder."""


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """No other demo writes into ``folder`` meanwhile.  Raises FolderTaken."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise FolderTaken(f"another demo writes into {folder} now; give another --out, or wait for its end") from error
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(held)


@contextmanager
def own_domain() -> Iterator[int]:
    """A ROS_DOMAIN_ID that no other demo on this machine has meanwhile; the sockets are names only, without files."""
    first = os.getpid()
    for number in range(first, first + DOMAINS):
        domain = 1 + number % DOMAINS
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as held:
            try:
                held.bind(f"\0sam2_ros demo in domain {domain}")
            except OSError:
                continue
            yield domain
            return
    yield 1 + first % DOMAINS  # where the names of sockets are not known
