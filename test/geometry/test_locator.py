import time

import numpy as np
import pytest
from geometry.analytic import camera, camera_info
from geometry.test_positions import SECOND, SIZE, scene, track

from sam2_ros.errors import InvalidImage
from sam2_ros.geometry.locator import Locator
from sam2_ros.geometry.settings import DepthSettings


@pytest.fixture
def told():
    """A locator, the stamps that it told late, and the reasons for which it refused depth."""
    late, refused = [], []
    locator = Locator(on_late=late.append, on_refused=refused.append)
    locator.camera = camera()
    locator.put(1, lambda: pytest.fail("this image never came"))
    return locator, late, refused


def millimetres(depth):
    return lambda: np.round(depth * 1000).astype(np.uint16)


def test_depth_that_is_there_first_is_measured_with_the_masks(told):
    locator, late, refused = told
    ball, depth = scene()
    locator.put(SECOND, millimetres(depth))
    located = locator.locate(SECOND, [ball], SIZE)
    assert located.positions[1].age == 0 and located.depth.shape == SIZE and located.camera is locator.camera
    assert late == refused == []


def test_depth_that_comes_after_the_masks_is_told_and_measured_then(told):
    locator, late, _ = told
    ball, depth = scene()
    assert locator.locate(SECOND, [ball], SIZE).positions == {}
    locator.put(SECOND, millimetres(depth))
    assert late == [SECOND]
    assert locator.locate(SECOND, [ball], SIZE).positions[1].age == 0


def test_depth_that_comes_after_the_next_image_makes_the_last_position_newer(told):
    locator, late, _ = told
    ball, depth = scene()
    locator.locate(SECOND, [ball], SIZE)
    locator.locate(2 * SECOND, [ball], SIZE)
    locator.put(SECOND, millimetres(depth))
    located = locator.locate(3 * SECOND, [ball], SIZE)
    assert late == [] and located.positions[1].age == 2 and located.depth is None


def test_an_object_that_is_started_later_on_the_image_is_measured_with_the_same_depth(told):
    locator, _, _ = told
    ball, depth = scene()
    locator.put(SECOND, millimetres(depth))
    assert locator.locate(SECOND, [], SIZE).positions == {}
    assert locator.locate(SECOND, [ball], SIZE).positions[1].age == 0


def test_depth_that_comes_later_than_the_timeout_is_not_used(told):
    locator, late, _ = told
    locator.configure(DepthSettings(depth_timeout=0.01))
    ball, depth = scene()
    locator.locate(SECOND, [ball], SIZE)
    time.sleep(0.02)
    locator.put(SECOND, millimetres(depth))
    assert late == [] and locator.late == 1 and locator.locate(SECOND, [ball], SIZE).positions == {}


def test_without_objects_nothing_is_told(told):
    locator, late, _ = told
    locator.locate(SECOND, [], SIZE)
    locator.put(SECOND, millimetres(scene()[1]))
    assert late == []


def test_depth_that_is_not_needed_is_never_read(told):
    locator, _, _ = told
    ball, _ = scene()
    for number in range(30):
        locator.put(number * SECOND, lambda: pytest.fail("read"))
    assert len(locator._waiting) == 10
    locator.locate(100 * SECOND, [ball], SIZE)


def test_depth_of_an_image_that_takes_long_is_kept_whatever_comes_meanwhile(told):
    locator, _, _ = told
    ball, depth = scene()
    locator.expect(SECOND)
    locator.put(SECOND, millimetres(depth))
    for number in range(1, 100):
        locator.put(SECOND + number, lambda: pytest.fail("read"))
    assert locator.locate(SECOND, [ball], SIZE).positions[1].age == 0
    locator.expect(2 * SECOND)
    locator.locate(2 * SECOND, [ball], SIZE)
    locator.expect(3 * SECOND)
    locator.put(2 * SECOND, millimetres(depth))  # after its masks, while the next image takes long
    for number in range(1, 100):
        locator.put(2 * SECOND + number, lambda: pytest.fail("read"))
    assert len(locator._waiting) == 11
    assert locator.locate(3 * SECOND, [ball], SIZE).positions[1].age == 1


def test_depth_is_pulled_for_each_image_and_listened_for_only_while_that_of_the_newest_is_missing(told):
    locator, _, _ = told
    ball, depth = scene()
    calls = []

    class Source:
        def pull(self):
            calls.append("pull")
            if len(calls) == 1:
                locator.put(SECOND, millimetres(depth))

        def listen(self):
            calls.append("listen")

    locator.source = Source()
    assert locator.locate(SECOND, [ball], SIZE).positions[1].age == 0 and not locator.waits
    locator.locate(2 * SECOND, [ball], SIZE)
    assert calls == ["pull", "pull", "listen"] and locator.waits
    locator.put(2 * SECOND, millimetres(depth))
    assert not locator.waits
    locator.locate(3 * SECOND, [], SIZE)
    assert calls[3:] == ["pull"], "without objects nobody needs it"


def test_depth_is_late_by_when_it_came_and_not_by_when_it_is_pulled(told):
    locator, late, _ = told
    locator.configure(DepthSettings(depth_timeout=0.01))
    ball, depth = scene()
    locator.locate(SECOND, [ball], SIZE)
    came = time.monotonic()
    time.sleep(0.02)
    locator.put(SECOND, millimetres(depth), came)
    assert late == [SECOND] and locator.late == 0


def test_images_of_a_bag_that_loops_wait_for_their_own_depth(told):
    locator, _, _ = told
    for metres in (1.0, 1.5, 2.0):
        ball, depth = scene(z=metres)
        for second in range(10, 16):
            located = locator.locate(second * SECOND, [ball], SIZE)
            assert second > 12 or located.positions == {}, "nothing is known from the loop before"
            if second >= 12:
                locator.put((second - 2) * SECOND, millimetres(depth))  # depth is two images late
        assert located.positions[1].age == 3 and located.positions[1].surface.position[2] == pytest.approx(
            metres - 0.04, abs=0.02
        )
    assert locator.late == 0


def test_images_of_a_short_bag_that_loops_are_measured_with_their_own_depth(told):
    locator, _, _ = told
    for metres in (1.0, 1.5, 2.0):
        ball, depth = scene(z=metres)
        for number in range(1, 9):
            locator.put(SECOND + number, millimetres(depth))
            located = locator.locate(SECOND + number, [ball], SIZE)
            assert located.positions[1].age == 0
            assert located.positions[1].surface.position[2] == pytest.approx(metres - 0.04, abs=0.02)
        locator.restart()


def test_depth_that_cannot_be_read_is_not_waited_for_any_longer(told):
    locator, _, refused = told
    ball, _ = scene()

    def damaged():
        raise InvalidImage("damaged")

    locator.locate(SECOND, [ball], SIZE)
    locator.put(SECOND, damaged)
    locator.locate(SECOND, [ball], SIZE)
    locator.put(SECOND, damaged)
    locator.locate(SECOND, [ball], SIZE)
    assert refused == ["damaged"] * 2 and not locator.waits


def test_depth_that_comes_after_many_more_tracked_images_counts_as_late(told):
    locator, _, _ = told
    locator.configure(DepthSettings(depth_timeout=5.0))
    ball, depth = scene()
    for number in range(1, 41):
        locator.locate(number * SECOND, [ball], SIZE)
    locator.put(8 * SECOND, millimetres(depth))
    assert locator.late == 1
    locator.put(9 * SECOND, millimetres(depth))
    assert locator.late == 1 and locator.locate(41 * SECOND, [ball], SIZE).positions[1].age == 32


def test_depth_without_camera_info_is_refused_and_masks_go_on(told):
    locator, _, refused = told
    locator.camera = None
    ball, depth = scene()
    locator.put(SECOND, millimetres(depth))
    assert locator.locate(SECOND, [ball], SIZE).positions == {}
    assert refused == ["depth comes, but no camera_info; it is needed for positions in metres"]


def test_depth_that_cannot_be_read_or_shows_something_else_is_refused(told):
    locator, _, refused = told
    ball, depth = scene()

    def damaged():
        raise InvalidImage("5 bytes")

    locator.put(SECOND, damaged)
    locator.put(2 * SECOND, millimetres(depth[:, :-60]))
    locator.locate(SECOND, [ball], SIZE)
    assert locator.locate(2 * SECOND, [ball], SIZE).positions == {}
    assert refused[0] == "5 bytes" and "does not show the same" in refused[1]


def test_a_thousand_objects_have_positions_of_their_own(told):
    locator, _, refused = told
    row, column = np.indices(SIZE)
    cells = row // 8 * 40 + column // 8
    tracks = [track(cells == one, one + 1) for one in range(1000)]
    locator.put(SECOND, millimetres(1 + cells / 1000))
    positions = locator.locate(SECOND, tracks, SIZE).positions
    assert sorted(positions) == list(range(1, 1001)) and refused == []
    assert [positions[one].surface.position[2] for one in (1, 500, 1000)] == pytest.approx([1, 1.499, 1.999], abs=1e-3)


def test_camera_info_that_is_no_calibration_is_named(told):
    locator, _, refused = told
    ball, depth = scene()
    for number, info in enumerate((camera_info(SIZE), camera_info(SIZE, k=[0.0] * 9), camera_info((100, 320)))):
        locator.look_at(info)
        locator.put((number + 1) * SECOND, millimetres(depth))
        measured = locator.locate((number + 1) * SECOND, [ball], SIZE).positions[1].age == 0
        assert measured == (number == 0)
    assert "holds no calibration" in refused[0] and "camera_info is for images of 320x100" in refused[1]


def test_velocity_may_be_switched_on_meanwhile(told):
    locator, _, _ = told
    ball, depth = scene()
    for number in range(1, 5):
        locator.put(number * SECOND // 10, millimetres(depth))
        known = locator.locate(number * SECOND // 10, [ball], SIZE).positions[1]
        locator.configure(DepthSettings(velocity=True))
    assert known.velocity == pytest.approx((0, 0, 0), abs=0.01)


def test_before_any_depth_comes_nothing_is_done_for_an_image():
    ball, _ = scene()
    locator = Locator()
    assert locator.locate(SECOND, [ball], SIZE).positions == {} and not locator._seen


def test_an_image_without_a_stamp_has_no_depth_of_its_own(told):
    locator, _, _ = told
    ball, _ = scene()
    assert locator.locate(0, [ball], SIZE).depth is None
