"""The tracker behind a mailbox, without ROS: session, worker and requests."""
