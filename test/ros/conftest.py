import pytest


@pytest.fixture(scope="module")
def shared():
    """One node for the tests of a file."""
    from ros_bench import Bench

    bench = Bench()
    yield bench.connect()
    bench.close()


@pytest.fixture
def bench(shared):
    """A node that tracks nothing and remembers no image; its stamps begin much later than any before."""
    from ros_bench import MILLISECOND
    from std_srvs.srv import Trigger

    shared.call(Trigger, "reset")
    shared.node.prompts._refused.clear()  # so that each test finds its own sentences in the log
    shared.node.prompts._told.clear()
    shared.node.worker._throttle.clear()
    shared.clock += 10_000 * MILLISECOND
    return shared


@pytest.fixture
def node():
    """A node that publishes and subscribes beside what is tested."""
    import rclpy

    from sam2_ros.ros.startup import shutdown

    rclpy.init()
    one = rclpy.create_node("camera_of_the_test")
    yield one
    one.destroy_node()
    shutdown()
