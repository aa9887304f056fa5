"""Privacy masks: what is under one is in no picture that leaves the detector."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.config import PrivacyMask
from edge.errors import EdgeError
from edge.types import Frame, Image

BLACK = (0, 0, 0)  # not blurred: a blur can be undone
RIM = 3  # pixels of the outline that is drawn too: half of it lies outside, where a corner was rounded inwards


class Masks:
    """Fills the polygons of ``masks`` with black. The frame itself is never changed: the detector needs it.

    The copy of the newest frame is kept, so that it is made once for all who need it; without masks nothing is copied.

    Synchronization: any thread may call any method.
    """

    def __init__(self, masks: Sequence[PrivacyMask] = ()) -> None:
        self._masks = tuple(masks)
        # Guards _newest, and that one copy is made of a frame: who comes second waits the millisecond.
        self._lock = threading.Lock()
        self._newest: tuple[Frame, Image] | None = None

    def __bool__(self) -> bool:
        return bool(self._masks)

    def cover(self, frame: Frame) -> Image:
        """The frame's picture without what is under the masks; nobody may write to it.

        Raises EdgeError for a picture that cannot be masked.
        """
        if not self._masks:
            return frame.image
        with self._lock:
            if self._newest is None or self._newest[0] is not frame:
                self._newest = frame, self.fill(frame.image.copy())
            return self._newest[1]

    def fill(self, image: Image) -> Image:
        """Fill the masks in ``image`` itself, and return it; raises EdgeError as cover does."""
        if not self._masks:
            return image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise EdgeError(f"a picture of shape {image.shape} and type {image.dtype} cannot be masked; it is not used")
        outlines = [_outline(mask, image) for mask in self._masks]
        try:
            for outline in outlines:  # one by one: where two overlap, filling both at once would leave a hole
                cv2.fillPoly(image, [outline], BLACK)
            cv2.polylines(image, outlines, True, BLACK, RIM)
        except cv2.error as error:
            raise EdgeError(f"a picture cannot be masked; it is not used: {error.err}") from error
        return image


def _outline(mask: PrivacyMask, image: Image) -> NDArray[np.int32]:
    height, width = image.shape[:2]
    return np.array([(round(x * width), round(y * height)) for x, y in mask.points], np.int32)
