"""Labels that are probably wrong, ranked, from predictions for images that the predictor has not seen.

Out-of-fold probabilities (ensemble.py) and a model of how labels go wrong (noise.py) give each label a probability of
being wrong; the score is its log-odds. Differs from confident learning (Northcutt et al. 2021) in that the classes
that are mistaken for each other are learned together with the errors, so that confusions of similar classes and
errors that stand anywhere are ranked on one scale; and folds keep groups together, so that a near-copy under the same
wrong label cannot vouch for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import LABELS
from automl_cnn.audit.ensemble import LabelEnsemble
from automl_cnn.audit.folds import seen_elsewhere
from automl_cnn.audit.health import label_report, worth_a_look
from automl_cnn.audit.neighbours import nearest_of_other_groups
from automl_cnn.audit.noise import NoiseModel, fit_noise
from automl_cnn.audit.second_opinion import cleanlab_scores, require_cleanlab
from automl_cnn.progress import Progress, silent

# In the median class. Learning again from beliefs instead of labels gains .02 in average precision at 35 images a class
# (500 of clothing), .005 at 300; what a hard cut of the worst labels loses at 33 images, beliefs do not.
SECOND_ROUND_IMAGES = 30
_SMALLEST = 1e-6  # probabilities below are not told apart


@dataclass(frozen=True)
class LabelFindings:
    """What `find_label_issues` found.

    Attributes:
        table: LABELS, most suspicious first, and beside it `p_wrong`, the probability that the label is wrong;
            `neighbours`, JSON text: the most alike images of other groups as [image_id, label, similarity]; and, if it
            was asked for, `cleanlab_score`.
        report: plain JSON values: noise, cutoff, classes; see `label_report`.
    """

    table: pd.DataFrame
    report: dict[str, Any]


def find_label_issues(
    images: pd.DataFrame,
    embeddings: NDArray[np.floating],
    groups: NDArray[np.object_],
    folds: int,
    seed: int,
    progress: Progress = silent,
    second_opinion: bool = False,
    index_above: int = 50_000,
) -> LabelFindings:
    """Rank images by how probably their label is wrong.

    Args:
        images: rows of the manifest that are usable, with image_id, path, label.
        embeddings: float [n, d], one a row of `images`; of several backbones side by side, each of length 1.
        groups: text [n]; images of one group never judge each other.
        folds: at least 2.
        seed: of the folds, of the images that span the kernel and of the index.
        progress: told after every fold.
        second_opinion: whether cleanlab's score stands beside ours.
        index_above: images; neighbours in larger sets are looked up in an index.
    Returns:
        Table and report; the order of the rows given does not matter. p_given and p_suggested are what the picture
        alone says; p_wrong and score take the label and the errors of other labels into account. They are NaN, and the
        rows last, where the label cannot be judged: no other group has it.
    Raises:
        ConfigError: a second opinion is wanted and cleanlab is not installed.
    Source: docs/audit.md, with measurements.
    """
    if second_opinion:
        require_cleanlab()
    order = np.argsort(images["image_id"].to_numpy(str), kind="stable")
    images, embeddings, groups = images.iloc[order], np.asarray(embeddings)[order], groups[order]
    classes, given = np.unique(images["label"].to_numpy(str), return_inverse=True)
    judged = seen_elsewhere(given, groups) if len(classes) > 1 else np.zeros(len(given), bool)
    table = _unjudged(images)
    report = label_report(None, np.empty((0, len(classes))), given, judged, classes.tolist())
    if judged.any():
        probabilities = out_of_fold_probabilities(embeddings, given, groups, folds, seed, progress)[judged]
        model = fit_noise(probabilities, given[judged])
        table = _judge(table, judged, classes, given, model)
        report = label_report(model, probabilities, given, judged, classes.tolist())
        if second_opinion:
            table["cleanlab_score"] = np.nan
            table.loc[judged, "cleanlab_score"] = cleanlab_scores(given[judged], probabilities)
    elif second_opinion:
        table["cleanlab_score"] = np.nan
    table["neighbours"] = _neighbours(table, nearest_of_other_groups(
        embeddings, groups, index_above=index_above, seed=seed, progress=progress
    ))  # fmt: skip
    # ties and what is not judged: by image_id
    last = np.argsort(-np.nan_to_num(table["score"].to_numpy(), nan=-np.inf), kind="stable")
    table = table.iloc[last].reset_index(drop=True)
    table["rank"] = np.arange(1, len(table) + 1)
    return LabelFindings(
        table[[*LABELS.columns, *(name for name in table.columns if name not in LABELS.columns)]], report
    )


def out_of_fold_probabilities(
    embeddings: NDArray[np.floating],
    given: NDArray[np.int64],
    groups: NDArray[np.object_],
    folds: int,
    seed: int,
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """Class probabilities of each image by classifiers that saw no image of its group.

    Where classes are large enough, a second round learns from what the first believes about each label.

    Args:
        embeddings: float [n, d].
        given: int64 [n], 0 to K − 1, K at least 2.
        groups: text [n].
        folds: at least 2.
        seed: of folds and kernel.
        progress: told after every fold.
    Returns:
        float64 [n, K]; rows add up to 1.
    """
    ensemble = LabelEnsemble(embeddings, given, groups, folds, seed)
    classes = int(given.max()) + 1
    probabilities = ensemble.predict(np.eye(classes)[given], np.ones(len(given)), progress)
    if np.median(np.bincount(given)) < SECOND_ROUND_IMAGES:
        return probabilities
    first = fit_noise(probabilities, given)
    return ensemble.predict(first.belief, 1 - first.p_wrong(given), progress, "label folds, again")


def _unjudged(images: pd.DataFrame) -> pd.DataFrame:
    label = images["label"].to_numpy(str).astype(object)
    return pd.DataFrame({
        "image_id": images["image_id"].to_numpy(), "path": images["path"].to_numpy(),
        "label": label, "suggested_label": label, "p_given": np.nan, "p_suggested": np.nan, "score": np.nan,
        "flagged": False, "p_wrong": np.nan,
    }).astype({"label": "str", "suggested_label": "str"})  # fmt: skip


def _judge(
    table: pd.DataFrame,
    judged: NDArray[np.bool_],
    classes: NDArray[np.str_],
    given: NDArray[np.int64],
    model: NoiseModel,
) -> pd.DataFrame:
    rows, own = np.arange(int(judged.sum())), given[judged]
    others = model.belief.copy()
    others[rows, own] = -1
    suggested = others.argmax(axis=1)
    wrong = model.p_wrong(own)
    right = np.maximum(model.belief[rows, own], _SMALLEST)
    # six digits are the same on every machine
    found = {
        "suggested_label": classes[suggested].astype(object),
        "p_given": np.round(model.clean[rows, own], 6),
        "p_suggested": np.round(model.clean[rows, suggested], 6),
        "score": np.round(np.log(np.maximum(wrong, _SMALLEST)) - np.log(right), 6),
        "flagged": worth_a_look(model, own),
        "p_wrong": np.round(wrong, 6),
    }
    table = table.copy()
    for name, values in found.items():
        table.loc[judged, name] = values
    return table


def _neighbours(table: pd.DataFrame, found: tuple[NDArray[np.int64], NDArray[np.float32]]) -> list[str]:
    near, similarity = found
    ids, labels = table["image_id"].tolist(), table["label"].tolist()
    return [
        json.dumps([[ids[k], labels[k], round(float(s), 4)] for k, s in zip(row, alike, strict=True) if k >= 0],
                   ensure_ascii=False)
        for row, alike in zip(near.tolist(), similarity.tolist(), strict=True)
    ]  # fmt: skip
