"""A robot arm that reaches, pushes, grasps, lifts and releases objects among clutter, with exact masks.

Physics and pictures come from pybullet (an optional extra of the package), whose software
renderer needs neither GPU nor display.  Lengths are metres, the table top is at z = 0, the
arm stands at the origin and looks along x.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sam2_ros.training.simulator import Simulator

#: Steps of physics per second, and joints of the Franka arm that move it and its two fingers.
RATE = 240
ARM_JOINTS, FINGERS, HAND = tuple(range(7)), (9, 10), 11
#: Joint angles of a relaxed arm.
RELAXED = (0.0, -0.5, 0.0, -2.3, 0.0, 1.9, 0.785)
#: Fingers open and closed, each, in metres.
OPEN, CLOSED = 0.04, 0.0
#: Of the table top.
TABLE_SIZE = (0.9, 0.75, 0.02)


@dataclass(frozen=True, slots=True)
class Thing:
    """An object on the table.

    model: a URDF of pybullet_data, or ``box``, ``can`` or ``ball``, of ``size`` metres (x, y, z).
    place: x, y; yaw in radians.  colour: RGBA; picture: a texture (H, W, 3) RGB, or None.
    """

    name: str
    model: str
    place: tuple[float, float]
    yaw: float = 0.0
    size: tuple[float, float, float] = (0.05, 0.05, 0.05)
    scale: float = 1.0
    colour: tuple[float, float, float, float] | None = None
    picture: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Camera and light.

    eye, target: metres; on the wrist the eye is carried along.  view_angle: vertical, degrees.
    surfaces: textures of table, wall and floor.
    """

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    view_angle: float
    light: tuple[float, float, float]
    surfaces: tuple[np.ndarray, np.ndarray, np.ndarray]
    on_wrist: bool = False
    shadow: bool = True
    ambient: float = 0.6


@dataclass(frozen=True, slots=True)
class Move:
    """Bring the fingertips to ``place`` (x, y, z) within ``seconds``, then set the fingers; grasp or drop a thing."""

    place: tuple[float, float, float]
    seconds: float
    yaw: float = 0.0
    fingers: float | None = None
    grasp: str = ""
    release: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """What the camera delivers: image (H, W, 3) uint8 RGB, label (H, W) uint8, depth (H, W) float32 metres."""

    image: np.ndarray
    label: np.ndarray
    depth: np.ndarray


class RobotScene(Simulator):
    """One table with one arm."""

    def __init__(self, things: Iterable[Thing], look: Look, *, settle_seconds: float = 0.8) -> None:
        """Build the scene and let it come to rest.  Things are labelled 1, 2, ... in order; the arm is the last."""
        super().__init__()
        import pybullet_data  # comes with pybullet

        self.bullet.setAdditionalSearchPath(pybullet_data.getDataPath(), physicsClientId=self.client)
        self.bullet.setGravity(0, 0, -9.8, physicsClientId=self.client)
        self.bullet.setTimeStep(1 / RATE, physicsClientId=self.client)
        self.look = look
        self.things = list(things)
        self._held: int | None = None
        self._furnish()
        self.bodies = {thing.name: self._add(thing) for thing in self.things}
        self.labels = {body: number for number, body in enumerate(self.bodies.values(), start=1)}
        self.labels[self.arm] = len(self.labels) + 1
        self._advance(settle_seconds)

    def place_of(self, name: str) -> np.ndarray:
        """Centre of a thing's bounding box, (3,) metres."""
        low, high = self.bullet.getAABB(self.bodies[name], physicsClientId=self.client)
        return (np.array(low) + np.array(high)) / 2

    def play(self, moves: Iterable[Move], rate: float, size: tuple[int, int], finer: float = 1.0) -> Iterator[Shot]:
        """Carry out the moves, with a picture of ``size`` (height, width) ``rate`` times a second.

        finer: render this much larger and shrink, for smooth edges.
        """
        owed = 0.0
        for move in moves:
            for _ in self._carry_out(move):
                owed += rate / RATE
                if owed >= 1.0:
                    owed -= 1.0
                    yield self.shoot(size, finer)

    def shoot(self, size: tuple[int, int], finer: float = 1.0) -> Shot:
        """One picture of the scene as it is."""
        height, width = int(size[0] * finer), int(size[1] * finer)
        view, projection, (near, far) = self._camera(width / height)
        look = self.look
        _, _, pixels, depth, bodies = self.bullet.getCameraImage(
            width,
            height,
            view,
            projection,
            shadow=int(look.shadow),
            lightDirection=look.light,
            lightColor=(1, 1, 1),
            lightAmbientCoeff=look.ambient,
            lightDiffuseCoeff=0.55,
            lightSpecularCoeff=0.15,
            renderer=self.bullet.ER_TINY_RENDERER,
            physicsClientId=self.client,
        )
        image = np.asarray(pixels, np.uint8).reshape(height, width, 4)[..., :3]
        bodies = np.asarray(bodies).reshape(height, width)
        table = np.zeros(256, np.uint8)
        for body, label in self.labels.items():
            table[body] = label
        label = table[np.clip(bodies, 0, 255)] * (bodies >= 0)
        metres = far * near / (far - (far - near) * np.asarray(depth, np.float32).reshape(height, width))
        return _shrunk(Shot(np.ascontiguousarray(image), label.astype(np.uint8), metres.astype(np.float32)), size)

    def intrinsics(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy of the pinhole camera in pixels, for pictures of ``size`` (height, width)."""
        focal = size[0] / 2 / np.tan(np.radians(self.look.view_angle) / 2)
        return focal, focal, (size[1] - 1) / 2, (size[0] - 1) / 2

    def _camera(self, aspect: float) -> tuple[Any, Any, tuple[float, float]]:
        """View matrix, projection matrix, and the near and far plane in metres."""
        look, near, far = self.look, 0.03, 6.0
        projection = self.bullet.computeProjectionMatrixFOV(look.view_angle, aspect, near, far)
        if not look.on_wrist:
            return self.bullet.computeViewMatrix(look.eye, look.target, (0, 0, 1)), projection, (near, far)
        state = self.bullet.getLinkState(self.arm, HAND, computeForwardKinematics=1, physicsClientId=self.client)
        turn = np.array(self.bullet.getMatrixFromQuaternion(state[5])).reshape(3, 3)
        eye = np.array(state[4]) + turn @ np.array(look.eye)
        aim = np.array(state[4]) + turn @ np.array(look.target)
        return self.bullet.computeViewMatrix(eye, aim, turn @ np.array((1.0, 0, 0))), projection, (near, far)

    def _furnish(self) -> None:
        bullet = self.bullet
        table, wall, floor = self.look.surfaces
        self._slab((TABLE_SIZE[0] / 2 - 0.15, 0, -TABLE_SIZE[2] / 2), TABLE_SIZE, table)
        away = np.array(self.look.target if not self.look.on_wrist else (0.5, 0, 0))[:2]
        if not self.look.on_wrist:
            away = away - np.array(self.look.eye[:2])
        away = away / max(float(np.linalg.norm(away)), 1e-6)
        centre = np.array([0.4, 0.0]) + away * 1.6
        self._slab((*centre, 0.4), (0.02, 5.0, 3.0), wall, float(np.arctan2(away[1], away[0])))
        self._slab((0.4, 0, -0.75), (6.0, 6.0, 0.02), floor)
        self.arm = bullet.loadURDF(
            "franka_panda/panda.urdf", (-0.05, 0, 0), useFixedBase=True, physicsClientId=self.client
        )
        for joint, angle in zip(ARM_JOINTS, RELAXED):
            bullet.resetJointState(self.arm, joint, angle, physicsClientId=self.client)
        self._set_fingers(OPEN)
        self._tips = np.array(bullet.getLinkState(self.arm, HAND, physicsClientId=self.client)[4])
        self._yaw = 0.0

    def _slab(
        self, centre: tuple[float, ...], size: tuple[float, float, float], picture: np.ndarray, yaw: float = 0.0
    ) -> int:
        half = [length / 2 for length in size]
        turn = self.bullet.getQuaternionFromEuler((0, 0, yaw))
        body = self._body("box", half, 0.0, (*centre,), turn)
        self.paint(body, picture)
        return body

    def _body(self, kind: str, half: list[float], mass: float, centre: tuple[float, ...], turn: Any) -> int:
        bullet, client = self.bullet, self.client
        if kind == "box":
            collision = bullet.createCollisionShape(bullet.GEOM_BOX, halfExtents=half, physicsClientId=client)
            visual = bullet.createVisualShape(bullet.GEOM_BOX, halfExtents=half, physicsClientId=client)
        elif kind == "can":
            collision = bullet.createCollisionShape(
                bullet.GEOM_CYLINDER, radius=half[0], height=2 * half[2], physicsClientId=client
            )
            visual = bullet.createVisualShape(
                bullet.GEOM_CYLINDER, radius=half[0], length=2 * half[2], physicsClientId=client
            )
        else:
            collision = bullet.createCollisionShape(bullet.GEOM_SPHERE, radius=half[0], physicsClientId=client)
            visual = bullet.createVisualShape(bullet.GEOM_SPHERE, radius=half[0], physicsClientId=client)
        return bullet.createMultiBody(mass, collision, visual, centre, turn, physicsClientId=client)

    def _add(self, thing: Thing) -> int:
        bullet = self.bullet
        turn = bullet.getQuaternionFromEuler((0, 0, thing.yaw))
        if thing.model in ("box", "can", "ball"):
            half = [length / 2 for length in thing.size]
            body = self._body(thing.model, half, 0.15, (*thing.place, half[2] + 0.002), turn)
        else:
            body = bullet.loadURDF(
                thing.model, (*thing.place, 0.3), turn, globalScaling=thing.scale, physicsClientId=self.client
            )
            low = bullet.getAABB(body, physicsClientId=self.client)[0]
            bullet.resetBasePositionAndOrientation(
                body, (*thing.place, 0.302 - low[2]), turn, physicsClientId=self.client
            )
        bullet.changeDynamics(
            body, -1, lateralFriction=0.9, rollingFriction=0.003, spinningFriction=0.003, physicsClientId=self.client
        )
        if thing.picture is not None:
            self.paint(body, thing.picture)
        if thing.colour is not None:
            bullet.changeVisualShape(body, -1, rgbaColor=thing.colour, physicsClientId=self.client)
        return body

    def _carry_out(self, move: Move) -> Iterator[None]:
        """One yield per step of physics."""
        start, yaw = self._tips.copy(), self._yaw
        steps = max(int(move.seconds * RATE), 1)
        for step in range(1, steps + 1):
            share = 0.5 - 0.5 * np.cos(np.pi * step / steps)
            self._steer(start + (np.array(move.place) - start) * share, yaw + (move.yaw - yaw) * share)
            self._advance()
            yield
        if move.release and self._held is not None:
            self.bullet.removeConstraint(self._held, physicsClientId=self.client)
            self._held = None
        if move.fingers is not None:
            self._set_fingers(move.fingers)
            for _ in range(int(0.35 * RATE)):
                self._advance()
                yield
        if move.grasp:
            self._hold(self.bodies[move.grasp])

    def _steer(self, tips: np.ndarray, yaw: float) -> None:
        """Let the arm move its finger tips to (x, y, z) in metres, turned by ``yaw`` in radians."""
        self._tips, self._yaw = tips, yaw
        turn = self.bullet.getQuaternionFromEuler((np.pi, 0, yaw))
        angles = self.bullet.calculateInverseKinematics(
            self.arm,
            HAND,
            tips.tolist(),
            turn,
            maxNumIterations=30,
            restPoses=[*RELAXED, OPEN, OPEN],
            lowerLimits=[-2.9] * 9,
            upperLimits=[2.9] * 9,
            jointRanges=[5.8] * 9,
            physicsClientId=self.client,
        )
        for joint in ARM_JOINTS:
            self.bullet.setJointMotorControl2(
                self.arm,
                joint,
                self.bullet.POSITION_CONTROL,
                angles[joint],
                force=240,
                maxVelocity=3.0,
                physicsClientId=self.client,
            )

    def _set_fingers(self, width: float) -> None:
        """Let each finger move this far from the middle, in metres."""
        for joint in FINGERS:
            self.bullet.setJointMotorControl2(
                self.arm,
                joint,
                self.bullet.POSITION_CONTROL,
                width,
                force=25,
                maxVelocity=0.2,
                physicsClientId=self.client,
            )

    def _hold(self, body: int) -> None:
        """Fix a thing to the hand where it is now: simulated fingers alone let things slip."""
        bullet, client = self.bullet, self.client
        hand = bullet.getLinkState(self.arm, HAND, computeForwardKinematics=1, physicsClientId=client)[4:6]
        place = bullet.getBasePositionAndOrientation(body, physicsClientId=client)
        offset = bullet.multiplyTransforms(*bullet.invertTransform(*hand), *place)
        self._held = bullet.createConstraint(
            self.arm,
            HAND,
            body,
            -1,
            bullet.JOINT_FIXED,
            (0, 0, 0),
            offset[0],
            (0, 0, 0),
            parentFrameOrientation=offset[1],
            childFrameOrientation=(0, 0, 0, 1),
            physicsClientId=client,
        )

    def _advance(self, seconds: float = 0.0) -> None:
        for _ in range(max(int(seconds * RATE), 1)):
            self.bullet.stepSimulation(physicsClientId=self.client)


def _shrunk(shot: Shot, size: tuple[int, int]) -> Shot:
    """To ``size``; a pixel belongs to the label that covers most of it."""
    if shot.label.shape == size:
        return shot
    target = size[::-1]
    values = np.unique(shot.label)
    covers = np.stack(
        [cv2.resize((shot.label == value).astype(np.float32), target, interpolation=cv2.INTER_AREA) for value in values]
    )
    return Shot(
        cv2.resize(shot.image, target, interpolation=cv2.INTER_AREA),
        values[covers.argmax(axis=0)],
        cv2.resize(shot.depth, target, interpolation=cv2.INTER_NEAREST),
    )
