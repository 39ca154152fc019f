"""Frozen-backbone features: one view of each image for the audit, the views that training needs for the search."""

from pathlib import Path

from automl_cnn.data.store import ImageStore
from automl_cnn.features.stage_files import FeatureRequest, write_features
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    search, audit, files = stage.params.search, stage.params.audit, stage.files
    store = ImageStore.open(files.images)

    def write(backbone: str, size_px: int, policies: tuple[str, ...], folder: Path) -> None:
        request = FeatureRequest(backbone, size_px, policies)
        computed = write_features(request, store, folder / backbone, stage.cache, search.weights_dir, stage.progress)
        print(f"{backbone}: {len(store):,} images at {size_px} px, {computed:,} feature vectors computed")

    for backbone in dict.fromkeys(audit.backbones):
        write(backbone, audit.input_size_px or store.size_px, (), files.embeddings)
    for backbone in dict.fromkeys(search.backbones):
        write(backbone, search.input_size_px or store.size_px, tuple(search.augmentations or ()), files.features)


if __name__ == "__main__":
    run_stage("features", main)
