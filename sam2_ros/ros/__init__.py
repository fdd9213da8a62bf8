"""The part that uses ROS: one node around one tracker."""
