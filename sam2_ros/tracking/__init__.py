"""One stream of frames: the tracker, and the memory of each object."""
