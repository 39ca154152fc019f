"""What is wrong with single files: broken, misnamed, odd in content, odd-looking; and what the scan saw of folders."""

from __future__ import annotations

import pandas as pd

from automl_cnn.audit.file_facts import fact_issues
from automl_cnn.audit.odd_looks import look_issues
from automl_cnn.config import Thresholds
from automl_cnn.data.issues import add_issues


def find_file_issues(
    manifest: pd.DataFrame, properties: pd.DataFrame, scanned: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """List every fault of every file, folder and name.

    Args:
        manifest: MANIFEST table.
        properties: PROPERTIES table of its images with status ok, in their order; from `measure_properties`.
        scanned: ISSUES table of the scan: folders, names, links.
        thresholds: section audit.thresholds.
    Returns:
        ISSUES table. block: the file is not used (empty_file, truncated, damaged, not_an_image, unsupported_format,
        too_large, unreadable, missing, symlink_escape, symlink_loop). warn: look at it. info: good to know. `score` is
        what was measured, `threshold` what it was held against; both NaN where nothing is measured.
    """
    usable = manifest[manifest["status"] == "ok"]
    return add_issues(scanned, fact_issues(manifest) + look_issues(usable, properties, thresholds))
