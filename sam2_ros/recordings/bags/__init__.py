"""Bags of rosbag2.

``topics`` knows what topics are for, ``bag`` what their messages mean.  ``reader`` and ``writer`` know the files:
``storage_file`` is what MCAP and SQLite files have in common, ``message_types`` are the definitions that turn bytes
into messages.  Only ``reader``, ``writer`` and what they use need the rosbags library.
"""
