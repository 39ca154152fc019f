"""Two data sets that come with Python packages, written as class folders: what the demo and the tests start from."""

from __future__ import annotations

import csv
import importlib.resources
import shutil
from collections.abc import Callable
from pathlib import Path

from automl_cnn.artifacts import replacing_folder
from automl_cnn.errors import DataError
from automl_cnn.progress import Progress, silent

DIGIT_SIZE_PX = 64
_ELPV_IMAGES, _DIGITS_IMAGES = 2624, 1797
_ELPV_README = """\
ELPV: 2,624 solar cells in electroluminescence light, 300 × 300 pixels

functional/ and defective/ hold the images; functional means a defect probability of 0 or 1/3, defective 2/3 or 1.
metadata.csv: path, label, probability (mean of the experts' votes), cell_type (mono or poly).

Licence: Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International (CC BY-NC-SA 4.0),
https://creativecommons.org/licenses/by-nc-sa/4.0/. For commercial use ask the authors.
Source: the Python package elpv-dataset, https://github.com/zae-bayern/elpv-dataset

Please cite:
Buerhop-Lutz, C.; Deitsch, S.; Maier, A.; Gallwitz, F.; Berger, S.; Doll, B.; Hauch, J.; Camus, C. & Brabec, C. J.
  A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery. EU PVSEC, 2018.
  doi:10.4229/35thEUPVSEC20182018-5CV.3.15
Deitsch, S.; Buerhop-Lutz, C.; Sovetkin, E.; Steland, A.; Maier, A.; Gallwitz, F. & Riess, C. Segmentation of
  photovoltaic module cells in uncalibrated electroluminescence images. Machine Vision and Applications 32(4), 2021.
  doi:10.1007/s00138-021-01191-9
Deitsch, S.; Christlein, V.; Berger, S.; Buerhop-Lutz, C.; Maier, A.; Gallwitz, F. & Riess, C. Automatic
  classification of defective photovoltaic module cells in electroluminescence images. Solar Energy 185, 2019.
  doi:10.1016/j.solener.2019.02.067
"""
_DIGITS_README = """\
Digits: 1,797 handwritten digits, enlarged from 8 × 8 to 64 × 64 pixels

0/ to 9/ hold the images. Source: scikit-learn's load_digits, which is the test part of "Optical Recognition of
Handwritten Digits", E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository, doi:10.24432/C50P49 (CC BY 4.0).
"""


def write_elpv(folder: Path, progress: Progress = silent) -> int:
    """Write the solar cells of the installed elpv-dataset package as class folders, with metadata.csv and README.txt.

    Args:
        folder: where to; missing, empty, or written by this function before.
        progress: told of every image.
    Returns:
        Number of images, 2,624.
    Raises:
        DataError: the package is not installed or not whole, or `folder` holds something else.
    Source: Buerhop-Lutz et al. 2018; the two classes as in Deitsch et al. 2019.
    """
    return _write_once(folder, _ELPV_README, _ELPV_IMAGES, lambda target: _copy_elpv(target, progress))


def write_digits(folder: Path, progress: Progress = silent) -> int:
    """Write scikit-learn's handwritten digits as class folders 0 to 9; as `write_elpv`, 1,797 images."""
    return _write_once(folder, _DIGITS_README, _DIGITS_IMAGES, lambda target: _draw_digits(target, progress))


def _write_once(folder: Path, readme: str, images: int, write: Callable[[Path], None]) -> int:
    """Fill a new folder and rename it into place; README.txt marks it as ours, and being whole."""
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        marker = folder / "README.txt"
        ours = marker.is_file() and marker.read_bytes() == readme.encode()
        present = sum(1 for _ in folder.glob("*/*.png")) if ours else 0
        if present == images:
            return images
        received = f"{present:,} of {images:,} images" if ours else "other content"
        raise DataError(
            str(folder), expected="a new or empty folder, or the whole sample", received=received,
            action="Name another folder, or remove this one.",
        )  # fmt: skip
    with replacing_folder(folder) as temporary:
        write(temporary)
        (temporary / "README.txt").write_bytes(readme.encode())
    return images


def _copy_elpv(target: Path, progress: Progress) -> None:
    try:
        source = importlib.resources.files("elpv_dataset") / "data"
        lines = (source / "labels.csv").read_text(encoding="utf-8").split("\n")
    except (ModuleNotFoundError, FileNotFoundError):
        raise _no_elpv("none") from None
    rows = [line.split() for line in lines if line.strip()]  # images/cell0001.png  1.0  mono
    if len(rows) != _ELPV_IMAGES:
        raise _no_elpv(f"one with {len(rows):,} images")
    listed: list[tuple[str, str, str, str]] = []
    for done, (name, probability, cell_type) in enumerate(rows, start=1):
        label = "functional" if float(probability) < 0.5 else "defective"
        path = f"{label}/{name.rsplit('/', 1)[-1]}"
        (target / label).mkdir(exist_ok=True)
        with importlib.resources.as_file(source / name) as image:
            shutil.copyfile(image, target / path)
        listed.append((path, label, probability, cell_type))
        progress("copy", done, len(rows))
    with (target / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "probability", "cell_type"))
        writer.writerows(sorted(listed))


def _no_elpv(received: str) -> DataError:
    return DataError(
        "sample elpv", expected=f"the package elpv-dataset with {_ELPV_IMAGES:,} images", received=received,
        action="Install it with `pip install 'automl-cnn[samples]'`.",
    )  # fmt: skip


def _draw_digits(target: Path, progress: Progress) -> None:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (values, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        (target / str(label)).mkdir(exist_ok=True)
        small = Image.fromarray(np.rint(values * (255 / 16)).astype(np.uint8))  # 17 grey levels, 0 to 16
        large = small.resize((DIGIT_SIZE_PX, DIGIT_SIZE_PX), Image.Resampling.BICUBIC)
        large.save(target / str(label) / f"digit-{number:04}.png")
        progress("draw", number + 1, len(digits.target))
