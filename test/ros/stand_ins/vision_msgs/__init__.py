"""In the place of vision_msgs, which has no wheel."""
