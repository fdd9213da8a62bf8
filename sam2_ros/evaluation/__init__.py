"""Bags in, numbers out: recordings, replay, metrics, protocols and the report.

This room never imports ``ros/``, ``training/`` or ``demo/``; ``recordings`` is the only
module of the package that knows the rosbags library.
"""
