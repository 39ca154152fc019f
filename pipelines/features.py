"""Frozen-backbone features for the audit and the search."""

from automl_cnn.data.store import ImageStore
from automl_cnn.features.cache import FeatureRequest, write_features
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    search = stage.params.search
    store = ImageStore.open(stage.files.images)
    for backbone in dict.fromkeys([*stage.params.audit.backbones, *search.backbones]):
        policies = tuple(search.augmentations or ()) if backbone in search.backbones else ()
        request = FeatureRequest(backbone, search.input_size_px or store.size_px, policies)
        folder = stage.files.features / backbone
        computed = write_features(request, store, folder, stage.cache, search.weights_dir, stage.progress)
        print(f"{backbone}: {len(store):,} images at {request.input_size_px} px, {computed:,} feature vectors computed")


if __name__ == "__main__":
    run_stage("features", main)
