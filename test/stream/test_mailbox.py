import threading

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
