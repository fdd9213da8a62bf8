"""In the place of message_filters, which has no wheel: what the node uses of it, by its documented behaviour.

A message is paired with the nearest one of the other topic whose stamp is less than the slop away; each of them is
used once.  Of each topic the messages with the newest stamps are kept, as many as the queue is long.
"""

from rclpy.time import Time


class SimpleFilter:
    def __init__(self):
        self._callbacks = []

    def registerCallback(self, callback, *arguments):  # noqa: N802
        self._callbacks.append((callback, arguments))

    def signalMessage(self, *messages):  # noqa: N802
        for callback, arguments in self._callbacks:
            callback(*messages, *arguments)


class ApproximateTimeSynchronizer(SimpleFilter):
    def __init__(self, filters, queue_size, slop, allow_headerless=False):
        super().__init__()
        self._size, self._slop = queue_size, round(slop * 1e9)
        self._queues = [{}, {}]
        for number, one in enumerate(filters):
            one.registerCallback(self._add, number)

    def _add(self, message, number):
        stamp = Time.from_msg(message.header.stamp).nanoseconds  # a message without a real stamp would fail here
        mine, others = self._queues[number], self._queues[1 - number]
        mine[stamp] = message
        while len(mine) > self._size:
            del mine[min(mine)]
        near = min(others, key=lambda other: abs(other - stamp), default=None)
        if near is not None and abs(near - stamp) < self._slop and stamp in mine:
            both = [mine.pop(stamp), others.pop(near)]
            self.signalMessage(*(both if number == 0 else reversed(both)))
