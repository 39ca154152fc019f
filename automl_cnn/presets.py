"""What `search.preset` decides for every key that params.yaml leaves empty.

quick keeps the demo under twelve minutes on two cores; balanced and best compare more backbones and input sizes, try
more augmentation and fine-tune more deeply (docs/user_guide.md has the table).
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "quick": {
        "search": {
            "budget_minutes": 7.0,
            "max_arms": 3,
            "finalists": 1,
            "input_sizes_px": [160],
            "augmentations": ["none", "flip", "flips", "crop"],
            "views": 3,
        },
        "train": {"epochs": 8, "unfreeze_from_block": [6, 4], "learning_rate": 4e-4, "distillation": 0.0},
        "quantize": {"steps": 40, "learning_rate": 2e-5, "calibration_images": 128},
    },
    "balanced": {
        "search": {
            "budget_minutes": 20.0,
            "max_arms": 9,
            "finalists": 2,
            "input_sizes_px": [128, 160, 224],
            "augmentations": ["none", "flip", "flips", "crop", "colour"],
            "views": 4,
        },
        "train": {"epochs": 12, "unfreeze_from_block": [4, 2, 6], "learning_rate": 4e-4, "distillation": 0.5},
        "quantize": {"steps": 120, "learning_rate": 2e-5, "calibration_images": 256},
    },
    "best": {
        "search": {
            "budget_minutes": 60.0,
            "max_arms": 20,
            "finalists": 3,
            "input_sizes_px": [96, 128, 160, 192, 224, 260],
            "augmentations": ["none", "flip", "flips", "crop", "colour", "rotation", "randaugment", "erasing"],
            "views": 6,
        },
        "train": {"epochs": 16, "unfreeze_from_block": [4, 2], "learning_rate": 4e-4, "distillation": 0.5},
        "quantize": {"steps": 400, "learning_rate": 2e-5, "calibration_images": 256},
    },
}
