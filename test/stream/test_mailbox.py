import math
import threading
import time

import pytest

from sam2_ros.errors import Unanswered
from sam2_ros.stream.mailbox import Mailbox, UnreadImage
from sam2_ros.stream.requests import MAX_REQUESTS, Request


def image(name):
    return UnreadImage(lambda: name)


def shown(turn):
    """The name of the image of a turn."""
    return turn.image.make()


def test_the_newest_image_wins_and_every_replaced_one_is_counted():
    box = Mailbox()
    for name in "abc":
        box.put_image(image(name))
    turn = box.take()
    assert (shown(turn), turn.dropped) == ("c", 2)


def test_taking_empties_the_box_and_the_count():
    box = Mailbox()
    box.put_image(image("a"))
    box.put_image(image("b"))
    box.take()
    box.put_image(image("c"))
    turn = box.take()
    assert (shown(turn), turn.dropped, turn.requests) == ("c", 0, ())
    assert box.take(timeout=0.0).image is None


def test_requests_keep_their_order_and_none_is_lost():
    box = Mailbox()
    requests = [Request(lambda: None) for _ in range(5)]
    for request in requests:
        box.put(request)
        box.put_image(image("newer"))
    assert box.take().requests == tuple(requests)


def test_drops_are_not_forgotten_when_only_requests_are_taken():
    box = Mailbox()
    box.put_image(image("a"))
    box.put_image(image("b"))
    assert box.take().dropped == 1
    box.put(Request(lambda: None))
    assert box.take().dropped == 0


def test_taking_waits_for_something_to_be_put():
    box = Mailbox()
    threading.Timer(0.05, box.put_image, [image("late")]).start()
    assert shown(box.take(timeout=30)) == "late"


def test_a_flood_of_requests_is_refused_with_a_sentence():
    box = Mailbox()
    for _ in range(MAX_REQUESTS):
        box.put(Request(lambda: None))
    with pytest.raises(Unanswered, match="256 requests wait already"):
        box.put(Request(lambda: None))


def test_closing_wakes_the_taker_and_returns_what_is_left():
    box, taken = Mailbox(), []
    taker = threading.Thread(target=lambda: taken.append(box.take()))
    taker.start()
    box.close()
    taker.join(30)
    assert taken == [None]

    other, request = Mailbox(), Request(lambda: None)
    other.put(request)
    assert other.close() == [request]
    with pytest.raises(Unanswered, match="shutting down"):
        other.put(request)


def test_a_request_is_due_when_its_image_has_been_seen_or_its_time_is_up():
    far = 1e12
    assert Request(lambda: None).is_due(None)
    assert not Request(lambda: None, stamp=0, deadline=far).is_due(None)
    assert Request(lambda: None, stamp=0, deadline=far).is_due(5)
    assert not Request(lambda: None, stamp=5, deadline=far).is_due(None)
    assert not Request(lambda: None, stamp=5, deadline=far).is_due(4)
    assert Request(lambda: None, stamp=5, deadline=far).is_due(5)
    assert Request(lambda: None, stamp=5, deadline=0.0).is_due(4)


def test_an_image_that_is_dropped_is_never_read():
    box, read = Mailbox(), []
    for name in "abc":
        box.put_image(UnreadImage(lambda name=name: read.append(name)))
    box.take().image.make()
    assert read == ["c"]


class Camera:
    """A source: images wait in it until they are pulled."""

    def __init__(self, rest=math.inf) -> None:
        self.box, self.waiting, self.rest = Mailbox(self), [], rest
        self.pulls = self.listens = 0
        self.listening = threading.Event()

    def pull(self):
        self.pulls += 1
        while self.waiting:
            self.box.put_image(self.waiting.pop(0))

    def gets(self, one, then=lambda: None):
        """An image comes when somebody listens, and then something else happens."""

        def come():
            self.listening.wait(30)
            self.waiting.append(one)
            then()

        threading.Thread(target=come).start()

    def listen(self, tell):
        self.listens += 1
        self.tell = tell
        self.listening.set()
        return self.rest


def test_the_newest_image_of_a_source_is_taken_though_an_older_one_was_pulled_before():
    camera = Camera()
    camera.waiting = [image("a")]
    assert camera.box.has_image()
    camera.waiting = [image("b"), image("c")]
    turn = camera.box.take()
    assert (shown(turn), turn.dropped, camera.listens) == ("c", 2, 0)


def test_a_source_is_only_listened_to_while_nothing_waits():
    camera = Camera()
    camera.box.put(Request(lambda: None))
    assert len(camera.box.take().requests) == 1
    assert camera.box.take(timeout=0.0).image is None
    assert (camera.listens, camera.pulls) == (0, 2)


def test_a_source_that_tells_of_an_image_is_pulled():
    camera = Camera()
    camera.gets(image("late"), then=lambda: camera.tell())
    assert shown(camera.box.take(timeout=30)) == "late"
    assert camera.listens == 1


def test_an_image_that_somebody_else_pulls_wakes_the_taker():
    camera = Camera()
    camera.gets(image("late"), then=camera.pull)
    assert shown(camera.box.take(timeout=30)) == "late"


def test_a_source_that_is_too_fast_to_tell_is_pulled_after_its_rest():
    camera, start = Camera(rest=0.05), time.monotonic()
    camera.gets(image("untold"))
    assert shown(camera.box.take(timeout=30)) == "untold"
    assert 0.05 <= time.monotonic() - start < 10 and camera.listens == 1


def test_closing_ends_the_wait_for_a_source():
    camera, taken = Camera(), []
    taker = threading.Thread(target=lambda: taken.append(camera.box.take()))
    taker.start()
    camera.listening.wait(30)
    camera.box.close()
    taker.join(30)
    assert taken == [None]
