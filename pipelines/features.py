"""Stage features: what audit and split see of every image. The search fetches what it needs from the same cache."""

from automl_cnn.data.store import ImageStore
from automl_cnn.features.embeddings import write_embeddings
from automl_cnn.features.frozen import FrozenNetwork
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    audit, search, files = stage.params.audit, stage.params.search, stage.files
    store = ImageStore.open(files.images)
    size_px = audit.input_size_px or store.size_px
    for name in dict.fromkeys(audit.backbones):
        network = FrozenNetwork(name, size_px, weights_dir=search.weights_dir, download=search.download)
        computed = write_embeddings(network, store, files.embeddings / name, stage.cache, stage.progress)
        print(f"{name}: {len(store):,} images at {size_px} px, {computed:,} feature vectors computed")


if __name__ == "__main__":
    run_stage("features", main)
