"""Layers that augment."""

from tests.cases.case import Case

AUGMENTATION = [
    Case(
        "augmentation.RandomAffine",
        "layer",
        make=lambda: {
            "rotation_factor": 0.1,
            "translation_height_factor": (-0.1, 0.2),
            "translation_width_factor": 0.1,
            "shear_x_factor": 0.1,
            "shear_y_factor": (0.0, 0.1),
            "zoom_height_factor": 0.2,
            "zoom_width_factor": (-0.2, 0.1),
            "flip_mode": "horizontal_and_vertical",
            "fill_mode": "constant",
            "interpolation": "nearest",
            "seed": 5,
            "fill_value": 0.5,
            "bounding_box_format": "xyxy",
            "jit_compile": False,
        },
        input_shape=(12, 10, 3),
        random=True,
    ),
    Case(
        "augmentation.RandomAffine",
        "layer",
        make=lambda: {"rotation_factor": 0.1, "flip_mode": "horizontal"},
        input_shape=(12, 10, 3),
        label="compiled",
        random=True,
    ),
]
