"""Numbers that tell whether a face is fit for training: sharpness, head pose, likeness of two pictures."""

import cv2
import numpy as np

PRINT_SIDE = 32
# Nose tip, chin, outer corners of the eyes, corners of the mouth: their numbers in dlib's (iBUG) order, and
# where they lie in an average head (x to the right of the picture, y down, z away from the camera).
_POSE_POINTS = (30, 8, 36, 45, 48, 54)
_HEAD = np.array(
    [(0, 0, 0), (0, 330, 65), (-225, -170, 135), (225, -170, 135), (-150, 150, 125), (150, 150, 125)], float
)


def sharpness(face: np.ndarray) -> float:
    """Variance of the Laplacian over the variance of the grey values of an aligned face, uint8 (S, S, 3).

    Unlike the Laplacian alone (Pech-Pacheco et al. 2000) it does not depend on contrast and exposure.
    """
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64)
    variance = grey.var()
    return float(cv2.Laplacian(grey, cv2.CV_64F).var() / variance) if variance > 1 else 0.0


def head_pose(landmarks: np.ndarray) -> tuple[float, float]:
    """Yaw and pitch in degrees from landmarks (68, 2), by a scaled orthographic fit of an average head.

    Positive yaw: turned to the right of the picture; positive pitch: chin to the chest.
    """
    points = landmarks[list(_POSE_POINTS)]
    camera, *_ = np.linalg.lstsq(_HEAD - _HEAD.mean(0), points - points.mean(0), rcond=None)
    u, _, v = np.linalg.svd(camera.T, full_matrices=False)
    x, y = u @ v  # the nearest pair of orthonormal rows
    z = np.cross(x, y)
    return (
        float(np.degrees(np.arctan2(-z[0], np.hypot(z[1], z[2])))),
        float(np.degrees(np.arctan2(z[1], z[2]))),
    )


def face_print(face: np.ndarray) -> np.ndarray:
    """Reduces an aligned face, uint8 (S, S, 3), to what :func:`print_likeness` compares: uint8 (32, 32)."""
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (PRINT_SIDE, PRINT_SIDE), interpolation=cv2.INTER_AREA)


def print_likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation (-1 to 1) of two face prints, or of one with the mirrored other if that is higher."""
    a, b = (np.asarray(p, np.float64) - np.mean(p) for p in (first, second))
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(max((a * b).sum(), (a * b[:, ::-1]).sum()) / scale) if scale > 0 else 0.0
