"""How well strange images are told from those like the training images: our score and rivals, on the same features.

Test images of a finished project against pictures of other sets, through the shipped file. AUROC: how often a strange
picture scores above a test image; "found": share of strange pictures above the score that 95 % of the validation images
stay below. Rivals: other neighbours, other numbers of dimensions, all features, distance to the class means under a
shared covariance (Lee et al. 2018), and the probability of the answer (Hendrycks and Gimpel 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from drift_images import open_project
from harness import Result, parser
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from automl_cnn.artifacts import SPLITS, Files, read_table
from automl_cnn.config import load_params
from automl_cnn.data.decode import decode_file, shrink
from automl_cnn.litert import LiteCopies
from automl_cnn.reference.sketch import Sketcher
from automl_cnn.tflite_features import with_features

SEED, BANK = 1, 1000
Floats = NDArray[np.float32]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--project", action="append", type=Path, required=True, help="a finished run; may be repeated"
    )
    arguments.add_argument("--strangers", action="append", type=Path, required=True, help="a folder of other pictures")
    arguments.add_argument("--images", type=int, default=400, help="of each kind at most")
    options = arguments.parse_args()
    result = Result("strangers", {"seed": SEED, "images": options.images, "bank": BANK})
    for folder in options.project:
        project, root = open_project(folder), folder / load_params(folder / "params.yaml").data.root
        look = _Eye(project.model, folder)
        splits = read_table(Files(folder / "artifacts").split / "splits.parquet", SPLITS)
        sides = {
            name: look([root / path for path in splits.loc[splits["split"] == name, "path"]], most)
            for name, most in (("train", BANK), ("validation", options.images), ("test", options.images))
        }
        labels = splits.loc[splits["split"] == "train", "label"].to_numpy(str)[
            look.rows(len(splits[splits["split"] == "train"]), BANK)
        ]
        strangers = {
            "/".join(other.parts[-2:]): look(
                sorted(path for path in other.rglob("*") if path.suffix.lower() in (".jpg", ".png")), options.images
            )
            for other in options.strangers
        }
        rows = []
        for name, score in _scores(sides["train"], labels):
            own, usual = score(*sides["test"]), score(*sides["validation"])
            row: list[object] = [name]
            for other in strangers.values():
                theirs = score(*other)
                truth = np.repeat([0, 1], [len(own), len(theirs)])
                row += [
                    float(roc_auc_score(truth, np.concatenate([own, theirs]))),
                    float((theirs > np.quantile(usual, 0.95)).mean()),
                ]
            rows.append([*row, float((own > np.quantile(usual, 0.95)).mean())])
        columns = ["score", *(f"{kind}, {name}" for name in strangers for kind in ("AUROC", "found")), "test above"]
        result.table(f"{project.name}: strange pictures", columns, rows)
    result.write(options.out)


class _Eye:
    """Features and probabilities of files, as the shipped file sees them."""

    def __init__(self, model: Path, folder: Path) -> None:
        self._copies = LiteCopies(with_features(model.read_bytes()), 2, outputs=2)
        self._data = load_params(folder / "params.yaml").data

    def __call__(self, paths: list[Path], most: int) -> tuple[Floats, Floats]:
        chosen = [paths[i] for i in self.rows(len(paths), most)]
        size, data = self._copies.input_shape[1], self._data
        probabilities, features = [], []
        for start in range(0, len(chosen), 64):
            pictures = [
                shrink(decode_file(path, data.working_size_px, data.resize, data.max_megapixels).pixels, size)
                for path in chosen[start : start + 64]
            ]
            answers, seen = self._copies.run_each_outputs(np.stack(pictures))
            probabilities.append(answers)
            features.append(seen)
        return np.concatenate(features), np.concatenate(probabilities)

    @staticmethod
    def rows(n: int, most: int) -> NDArray[np.int64]:
        return np.sort(np.random.default_rng(SEED).permutation(n)[:most])


def _scores(
    train: tuple[Floats, Floats], labels: NDArray[np.str_]
) -> Iterator[tuple[str, Callable[[Floats, Floats], NDArray[np.float64]]]]:
    features, _ = train
    for length in (16, 32, 64, 128):
        sketcher = Sketcher.fit(features, length)
        bank = sketcher(features)
        for neighbour in (1, 5, 10, 50) if length == 64 else (5,):
            yield f"neighbour {neighbour}, {length} directions", _neighbour(sketcher, bank, neighbour)

    def flat(rows: Floats) -> Floats:
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    for neighbour in (1, 5, 10):
        yield f"neighbour {neighbour}, all features, their direction", _neighbour(flat, flat(features), neighbour)
    mean, axes = features.mean(axis=0), Sketcher.fit(features, 64).axes

    def of_whole(rows: Floats) -> Floats:
        """What lies outside the axes makes a sketch shorter than 1, and so a stranger."""
        return (rows - mean) @ axes / np.maximum(np.linalg.norm(rows - mean, axis=1, keepdims=True), 1e-9)

    for neighbour in (1, 5):
        bank_of_whole = of_whole(features)
        yield f"neighbour {neighbour}, 64 axes over the whole length", _neighbour(of_whole, bank_of_whole, neighbour)

    def plain(rows: Floats) -> Floats:
        return (rows - mean) @ axes

    bank = plain(features)
    yield "neighbour 5, 64 axes with their lengths", lambda rows, _: _distances(plain(rows), bank, 5)
    yield (
        "residual outside 64 axes, share",
        lambda rows, _: 1 - (plain(rows) ** 2).sum(axis=1) / ((rows - mean) ** 2).sum(axis=1),
    )
    names = np.unique(labels)
    means = np.stack([bank[labels == name].mean(axis=0) for name in names])
    precision = LedoitWolf().fit(bank - means[np.searchsorted(names, labels)]).precision_

    def mahalanobis(rows: Floats, _: Floats) -> NDArray[np.float64]:
        off = plain(rows)[:, None] - means[None]
        return np.einsum("ncd,de,nce->nc", off, precision, off).min(axis=1)

    yield "Mahalanobis to the nearest class mean, 64 axes", mahalanobis
    yield "1 − probability of the answer", lambda _, probabilities: 1 - probabilities.max(axis=1).astype(np.float64)


def _neighbour(
    sketch: Callable[[Floats], Floats], bank: Floats, neighbour: int
) -> Callable[[Floats, Floats], NDArray[np.float64]]:
    return lambda rows, _: np.partition(1.0 - sketch(rows).astype(np.float64) @ bank.T, neighbour - 1, axis=1)[
        :, neighbour - 1
    ]


def _distances(rows: Floats, bank: Floats, neighbour: int) -> NDArray[np.float64]:
    squared = (rows**2).sum(axis=1)[:, None] + (bank**2).sum(axis=1)[None] - 2 * rows @ bank.T
    return np.partition(squared.astype(np.float64), neighbour - 1, axis=1)[:, neighbour - 1]


if __name__ == "__main__":
    main()
