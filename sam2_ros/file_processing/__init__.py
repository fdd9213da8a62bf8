"""The tracker over pictures and whole recordings, without ROS: the results are files."""
