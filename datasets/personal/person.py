"""The person of an album, found by face descriptors.

Choosing the photos of one person by face embedding follows MyStyle (Nitzan et al. 2022).
"""

from dataclasses import dataclass, field, replace

import numpy as np

from utils.errors import InputError

# Of the photos of one adult, two of three pairs are nearer than this; of two people one pair in a thousand.
LIKELY_DISTANCE = 0.5
RIVAL_SHARE = 0.75  # a second person in so many photos, compared with the first, makes the choice a guess


@dataclass(frozen=True)
class AlbumPerson:
    """The person of an album.

    Attributes:
        members: (M, 128) one descriptor for each photo of the person.
        references: (R, 128) descriptors of reference photos.
    """

    members: np.ndarray
    references: np.ndarray = field(default_factory=lambda: np.zeros((0, 128), np.float32))

    def distances(self, descriptors: np.ndarray) -> np.ndarray:
        """Distances (N,) of descriptors (N, 128) from the mean of the person's.

        A member is left out of its own mean.
        """
        known = np.concatenate([self.references, self.members])
        total, count = known.sum(0), len(known)
        result = np.empty(len(descriptors))
        for index, descriptor in enumerate(descriptors):
            own = bool((self.members == descriptor).all(1).any()) and count > 1
            mean = (total - descriptor) / (count - 1) if own else total / count
            result[index] = np.linalg.norm(descriptor - mean)
        return result


def _grow(
    person: AlbumPerson, descriptors: np.ndarray, photos: np.ndarray, limit: float
) -> tuple[AlbumPerson, set[int]]:
    """Takes in the nearest face of every photo that lies within the limit, until nothing changes."""
    chosen: list[int] = []
    for _ in range(50):
        distances = person.distances(descriptors)
        best: dict[int, int] = {}
        for index in np.argsort(distances, kind="stable"):
            if distances[index] <= limit:
                best.setdefault(int(photos[index]), int(index))
        if sorted(best.values()) == chosen or not best:
            break
        chosen = sorted(best.values())
        person = replace(person, members=descriptors[chosen])
    return person, {int(photos[index]) for index in chosen}


def find_person(
    descriptors: np.ndarray, photos: np.ndarray, limit: float, references: np.ndarray | None = None
) -> AlbumPerson:
    """Finds the person of an album: who the references show, else who is in most of the photos.

    Args:
        descriptors: (N, 128) of all good faces.
        photos: (N,) number of the photo of each.
        limit: greatest distance from the mean descriptor of the person.
        references: (R, 128) descriptors of the person.

    Raises:
        InputError: without references, two people are in about equally many photos.
    """
    if references is not None and len(references):
        return _grow(AlbumPerson(descriptors[:0], references), descriptors, photos, limit)[0]
    person, found = _most_frequent(descriptors, photos, limit)
    rest = person.distances(descriptors) > limit
    if rest.any():
        _, rivals = _most_frequent(descriptors[rest], photos[rest], limit)
        if len(rivals) >= RIVAL_SHARE * len(found):
            raise InputError(
                f"two people are about equally frequent here (in {len(found)} and {len(rivals)} photos); "
                "say who is meant with --reference=PHOTO, best several of different ages"
            )
    return person


def _most_frequent(descriptors: np.ndarray, photos: np.ndarray, limit: float) -> tuple[AlbumPerson, set[int]]:
    apart = np.linalg.norm(descriptors[:, None] - descriptors[None], axis=2)
    support = [len(set(photos[row <= LIKELY_DISTANCE].tolist())) for row in apart]
    seed = int(np.argmax(support))
    return _grow(AlbumPerson(descriptors[apart[seed] <= LIKELY_DISTANCE]), descriptors, photos, limit)
