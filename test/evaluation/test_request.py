"""From what a user asks of an evaluation to the job that is done for each recording."""

import os

import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation.choices import CLICKS, MOST_FRAMES
from sam2_ros.evaluation.request import Request


def test_published_numbers_are_made_with_the_published_settings():
    def settings(**options):
        return Request(**options).job().setup.all_settings()

    paper = settings(paper=True)
    assert [paper[name] for name in ("max_prompted_frames", "forget_around_corrections", "non_overlapping")] == [
        0,
        False,
        True,
    ]
    assert not settings(paper=True, rules="sa-v")["non_overlapping"]
    assert settings(rules="sa-v")["forget_around_corrections"]
    assert settings(rules="sa-v", settings={"non_overlapping": True})["non_overlapping"]


def test_what_was_not_chosen_has_its_default():
    job = Request(topics={"image_topic": "/camera", "node": ""}).job()
    assert (job.clicks, job.budgets, job.every, job.topics) == (
        CLICKS,
        (MOST_FRAMES,),
        1,
        (("image_topic", "/camera"),),
    )
    assert job.threads == 1 and Request(on_clock=True).job().threads == os.cpu_count()
    assert Request(on_clock=True, threads=3).job().threads == 3


def test_a_baseline_takes_the_range_of_the_images_and_no_other_setting():
    assert Request("opencv", settings={"image_range": "full"}).job().setup.session().image_range == "full"
    with pytest.raises(InvalidInput, match="opencv has no settings of the tracker; leave out --set"):
        Request("opencv", settings={"hole_area": 0}).job()
    with pytest.raises(InvalidInput, match="leave out --paper"):
        Request("opencv", paper=True).job()


def test_the_clock_goes_with_one_job_at_a_time():
    with pytest.raises(InvalidInput, match="one job at a time"):
        Request(on_clock=True, jobs=2).job()
