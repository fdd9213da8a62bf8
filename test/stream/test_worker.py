import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import RED, ColourModel, picture
from waiting import wait_until

from sam2_ros.errors import InvalidImage, InvalidInput, OutOfMemory, Unanswered, UnknownObject
from sam2_ros.stream.mailbox import UnreadImage
from sam2_ros.stream.session import Detection, Session
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.stream.worker import Worker
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame, Prompt

LONG = 30.0


class Log(list):
    def info(self, text, **_):
        self.append(text)

    warning = error = info


class Bench(Worker):
    """A worker whose results are gathered, and its session, which a test may look at."""

    def __init__(self, settings=SessionSettings()):
        self.session = Session(Tracker(ColourModel()), settings)
        self.results, self.measured = [], []
        super().__init__(self.session, self.results.append, Log(), on_measured=self.measured.append)


@pytest.fixture
def worker():
    """Start it in the test."""
    worker = Bench()
    yield worker
    worker.stop()


def image(stamp):
    return UnreadImage(lambda: Frame(picture({RED: (0, 0)}), stamp, "camera"), stamp)


def unreadable(stamp=0):
    def read():
        raise InvalidImage("no pixels")

    return UnreadImage(read, stamp)


def broken():
    return UnreadImage(lambda: 1 / 0)


def prompting(worker, stamp=0):
    prompt = Prompt("cup", points=np.array([[8, 8]]), labels=np.array([1]))
    return lambda: worker.session.prompt(prompt, stamp)


def wait_for(worker, stamp):
    return wait_until(lambda: next((r for r in worker.results if r.view.frame.stamp == stamp), None), f"result {stamp}")


def test_images_that_wait_while_it_works_are_dropped_and_counted(worker):
    for stamp in (1, 2, 3):
        worker.put_image(image(stamp))
    worker.start()
    assert wait_for(worker, 3).dropped == 2
    worker.put_image(image(4))
    assert wait_for(worker, 4).dropped == 0
    assert (worker.counts.processed, worker.counts.dropped, worker.counts.refused) == (2, 2, 0)


def test_drops_before_an_unreadable_image_are_reported_with_the_next_result(worker):
    worker.put_image(image(1))
    worker.put_image(unreadable(2))
    worker.start()
    wait_until(lambda: worker.counts.refused, "the refusal")
    worker.put_image(image(3))
    assert wait_for(worker, 3).dropped == 1
    assert "image refused" in worker._logger[0]


def test_a_prompt_that_comes_with_the_first_image_is_made_on_it(worker):
    answer = worker.ask(prompting(worker))
    worker.put_image(image(5))
    worker.start()
    assert answer.result(LONG).stamp == 5
    wait_for(worker, 5)
    assert len(worker.results) == 1 and len(worker.results[0].view.tracks) == 1


def test_a_prompt_waits_for_its_image(worker):
    worker.start()
    worker.put_image(image(5))
    wait_for(worker, 5)
    answer = worker.ask(prompting(worker, 7), stamp=7, patience=LONG)
    worker.put_image(image(6))
    wait_for(worker, 6)
    assert not answer.done()
    worker.put_image(image(7))
    assert answer.result(LONG).stamp == 7


def test_a_prompt_does_not_wait_for_ever(worker):
    worker.start()
    worker.put_image(image(5))
    answer = worker.ask(prompting(worker, 10**12), stamp=10**12, patience=0.05)
    with pytest.raises(InvalidInput, match="newer than the newest"):
        answer.result(LONG)


def test_who_revokes_requests_has_those_refused_that_wait_for_their_images(worker):
    worker.put_image(image(1))
    worker.start()
    wait_for(worker, 1)
    cup, can = (worker.ask(prompting(worker, 2), 2, LONG, name=name) for name in ("cup", "can"))
    worker.ask(lambda: None, revokes=lambda waiting: waiting.name == "cup").result(LONG)
    with pytest.raises(Unanswered, match="removed before"):
        cup.result(LONG)
    worker.put_image(image(2))
    assert can.result(LONG).track.area > 0


def test_a_reset_revokes_nothing_that_is_merely_in_its_queue(worker):
    worker.put_image(image(1))
    cup = worker.ask(prompting(worker), 0, LONG, name="cup")
    other = worker.ask(worker.session.reset)
    reset = worker.ask(worker.session.reset, revokes=lambda waiting: True)
    worker.start()
    assert [answer.result(LONG) for answer in (other, reset)] == [0, 0]
    with pytest.raises(Unanswered, match="removed before"):
        cup.result(LONG)


def test_a_prompt_after_a_reset_waits_for_the_next_image(worker):
    worker.put_image(image(1))
    worker.start()
    wait_for(worker, 1)
    worker.ask(worker.session.reset).result(LONG)
    cup = worker.ask(prompting(worker), 0, LONG)
    worker.put_image(image(2))
    assert cup.result(LONG).stamp == 2


def test_a_correction_is_published_although_no_new_image_comes(worker):
    worker.start()
    worker.put_image(image(5))
    wait_for(worker, 5)
    worker.ask(prompting(worker)).result(LONG)
    wait_until(lambda: len(worker.results) == 2, "the second result")
    assert worker.results[1].view.frame.stamp == 5 and worker.results[1].dropped == 0


def test_a_request_that_changes_nothing_is_not_published(worker):
    worker.start()
    worker.put_image(image(5))
    wait_for(worker, 5)
    with pytest.raises(InvalidInput):
        worker.ask(lambda: worker.session.forget("nobody")).result(LONG)
    assert worker.ask(lambda: worker.session.detections([], 0)).result(LONG) == []
    worker.put_image(image(6))
    wait_for(worker, 6)
    assert len(worker.results) == 2


def test_depth_that_comes_after_the_masks_publishes_the_newest_image_once_more(worker):
    worker.start()
    worker.put_image(image(1))
    wait_for(worker, 1)
    worker.put_image(image(2))
    wait_for(worker, 2)
    count = len(worker.results)
    worker.publish_again(1)  # not the newest any more
    worker.ask(lambda: None).result(LONG)
    assert len(worker.results) == count
    worker.publish_again(2)
    wait_until(lambda: len(worker.results) > count, "another result")
    assert worker.results[-1].view.frame.stamp == 2 and worker.results[-1].dropped == 0


def test_a_result_says_where_objects_are(worker):
    class Somewhere:
        expected = 0

        def expect(self, stamp):
            self.expected = stamp

        def locate(self, stamp, tracks, size):
            assert stamp == self.expected, "its depth is kept from the beginning of the turn on"
            return stamp, len(tracks), size

    worker._locator = Somewhere()
    worker.start()
    worker.put_image(image(1))
    worker.ask(prompting(worker)).result(LONG)
    wait_until(lambda: worker.results and worker.results[-1].located[1] == 1, "an object")
    assert worker.results[-1].located == (1, 1, worker.results[-1].view.frame.size)


def test_the_stages_of_each_published_image_are_measured_and_those_of_prompts_are_not(worker):
    worker.put_image(image(1))
    worker.start()
    wait_for(worker, 1)
    worker.ask(prompting(worker)).result(LONG)
    worker.put_image(image(2))
    wait_until(lambda: len(worker.measured) == 2, "the second image")
    first, second = worker.measured
    assert {*first.stages} == {"queue", "convert", "encode", "masks", "publish"}
    assert {*second.stages} == {*first.stages, "attend", "decode", "remember"}
    assert second.view.frame.stamp == 2 and second.dropped == 0
    assert all(seconds >= 0 for seconds in second.stages.values())
    assert sum(second.stages.values()) <= second.age, "the parts are not more than the whole"


def test_a_defect_in_one_request_does_not_end_the_thread(worker):
    worker.start()
    with pytest.raises(Unanswered, match="ZeroDivisionError"):
        worker.ask(lambda: 1 / 0).result(LONG)
    assert worker.ask(lambda: "alive").result(LONG) == "alive"


def test_a_defect_in_one_image_does_not_end_the_thread(worker):
    worker.start()
    worker.put_image(broken())
    wait_until(lambda: worker.counts.refused, "the failure")
    worker.put_image(image(1))
    wait_for(worker, 1)


def test_a_failure_to_publish_does_not_end_the_thread_and_keeps_the_count(worker):
    def broken(result):
        worker._publish = worker.results.append
        raise RuntimeError("no middleware")

    worker._publish = broken
    for stamp in (1, 2):
        worker.put_image(image(stamp))
    worker.start()
    wait_until(lambda: worker._logger, "the complaint")
    worker.put_image(image(3))
    assert wait_for(worker, 3).dropped == 1


def test_a_cancelled_request_is_not_done(worker):
    done = []
    answer = worker.ask(lambda: done.append(1))
    answer.cancel()
    worker.start()
    worker.ask(lambda: None).result(LONG)
    assert not done


def test_stopping_refuses_what_still_waits(worker):
    worker.start()
    waiting = worker.ask(lambda: None, stamp=10**12, patience=LONG)
    worker.ask(lambda: None).result(LONG)
    worker.stop()
    with pytest.raises(Unanswered, match="shutting down"):
        waiting.result(0)
    with pytest.raises(Unanswered, match="shutting down"):
        worker.ask(lambda: None)


def test_stopping_waits_for_the_work_at_hand(worker):
    begun, done = threading.Event(), []

    def work():
        begun.set()
        time.sleep(0.1)
        done.append(1)

    worker.start()
    worker.ask(work)
    assert begun.wait(LONG)
    worker.stop()
    assert done


# -- what one turn may do --------------------------------------------------------------------------


def busy(seconds=0.02):
    return lambda: time.sleep(seconds)


def test_an_image_goes_between_requests_however_many_wait(worker):
    worker.put_image(image(1))
    worker.start()
    wait_for(worker, 1)
    answers = [worker.ask(busy()) for _ in range(100)]
    worker.put_image(image(2))
    wait_for(worker, 2)
    assert sum(answer.done() for answer in answers) < 20
    assert worker.counts.waiting > 50 and 0 < worker.counts.age < 1.0


def test_the_masks_of_an_image_are_published_before_the_requests_of_its_turn(worker):
    worker.put_image(image(1))
    worker.ask(prompting(worker))
    begun, go = threading.Event(), threading.Event()
    worker.start()
    wait_until(lambda: any(len(result.view.tracks) for result in worker.results), "the cup")
    worker.ask(lambda: begun.set() or go.wait(LONG))
    assert begun.wait(LONG)
    published = []
    worker.put_image(image(2))
    answers = [worker.ask(lambda: published.append(worker.results[-1].view.frame.stamp)) for _ in range(3)]
    go.set()
    for answer in answers:
        answer.result(LONG)
    assert published == [2, 2, 2]


def test_while_images_wait_a_turn_does_one_request_and_a_few_parts_of_following(worker, monkeypatch):
    """So the age of masks is two turns at most: about 0.1 s with this model, and images every 20 ms."""
    model = worker.session._tracker._model
    for name, seconds in (("encode_image", 0.01), ("decode", 0.01)):
        monkeypatch.setattr(model, name, slow(getattr(model, name), seconds))
    worker.put_image(image(1))
    worker.ask(prompting(worker))
    worker.start()
    wait_until(lambda: any(len(result.view.tracks) for result in worker.results), "the cup")
    for stamp in range(2, 42):
        worker.put_image(image(stamp))
        for _ in range(4):  # each on a recent image of its own, more than the tracker can do
            worker.ask(prompting(worker, max(stamp - 5, 1)))
        time.sleep(0.02)
    assert worker.counts.waiting > 20, "the requests were no flood"
    assert worker.counts.age < 0.25
    assert worker.counts.processed > 5


def slow(function, seconds):
    def delayed(*arguments, **options):
        time.sleep(seconds)
        return function(*arguments, **options)

    return delayed


def test_a_change_is_published_although_the_image_that_waited_for_the_turn_is_refused(worker):
    worker.put_image(image(1))
    worker.start()
    wait_for(worker, 1)

    def prompted():
        worker.put_image(broken())
        return prompting(worker)()

    worker.ask(prompted)
    wait_until(lambda: len(worker.results[-1].view.tracks), "the cup")


def test_one_long_request_is_done_in_parts_and_images_go_between(worker):
    def parts():
        for number in range(20):
            time.sleep(0.02)
            yield number
            yield None

    worker.put_image(image(1))
    worker.start()
    wait_for(worker, 1)
    answer = worker.ask(parts)
    time.sleep(0.05)
    worker.put_image(image(2))
    wait_for(worker, 2)
    assert not answer.done()
    assert answer.result(LONG) == list(range(20))


def test_the_end_is_looked_for_between_requests_and_the_rest_is_refused(worker):
    worker.start()
    answers = [worker.ask(busy(0.05)) for _ in range(200)]
    started = time.monotonic()
    worker.stop()
    assert time.monotonic() - started < 1.0
    with pytest.raises(Unanswered, match="shutting down"):
        answers[-1].result(0)
    assert all(answer.done() for answer in answers)


def test_prompts_on_one_object_and_image_are_done_once(worker):
    worker.put_image(image(1))
    join = dict(name="cup", join=lambda earlier, later: later)
    answers = [
        worker.ask(worker.session.prompt, 0, LONG, content=(Prompt("cup", box=(0, 0, 15, 15)), 0), **join)
        for _ in range(50)
    ]
    worker.start()
    assert answers[-1].result(LONG).track.prompted_frames == 1
    assert worker.counts.merged == 49 and answers[0].result(LONG) is None
    assert worker.session._tracker._model.count("encode_memory") == 1


def test_an_image_that_is_older_than_the_newest_is_dropped_and_counted_wherever_it_is_noticed(worker):
    worker.put_image(image(300))
    worker.put_image(image(200))  # while a newer one waits
    worker.start()
    wait_for(worker, 300)
    worker.put_image(image(250))
    worker.put_image(image(400))
    assert wait_for(worker, 400).dropped in (1, 2)
    assert [result.view.frame.stamp for result in worker.results] == [300, 400]
    wait_until(lambda: worker.counts.late + worker.counts.dropped == 2, "the counts")
    assert worker.results[0].dropped == 1


def test_an_object_that_was_prompted_late_is_followed_to_the_newest_image_in_parts(worker):
    worker.start()
    for stamp in range(1, 21):
        worker.put_image(image(stamp))
        wait_for(worker, stamp)
    answer = worker.ask(prompting(worker, 2)).result(LONG)
    assert answer.stamp == 2
    wait_until(lambda: not worker.session.is_behind, "the object to be followed")
    assert all(len(worker.session._tracker.at(stamp)) == 1 for stamp in range(2, 21))


# -- the door --------------------------------------------------------------------------------------


def click(name="cup", at=(8, 8)):
    return Prompt(name, points=np.array([at]), labels=np.array([1]))


def test_a_prompt_at_the_door_waits_for_its_image_as_long_as_the_settings_say(worker):
    worker.configure(SessionSettings(prompt_timeout=0.05), TrackerSettings())
    worker.put_image(image(5))
    worker.start()
    with pytest.raises(InvalidInput, match="newer than the newest"):
        worker.prompt(click(), 10**12).result(LONG / 3)
    worker.configure(SessionSettings(prompt_timeout=30.0), TrackerSettings())
    coming = worker.prompt(click(), 6)
    worker.put_image(image(6))
    assert coming.result(LONG).stamp == 6


def test_prompts_at_the_door_are_merged_when_that_is_asked_for_and_unless_the_later_one_is_impossible(worker):
    worker.put_image(image(5))
    worker.start()
    wait_for(worker, 5)
    go = threading.Event()
    worker.ask(lambda: go.wait(LONG))
    first, second = (worker.prompt(click(at=(x, 8)), 0, merge=True) for x in (8, 9))
    outside = worker.prompt(click(at=(900, 8)), 0, merge=True)
    alone = worker.prompt(click(), 0)
    go.set()
    assert first.result(LONG) is None and second.result(LONG).track.name == "cup"
    with pytest.raises(InvalidInput, match="outside the 64x64 image"):
        outside.result(LONG)
    assert "is corrected" in alone.result(LONG).sentence and worker.counts.merged == 1


def test_clicks_and_detections_at_the_door_are_answered_with_what_was_applied(worker):
    worker.put_image(image(5))
    worker.start()
    (clicked,) = worker.click(8, 8, 0).result(LONG)
    assert clicked.track.id == 1
    assert worker.detections([Detection((0, 0, 15, 15))], 0).result(LONG) == []
    assert len(worker.detections([Detection((0, 40, 15, 55)), Detection((99, 99, 120, 120))], 5).result(LONG)) == 1
    wait_until(lambda: worker.counts.left_out == {"outside the image": 1}, "the count")


def test_removing_at_the_door_refuses_prompts_that_wait_and_names_nobody_only_without_any(worker):
    worker.put_image(image(5))
    worker.start()
    wait_for(worker, 5)
    with pytest.raises(UnknownObject):
        worker.remove("cup").result(LONG)
    coming = worker.prompt(click(), 6)
    assert worker.remove("cup").result(LONG) is None
    with pytest.raises(Unanswered, match="removed before"):
        coming.result(LONG)
    worker.prompt(click(""), 0).result(LONG)
    unnamed = worker.prompt(click(""), 6)
    with pytest.raises(UnknownObject):
        worker.remove("").result(LONG)
    assert not unnamed.done()
    assert worker.reset().result(LONG) == 1
    with pytest.raises(Unanswered, match="removed before"):
        unnamed.result(LONG)


def test_memories_are_exported_and_restored_between_two_images(worker):
    worker.put_image(image(5))
    worker.start()
    with pytest.raises(UnknownObject):
        worker.export("cup").result(LONG)
    worker.prompt(click(), 0).result(LONG)
    memory = worker.export("cup").result(LONG)
    assert worker.remove("cup").result(LONG) is None
    assert worker.restore(memory, "mug").result(LONG) == 2
    worker.put_image(image(6))
    wait_for(worker, 6)
    assert [track.name for track in worker.view.tracks] == ["mug"]


def test_an_image_that_is_dropped_is_never_read(worker):
    def read():
        raise AssertionError("read")

    worker.put_image(UnreadImage(read, 1))
    worker.put_image(image(2))
    worker.start()
    wait_for(worker, 2)
    assert worker.counts.refused == 0 and worker.counts.dropped == 1


def test_memory_that_runs_out_is_a_sentence_for_the_request_and_the_image_and_the_thread_goes_on(worker, monkeypatch):
    worker.start()
    worker.put_image(image(100))
    cup = Prompt("cup", points=np.array([[8, 8]]), labels=np.array([1]))
    worker.prompt(cup, 100).result(LONG)
    decode = ColourModel.decode

    def exhausted(*args, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(ColourModel, "decode", exhausted)
    with pytest.raises(OutOfMemory, match="no memory for the prompt of new"):
        worker.prompt(replace(cup, name="new"), 100).result(LONG)
    worker.put_image(image(200))
    wait_until(lambda: worker.counts.refused == 1, "a refused image")
    assert any("image refused: there is no memory for following" in line for line in worker._logger)
    monkeypatch.setattr(ColourModel, "decode", decode)
    worker.put_image(image(300))
    wait_for(worker, 300)
    assert len(worker.view.tracks) == 1


def test_memory_that_runs_out_behind_a_late_prompt_is_a_sentence(worker, monkeypatch):
    worker.start()
    for stamp in (100, 200, 300):
        worker.put_image(image(stamp))
        wait_for(worker, stamp)

    def exhausted(*args, **options):
        raise OutOfMemory("there is no memory for following cup")

    monkeypatch.setattr(Tracker, "catch_up", exhausted)
    worker.prompt(Prompt("cup", points=np.array([[8, 8]]), labels=np.array([1])), 100).result(LONG)
    sentence = "following a late prompt failed: there is no memory for following cup"
    wait_until(lambda: sentence in worker._logger, "the sentence")
