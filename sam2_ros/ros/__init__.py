"""The room where ROS is spoken: one node around one tracker."""
