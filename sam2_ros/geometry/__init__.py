"""From masks and depth to metres: where the visible surface of each object is, without ROS.

``camera`` says along which ray a pixel looks, ``depth`` reads depth images, ``pairing`` finds the depth image of an
image, ``surface`` measures objects on it, ``positions`` keeps what is known of them over time.
"""
