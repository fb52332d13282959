"""Find duplicate pictures: the same file, or nearly the same picture.

A copy in another split is a leak: the model is then measured on what it was trained on.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.camera.sources.picture import PictureError, decode_picture, load_picture
from hivewatch.domain.names import printable
from hivewatch.training.data.dataset import Picture

THUMB_PX = 64
HASH_SIDE = 16
MOST_BITS = 20
MOST_GREY_LEVELS = 3.0
"""Near-copies: at most 20 of the 256 bits of the difference hash (dHash) differ, and the thumbnails differ by
at most three grey levels on average. Rescaled and recompressed copies differ by 0 to 1.2 levels;
frames of one fixed camera on two days by 6 or more, though their hashes can be as close as 11 bits."""

log = logging.getLogger(__name__)

Thumbs = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Copy:
    """Two pictures that are identical (``exact``: the same bytes) or nearly so."""

    first: Picture
    second: Picture
    exact: bool

    @property
    def leaks(self) -> bool:
        """True if exactly one of the two is in the training split."""
        return (self.first.split == "train") != (self.second.split == "train")

    @property
    def disagrees(self) -> bool:
        """True if the labels contradict each other.

        Near-copies from one hive camera may differ in their labels: thumbnails are too small to show a
        hornet.
        """
        from_hive = self.first.domain == self.second.domain == "hive"
        return self.first.hornet != self.second.hornet and (self.exact or not from_hive)

    def __str__(self) -> str:
        what = "the same file" if self.exact else "nearly the same picture"
        first, second = (f"{printable(p.path)} ({p.split})" for p in (self.first, self.second))
        return f"{first} and {second}: {what}"


def find_copies(pictures: Sequence[Picture], threads: int = 2) -> list[Copy]:
    """Return every pair of copies; unreadable pictures are skipped."""
    with ThreadPoolExecutor(threads) as pool:
        fingerprints = list(zip(pictures, pool.map(_fingerprint, pictures), strict=True))
    readable = [(picture, found[0], found[1]) for picture, found in fingerprints if found is not None]
    same = _same_files([(picture, digest) for picture, digest, _ in readable])
    exact = {frozenset((a.path, b.path)) for a, b in same}
    near = _near([p for p, _, _ in readable], np.stack([t for _, _, t in readable])) if readable else []
    copies = [Copy(a, b, exact=True) for a, b in same]
    return copies + [Copy(a, b, exact=False) for a, b in near if frozenset((a.path, b.path)) not in exact]


def shared_scenes(pictures: Sequence[Picture]) -> list[str]:
    """Return a sentence per scene (camera and day) that is in the training split and in another."""
    splits: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        if picture.scene:
            splits[picture.scene].add(picture.split)
    return [
        f"scene {scene} is in the splits {', '.join(sorted(names))}: keep it in one, as frames of one camera"
        " and day are near-copies"
        for scene, names in sorted(splits.items())
        if "train" in names and len(names) > 1
    ]


def describe_copies(copies: Sequence[Copy], scenes: Sequence[str]) -> list[str]:
    """Return a sentence per leak, contradiction and exact copy, and the number of other near-copies."""
    sentences = [f"leak: {copy}" for copy in copies if copy.leaks]
    sentences += [f"contradictory labels: {copy}" for copy in copies if copy.disagrees and not copy.leaks]
    sentences += [f"leak: {sentence}" for sentence in scenes]
    quiet = [copy for copy in copies if not copy.leaks and not copy.disagrees]
    sentences += [f"duplicate: {copy}" for copy in quiet if copy.exact]
    near = {p.path for copy in quiet if not copy.exact for p in (copy.first, copy.second)}
    if near:
        sentences.append(
            f"{len(near)} pictures are nearly the same as another in their split (usually bursts)"
        )
    return sentences


def warn_of_copies(pictures: Sequence[Picture]) -> list[str]:
    """Find copies among ``pictures``; log and return a description of them, see ``describe_copies``."""
    sentences = describe_copies(find_copies(pictures), shared_scenes(pictures))
    for sentence in sentences:
        log.warning("%s", sentence)
    return sentences


def _fingerprint(picture: Picture) -> tuple[str, Thumbs] | None:
    """Return the file's digest and a grey thumbnail, or None if it cannot be read."""
    try:
        content = load_picture(picture.path)
        grey = decode_picture(picture.path, content, cv2.IMREAD_REDUCED_GRAYSCALE_2)
    except PictureError:
        return None
    thumb = cv2.resize(grey, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA)
    return hashlib.sha256(content).hexdigest(), np.asarray(thumb, np.uint8)


def _same_files(digests: Sequence[tuple[Picture, str]]) -> list[tuple[Picture, Picture]]:
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture, digest in digests:
        groups[digest].append(picture)
    return [pair for group in groups.values() for pair in pairwise(group)]


def _near(pictures: Sequence[Picture], thumbs: Thumbs) -> list[tuple[Picture, Picture]]:
    signs = np.stack([_hash(thumb) for thumb in thumbs])
    pairs = []
    for i in range(len(pictures)):
        # The product of two hashes of +1 and -1 is the number of equal bits minus that of different bits.
        differing = (signs.shape[1] - signs[i + 1 :] @ signs[i]) / 2
        for j in np.flatnonzero(differing <= MOST_BITS) + i + 1:
            levels = np.abs(thumbs[i].astype(np.int16) - thumbs[j]).mean()
            if levels <= MOST_GREY_LEVELS:
                pairs.append((pictures[i], pictures[int(j)]))
    return pairs


def _hash(thumb: Thumbs) -> npt.NDArray[np.float32]:
    """Return the difference hash: for each of 16 x 16 cells, +1 if it gets brighter to the right, else -1."""
    small = cv2.resize(thumb, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    brighter = (small[:, 1:] > small[:, :-1]).ravel()
    return np.where(brighter, 1.0, -1.0).astype(np.float32)
