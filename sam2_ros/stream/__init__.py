"""The tracker behind a mailbox, without ROS: the session, its worker and their requests."""
