"""From masks and depth to metres: where the visible surface of each object is, without ROS.

``camera`` converts pixels into rays, ``depth`` reads depth images, ``pairing`` finds the depth image of an image,
``surface`` measures the objects on it, ``positions`` keeps the results over time, and ``locator`` connects these parts.
"""
