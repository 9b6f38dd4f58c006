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
    """Fine over coarse detail of an aligned face, uint8 (S, S, 3): about 2 where it is blurred, else 4 to 20.

    The variance of the Laplacian at a scale of 0.7 pixels over that at 2 pixels. Unlike the plain variance of
    the Laplacian (Pech-Pacheco et al. 2000) it depends on neither contrast nor exposure, and JPEG blocks do
    not make a blurred face look sharp.
    """
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64)
    fine, coarse = (cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), s), cv2.CV_64F).var() for s in (0.7, 2.0))
    return float(fine / coarse) if coarse > 0 else 0.0


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
        float(np.degrees(np.arctan2(z[0], np.hypot(z[1], z[2])))),
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
