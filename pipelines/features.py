"""Stage features: what audit and split see of every image. The search fetches what it needs from the same cache."""

from automl_cnn.data.store import ImageStore
from automl_cnn.features.stage_files import FeatureRequest, write_features
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    audit, files = stage.params.audit, stage.files
    store = ImageStore.open(files.images)
    size_px, weights_dir = audit.input_size_px or store.size_px, stage.params.search.weights_dir
    for name in dict.fromkeys(audit.backbones):
        request, folder = FeatureRequest(name, size_px), files.embeddings / name
        computed = write_features(request, store, folder, stage.cache, weights_dir, stage.progress)
        print(f"{name}: {len(store):,} images at {size_px} px, {computed:,} feature vectors computed")


if __name__ == "__main__":
    run_stage("features", main)
