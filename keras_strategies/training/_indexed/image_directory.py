"""Images in a folder for each class, decoded one by one."""

import os
import pathlib
from typing import Any

import numpy as np

from keras_strategies._internal import checks

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


class ImageDirectory:
    """A sequence of `(image, label)` that reads an image when it is asked for."""

    def __init__(self, directory: str | os.PathLike[str], image_size: tuple[int, int]):
        root = pathlib.Path(directory)
        if not root.is_dir():
            raise FileNotFoundError(
                checks.message("`directory` must exist", {"directory": str(root)})
            )
        height, width = image_size
        self._size = (
            checks.integer("image_size[0]", height, low=1),
            checks.integer("image_size[1]", width, low=1),
        )
        self.class_names = sorted(
            entry.name for entry in root.iterdir() if entry.is_dir()
        )
        self._root = root
        self._files: list[tuple[str, int]] = [
            (str(path.relative_to(root)), label)
            for label, name in enumerate(self.class_names)
            for path in sorted((root / name).rglob("*"))
            if path.suffix.lower() in _SUFFIXES
        ]
        if not self._files:
            checks.fail(
                f"`directory` must have folders with images ({', '.join(_SUFFIXES)})",
                directory=str(root),
            )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.int32]:
        import cv2

        name, label = self._files[index]
        path = self._root / name
        # Not `cv2.imread`, which cannot open every name and says nothing if it fails.
        image = cv2.imdecode(np.fromfile(path, "uint8"), cv2.IMREAD_COLOR)
        if image is None:
            checks.fail("An image cannot be decoded", path=str(path))
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        height, width = self._size
        if image.shape[:2] != self._size:
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return image.astype("float32"), np.int32(label)

    def signature(self) -> dict[str, Any]:
        """Returns size and classes."""
        return {"image_size": list(self._size), "classes": len(self.class_names)}
