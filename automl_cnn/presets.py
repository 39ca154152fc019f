"""What `search.preset` decides for every key that params.yaml leaves empty.

quick keeps the demo under twelve minutes on two cores; balanced and best search three backbones on larger images
(docs/user_guide.md has the table).
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "quick": {
        "search": {
            "budget_minutes": 1.5,
            "max_trials": 40,
            "backbones": ["efficientnet-lite0"],
            "input_size_px": 160,
            "augmentations": ["none", "flip"],
        },
        "train": {"epochs": 8, "unfreeze_from_block": 6, "learning_rate": 4e-4},
        "quantize": {"steps": 40, "learning_rate": 2e-5},
    },
    "balanced": {
        "search": {
            "budget_minutes": 10.0,
            "max_trials": 150,
            "backbones": ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"],
            "input_size_px": 224,
            "augmentations": ["none", "flip", "crop"],
        },
        "train": {"epochs": 10, "unfreeze_from_block": 5, "learning_rate": 4e-4},
        "quantize": {"steps": 120, "learning_rate": 2e-5},
    },
    "best": {
        "search": {
            "budget_minutes": 30.0,
            "max_trials": 400,
            "backbones": ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"],
            "input_size_px": 224,
            "augmentations": ["none", "flip", "crop"],
        },
        "train": {"epochs": 25, "unfreeze_from_block": 3, "learning_rate": 4e-4},
        "quantize": {"steps": 400, "learning_rate": 2e-5},
    },
}
