"""Whole recordings through the tracker, without ROS: the results are files."""
