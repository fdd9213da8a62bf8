"""Runs the tracker on pictures and whole recordings, without ROS; the results are files."""
