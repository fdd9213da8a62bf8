"""The requests that wait for the tracker: what is made one, and what stays apart."""

import numpy as np
import pytest

from sam2_ros.errors import Unanswered
from sam2_ros.stream.requests import (
    MAX_DUE,
    MAX_MERGED_CLICKS,
    MAX_REQUESTS,
    Request,
    RequestQueue,
    join_equal,
    join_prompts,
)
from sam2_ros.types import Prompt

BOX, OTHER = (0.0, 0.0, 9.0, 9.0), (4.0, 4.0, 12.0, 12.0)


def click(name="cup", x=8, label=1, **more):
    return Prompt(name, points=np.array([[x, 8]]), labels=np.array([label]), **more)


def act(*content):
    return content


def request(prompt, stamp=0, **more):
    return Request(act, stamp, 1e12, prompt.name, content=(prompt, stamp), join=join_prompts, **more)


def waiting(*requests):
    queue = RequestQueue()
    queue.accept(requests, newest=None)
    return queue


def contents(queue):
    return [one.content[0] for one in queue]


def test_boxes_for_one_object_on_one_image_are_one_and_the_later_one_counts():
    first, second = request(Prompt("cup", box=BOX)), request(Prompt("cup", box=OTHER))
    queue = waiting(first, second)
    assert [prompt.box for prompt in contents(queue)] == [OTHER] and queue.counts.merged == 1
    assert first.answer.result(0) is None and not second.answer.done()


def test_other_objects_and_other_images_stay_apart():
    queue = waiting(
        request(Prompt("cup", box=BOX)), request(Prompt("can", box=BOX)), request(Prompt("cup", box=BOX), 5)
    )
    assert queue.counts.waiting == 3 and queue.counts.merged == 0


def test_clicks_add_up_and_a_repeated_one_counts_once():
    queue = waiting(request(click(x=8)), request(click(x=9, label=0)), request(click(x=8)))
    (prompt,) = contents(queue)
    assert prompt.points[:, 0].tolist() == [8, 9] and prompt.labels.tolist() == [1, 0]


def test_clicks_add_to_the_box_and_the_replacement_that_wait():
    (prompt,) = contents(waiting(request(Prompt("cup", box=BOX, replace=True)), request(click(label=0))))
    assert prompt.box == BOX and prompt.replace and prompt.labels.tolist() == [0]
    (prompt,) = contents(waiting(request(click()), request(click(x=3, replace=True))))
    assert prompt.points[:, 0].tolist() == [3]


def test_more_clicks_than_one_prompt_may_hold_wait_as_another():
    queue = waiting(*(request(click(x=x)) for x in range(MAX_MERGED_CLICKS + 1)))
    assert [len(prompt.points) for prompt in contents(queue)] == [MAX_MERGED_CLICKS, 1]


def test_what_could_concern_the_object_between_two_repeats_keeps_them_apart():
    reset = Request(lambda: None)
    assert len([*waiting(request(Prompt("cup", box=BOX)), reset, request(Prompt("cup", box=BOX)))]) == 3
    call = Request(lambda: None, 0, 1e12, "cup")  # of a service, which has an answer of its own
    assert len([*waiting(request(Prompt("cup", box=BOX)), call, request(Prompt("cup", box=BOX)))]) == 3


def test_a_repeat_takes_the_place_of_the_earlier_one():
    queue = waiting(request(Prompt("cup", box=BOX)), request(Prompt("can", box=BOX)), request(Prompt("cup", box=OTHER)))
    assert [prompt.name for prompt in contents(queue)] == ["cup", "can"]


def test_clicks_and_detections_are_one_only_when_they_say_the_same():
    def made(*content):
        return Request(lambda: None, 0, 1e12, content=content, join=join_equal)

    assert len([*waiting(made(1, 2, 0), made(1, 2, 0), made(1, 3, 0))]) == 2


def test_requests_beyond_the_bound_are_turned_away():
    queue = waiting(*(request(Prompt("cup", box=BOX), stamp) for stamp in range(1, MAX_REQUESTS + 2)))
    assert (queue.counts.waiting, queue.counts.turned_away) == (MAX_REQUESTS, 1)
    last = request(Prompt("cup", box=BOX), 10**6)
    queue.accept([last], None)
    with pytest.raises(Unanswered, match="256 requests wait for images already"):
        last.answer.result(0)


def test_of_prompts_that_come_too_fast_for_one_object_the_oldest_give_way():
    flood = [request(click(x=stamp), stamp) for stamp in range(1, 31)]
    operator = request(click("can"), 30)
    queue = RequestQueue()
    queue.accept([*flood, operator], newest=30)
    assert [one.stamp for one in queue] == [*range(31 - MAX_DUE, 31), 30] and queue.counts.turned_away == 30 - MAX_DUE
    with pytest.raises(Unanswered, match="8 newer requests of this kind wait"):
        flood[0].answer.result(0)


def test_prompts_that_wait_for_their_images_and_unnamed_ones_do_not_give_way():
    later = [request(click(x=stamp), stamp) for stamp in range(1, 31)]
    unnamed = [Request(lambda: None, 0, content=(click(""), 0)) for _ in range(30)]
    queue = RequestQueue()
    queue.accept([*later, *unnamed], newest=0)
    assert queue.counts.waiting == 60 and queue.counts.turned_away == 0
