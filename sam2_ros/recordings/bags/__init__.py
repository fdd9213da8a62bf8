"""Bags of rosbag2.

``topics`` finds the purpose of topics, ``bag`` converts their messages.  ``reader`` and ``writer`` know the files:
``storage_file`` has what MCAP and SQLite files have in common, ``message_types`` the definitions by which bytes become
messages.  Only ``reader``, ``writer`` and what they use need the rosbags library.
"""
