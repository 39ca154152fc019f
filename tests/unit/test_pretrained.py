"""Pretrained weights: found offline, read without running anything a file says, refused with a clear error."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.errors import ConfigError, WeightsError
from automl_cnn.models import download, efficientnet_lite, pretrained
from automl_cnn.models.registry import BACKBONES, backbone_of
from automl_cnn.models.torch_file import read_state_dict

LITE = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")


@pytest.fixture
def packaged() -> Path:
    """The file of EfficientNet-Lite0 in its package."""
    source = pretrained.find("efficientnet-lite0")
    assert source is not None
    assert source.where == "package"
    return source.path


@pytest.mark.parametrize("backbone", LITE)
def test_the_installed_packages_hold_every_layer_of_their_backbone(backbone: str) -> None:
    loaded = pretrained.load(backbone)
    assert set(loaded) == {"normalize", *efficientnet_lite.torch_tensors(efficientnet_lite.VARIANTS[backbone])}
    assert all(np.isfinite(array).all() for arrays in loaded.values() for array in arrays)


def test_kernels_are_in_the_axis_order_of_keras() -> None:
    loaded = pretrained.load("efficientnet-lite0")
    assert loaded["stem_conv"][0].shape == (3, 3, 3, 32)
    assert loaded["block2a_depthwise_conv"][0].shape == (3, 3, 96, 1)
    assert loaded["top_conv"][0].shape == (1, 1, 320, 1280)


def test_weights_dir_comes_before_the_installed_package(packaged: Path, tmp_path: Path) -> None:
    mine = tmp_path / "efficientnet-lite0-mine.pth"
    shutil.copy(packaged, mine)
    assert pretrained.find("efficientnet-lite0", str(tmp_path)) == pretrained.Source(mine, "weights_dir")


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("mobilenet-0.25", "mobilenet_v1_0.25_224_imagenet_notop.weights.h5"),
        ("mobilenet-1.0", "mobilenet_1_0_224_tf_no_top.h5"),
        ("mobilenet-0.5", "mobilenet_5_0_160_tf.h5"),
        ("mobilenetv2-1.0", "mobilenet_v2_1.0_224_imagenet_notop.weights.h5"),
        ("mobilenetv2-1.4", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_224.h5"),
        ("mobilenetv3-small-0.75", "weights_mobilenet_v3_small_224_0.75_float_no_top_v2.h5"),
        ("mobilenetv3-large-1.0", "weights_mobilenet_v3_large_224_1.0_float.h5"),
        ("efficientnet-lite3", "efficientnet-lite3-b733e338.pth"),
    ],
)
def test_official_file_names_belong_to_one_backbone(tmp_path: Path, backbone: str, name: str) -> None:
    (tmp_path / name).touch()
    own = [known for known, what in BACKBONES.items() if what.weights and known not in LITE]
    found = {known: source.path.name for known in own if (source := pretrained.find(known, str(tmp_path)))}
    assert found == {backbone: name}


def test_every_official_download_has_a_name_that_weights_dir_accepts(tmp_path: Path) -> None:
    for known in BACKBONES.values():
        url = getattr(known.weights, "url", None)
        if url:
            file = tmp_path / url.rpartition("/")[2]
            file.touch()
            source = pretrained.find(known.name, str(tmp_path))
            assert source is not None, file.name
            file.unlink()


def test_the_file_of_the_backbones_own_size_without_a_head_is_preferred(tmp_path: Path) -> None:
    stem = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0"
    for end in ("96_no_top", "224", "224_no_top", "128_no_top"):
        (tmp_path / f"{stem}_{end}.h5").touch()
    source = pretrained.find("mobilenetv2-1.0", str(tmp_path))
    assert source is not None
    assert source.path.name == f"{stem}_224_no_top.h5"


def test_missing_weights_say_what_can_be_had_and_where_they_may_come_from(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"search\.weights_dir is not set; at hand are efficientnet-lite0, .*Put eff"
    ):
        pretrained.load("efficientnet-lite4")
    with pytest.raises(WeightsError, match=r"no mobilenet-1\.0\*\.h5.*search\.download is false.*into search\.weights"):
        pretrained.load("mobilenet-1.0", str(tmp_path))


def test_a_weights_dir_that_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"search\.weights_dir: expected a folder.*nowhere"):
        pretrained.find("mobilenet-1.0", str(tmp_path / "nowhere"))


def test_backbones_are_divided_into_those_at_hand_and_those_left_out_with_a_reason() -> None:
    at_hand, left_out = pretrained.available(["mobilenet-1.0", "efficientnet-lite1", "efficientnet-lite3"])
    assert at_hand == ["efficientnet-lite1"]
    assert list(left_out) == ["mobilenet-1.0", "efficientnet-lite3"]
    assert "search.download is false" in left_out["mobilenet-1.0"]


@pytest.mark.parametrize("other", ["efficientnet-lite0", "efficientnet-lite2"])
def test_weights_of_another_network_are_refused_by_the_tensor_that_does_not_fit(tmp_path: Path, other: str) -> None:
    source = pretrained.find(other)
    assert source is not None
    shutil.copy(source.path, tmp_path / "efficientnet-lite1-wrong.pth")
    with pytest.raises(WeightsError, match=r"lite1-wrong\.pth: expected the weights of efficientnet-lite1.* belongs"):
        pretrained.load("efficientnet-lite1", str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x89HDF\r\n\x1a\n" + bytes(500)])
def test_a_file_that_is_no_hdf5_is_refused_before_keras_is_imported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mobilenet_v1_0.25_224_imagenet_notop.weights.h5").write_bytes(content)
    with pytest.raises(WeightsError, match=r"notop\.weights\.h5: expected a whole HDF5 file"):
        pretrained.load("mobilenet-0.25", str(tmp_path))


def test_the_key_of_a_source_follows_its_content_not_its_name(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one.h5", "same.h5", "other.h5"))
    one.write_bytes(b"weights")
    same.write_bytes(b"weights")
    other.write_bytes(b"other weights")
    keys = [pretrained.source_key(pretrained.Source(path, "weights_dir")) for path in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]
    one.write_bytes(b"replaced, and longer")
    assert pretrained.source_key(pretrained.Source(one, "weights_dir")) != keys[0]


def test_a_file_that_asks_to_run_something_runs_nothing(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(WeightsError, match="not part of a state dict"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_clear_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_state_dict(path)


def test_a_truncated_weights_file_is_a_clear_error(packaged: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pth").write_bytes(packaged.read_bytes()[:1_000_000])
    with pytest.raises(WeightsError):
        read_state_dict(tmp_path / "cut.pth")


def test_an_unknown_backbone_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(
        ConfigError, match=r"search\.backbones: .*received 'mobilenetv2_1\.0'\. Did you mean mobilenetv2-1\.0"
    ):
        backbone_of("mobilenetv2_1.0")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine, and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def test_a_download_is_kept_and_not_made_again(host: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = host
    (folder / "net.h5").write_bytes(b"weights")
    kept = download.fetch(f"{url}/net.h5", tmp_path / "kept")
    (folder / "net.h5").unlink()
    assert download.fetch(f"{url}/net.h5", tmp_path / "kept") == kept
    assert kept.read_bytes() == b"weights"


def test_a_file_that_the_host_does_not_have_is_named_and_leaves_nothing(host: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected net\.h5; received HTTP Error 404.*search\.weights_dir"):
        download.fetch(f"{host[0]}/net.h5", tmp_path / "kept")
    assert not list(tmp_path.glob("kept/*"))


def test_no_network_is_one_clear_line_and_asked_once(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"  # the discard port, where nothing listens
    with pytest.raises(
        WeightsError, match=r"Keras download: expected net\.h5; received 127\.0\.0\.1:9 does not answer"
    ):
        download.fetch(f"{nobody}/net.h5", tmp_path)
    assert "127.0.0.1:9" in download._unreachable


def test_finding_weights_imports_no_keras() -> None:
    program = (
        "import sys; from automl_cnn.models import pretrained; from automl_cnn.models.registry import BACKBONES;"
        "pretrained.available(BACKBONES); pretrained.source_key(pretrained.find('efficientnet-lite0'));"
        "print('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "False"
