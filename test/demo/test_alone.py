import os

import pytest

from sam2_ros.demo.alone import FolderTaken, own_domain, own_folder


def test_a_folder_that_another_demo_writes_into_is_refused_until_that_ends(tmp_path):
    words = f"another demo writes into {tmp_path} now; give another --out"
    with own_folder(tmp_path), pytest.raises(FolderTaken, match=words), own_folder(tmp_path):
        raise AssertionError("both have it")
    with own_folder(tmp_path):
        pass


def test_two_demos_never_share_a_domain_though_their_process_ids_ask_for_it(monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 4712)
    with own_domain() as first, own_domain() as second, own_domain() as third:
        assert len({first, second, third}) == 3 and all(1 <= one <= 100 for one in (first, second, third))
    with own_domain() as again:
        assert again == first
