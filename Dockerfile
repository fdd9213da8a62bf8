# The package on an installed ROS 2: humble, jazzy, kilted or lyrical, on x86-64 and arm64.
#
#   docker build --build-arg ROS_DISTRO=humble --tag sam2_ros:humble .
#   docker run --rm --net=host --ipc=host sam2_ros:humble ros2 launch sam2_ros track.launch.py image:=/camera/image_raw
#
# --ipc=host, because images travel through shared memory and a container has 64 MB of it.  With an NVIDIA GPU
# build with TORCH_INDEX=https://pypi.org/simple and run with --gpus=all; a Jetson needs NVIDIA's own image.
#
# Written by the conventions of the official images of ROS.  The maintainers have no container runtime: not run.

ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base
SHELL ["/bin/bash", "-e", "-o", "pipefail", "-c"]
WORKDIR /ws

# What changes seldom comes first: the packages of Ubuntu and ROS that package.xml names, then those of pip.
COPY package.xml src/sam2_ros/
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-venv \
 && rosdep update --rosdistro "$ROS_DISTRO" \
 && rosdep install --from-paths src --ignore-src --yes --rosdistro "$ROS_DISTRO" \
      --dependency-types=buildtool --dependency-types=build --dependency-types=exec \
 && rm -rf /var/lib/apt/lists/*
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV VIRTUAL_ENV=/ws/venv PATH=/ws/venv/bin:$PATH
RUN python3 -m venv --system-site-packages "$VIRTUAL_ENV" \
 && pip install --no-cache-dir --index-url "$TORCH_INDEX" torch \
 && pip install --no-cache-dir safetensors rosbags "setuptools<80"

COPY . src/sam2_ros
RUN source "/opt/ros/$ROS_DISTRO/setup.bash" \
 && colcon build --cmake-args -DBUILD_TESTING=OFF \
 && printf '#!/bin/bash\nsource /opt/ros/$ROS_DISTRO/setup.bash\nsource /ws/install/setup.bash\nexec "$@"\n' > /entrypoint \
 && chmod +x /entrypoint
ENTRYPOINT ["/entrypoint"]
CMD ["ros2", "launch", "sam2_ros", "track.launch.py"]
