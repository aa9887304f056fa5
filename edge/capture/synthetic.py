"""The drawn scene as a source."""

from __future__ import annotations

from edge.capture.scene import Scene
from edge.capture.source import Picture
from edge.config import Camera


class SceneSource:
    """People walking through a drawn shop, without end, the same ones at every start."""

    live = False
    reopens: int | None = None

    def __init__(self, settings: Camera) -> None:
        self.name = "scene"
        self.fps = settings.fps
        self._scene = Scene(width=settings.width, height=settings.height, fps=settings.fps)
        self._index = 0

    def start(self) -> None:
        pass

    def read(self) -> Picture:
        image, _ = self._scene.draw(self._index)
        self._index += 1
        return Picture(image)

    def close(self) -> None:
        pass
