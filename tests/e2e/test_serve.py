"""`automl-cnn serve` as a client meets it: the answers of `predict`, and a clear word for all that is wrong."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import io
import json
import re
import signal
import socket
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from colour_run import write_colour_run
from PIL import Image
from serving import COMMAND, Server, running

from automl_cnn.monitor.read import read_log


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_run(tmp_path_factory.mktemp("colours")).quantized / "model.tflite"


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with running(model, "--max-bytes", "200000", "--max-pixels", "1000000", "--max-images", "5") as server:
        yield server


def picture(colour: str = "red", size: tuple[int, int] = (60, 40), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def noise(seed: int, side: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A few bytes that unpack to width × height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes((1 + 3 * width) * min(height, 50)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_every_way_to_send_an_image_gives_the_answer_of_predict(server: Server, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "noise.jpg"
    path.write_bytes(noise(1))
    done = subprocess.run([*COMMAND, "predict", str(model), str(path), "--json"], capture_output=True, check=True)
    [expected] = json.loads(done.stdout)
    text = base64.b64encode(noise(1)).decode()
    answers = [
        server.post("/predict", noise(1), "image/jpeg").json,
        server.post("/predict", noise(1), "application/octet-stream").json,
        server.post("/predict", noise(1)).json,
        server.post_files("/predict", [("noise.jpg", noise(1))]).json,
        server.post_json("/predict", {"image": text}).json,
        server.post_json("/predict", {"image": f"data:image/jpeg;base64,{text}", "name": "noise.jpg"}).json,
        *server.post_json("/predict/batch", {"images": [text, {"image": text, "name": "noise.jpg"}]}).json,
    ]
    for answer in answers:
        assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
        assert answer.keys() == expected.keys()
        assert {**answer, "path": ""} == {**expected, "path": ""}
    assert [answers[3]["path"], answers[5]["path"], answers[7]["path"]] == ["noise.jpg"] * 3


def test_a_batch_answers_in_order_with_an_error_in_the_place_of_a_bad_image(server: Server) -> None:
    files = [("b.png", picture("blue")), ("no.png", b"<html>"), ("r.webp", picture("red", kind="WEBP"))]
    reply = server.post_files("/predict/batch", files)
    assert reply.status == 200
    first, bad, last = reply.json
    assert (first["path"], first["label"], last["path"], last["label"]) == ("b.png", "blue", "r.webp", "red")
    assert bad["path"] == "no.png"
    assert bad["error"]["reason"] == "not_an_image"
    assert bad["error"].keys() == {"reason", "where", "expected", "received", "action", "message"}


BAD_IMAGES = {
    "empty": b"",
    "not_an_image": b"<html>not found</html>",
    "truncated": noise(2, 200)[:3000],
    "too_large": png_that_claims(60_000, 60_000),
}


@pytest.mark.parametrize("reason", BAD_IMAGES)
def test_an_image_that_does_not_decode_is_422_with_its_reason(server: Server, reason: str) -> None:
    reply = server.post("/predict", BAD_IMAGES[reason], "image/png")
    assert (reply.status, reply.json["error"]["reason"]) == (422, reason)
    assert reply.json["request_id"] == reply.headers["x-request-id"]


def test_bad_images_take_no_worker_down(server: Server) -> None:
    before = [worker.pid for worker in server.workers()]
    rng = np.random.default_rng(3)
    whole = [noise(4), picture(), picture(kind="GIF"), picture(kind="TIFF"), picture(kind="BMP"), picture(kind="WEBP")]
    for number in range(60):
        content = bytearray(whole[number % len(whole)])
        for place in rng.integers(8, len(content), 20):
            content[place] = rng.integers(256)
        assert server.post("/predict", bytes(content), "application/octet-stream").status in (200, 422)
    assert [worker.pid for worker in server.workers()] == before


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (picture(), "application/x-www-form-urlencoded", 415, "unsupported"),
        (picture(), "text/plain; charset=utf-8", 415, "unsupported"),
        (b"<svg/>", "image/svg+xml", 415, "unsupported"),
        (bytes(200_001), "image/png", 413, "too_many_bytes"),
        (b"{", "application/json", 422, "not_json"),
        (b"[" * 100_000, "application/json", 422, "not_json"),
        (b"[1]", "application/json", 422, "not_an_image"),
        (b'{"image": "*"}', "application/json", 422, "not_base64"),
        (b'{"image": 7}', "application/json", 422, "not_base64"),
        (b'{"images": []}', "application/json", 422, "no_image"),
        (b'{"images": ["", "", "", "", "", ""]}', "application/json", 413, "too_many_images"),
        (b'{"images": ["", ""]}', "application/json", 422, "not_one_image"),
        (b"no form", "multipart/form-data", 422, "not_a_form"),
        (b"no form", "multipart/form-data; boundary=b", 422, "not_a_form"),
    ],
)
def test_a_request_that_cannot_be_used_is_told_why(
    server: Server, body: bytes, content_type: str, status: int, reason: str
) -> None:
    reply = server.post("/predict", body, content_type)
    assert (reply.status, reply.json["error"]["reason"]) == (status, reason)
    assert re.match(r".+: expected .+; received .+\. .+", reply.json["error"]["message"], re.DOTALL)


def test_too_many_files_in_a_form_are_413(server: Server) -> None:
    reply = server.post_files("/predict/batch", [("a.png", picture())] * 6)
    assert (reply.status, reply.json["error"]["reason"]) == (413, "too_many_images")


def test_an_oversized_body_without_a_length_is_413_too(server: Server) -> None:
    with socket.create_connection((server.host, server.port), timeout=30) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(4):
            client.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_compressed_body_is_415(server: Server) -> None:
    reply = server.post("/predict", zlib.compress(picture()), "image/png", Content_Encoding="gzip")
    assert (reply.status, reply.json["error"]["where"]) == (415, "Content-Encoding")


def test_health_names_the_model_and_its_classes(server: Server, model: Path) -> None:
    health = server.get("/health")
    assert health.status == 200
    assert health.json["model"]["labels"] == ["red", "green", "blue"]
    assert health.json["workers"] == len(server.workers())
    assert re.fullmatch("[0-9a-f]{64}", health.json["model"]["sha256"])
    assert server.get("/health/live").status == 200


def test_the_page_about_the_interface_needs_no_network(server: Server) -> None:
    page = server.get("/docs").body.decode()
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    assert all(source.startswith("/") for source in sources)
    assert all(server.get(source).status == 200 for source in sources)
    routes = server.get("/openapi.json").json["paths"]
    assert {"/predict", "/predict/batch", "/health", "/metrics"} <= routes.keys()
    assert {"image/jpeg", "multipart/form-data", "application/json"} <= (
        routes["/predict"]["post"]["requestBody"]["content"].keys()
    )


def test_metrics_count_requests_answers_and_refusals(server: Server) -> None:
    def count(line: str) -> float:
        found = re.search(rf"^{re.escape(line)} (\S+)$", server.get("/metrics").body.decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    lines = [
        'automl_cnn_images_total{label="green"}', 'automl_cnn_images_refused_total{reason="not_an_image"}',
        'automl_cnn_requests_total{method="POST",path="/predict",status="422"}',
        'automl_cnn_requests_total{method="GET",path="other",status="404"}',
        'automl_cnn_request_seconds_count{path="/predict"}',
    ]  # fmt: skip
    before = [count(line) for line in lines]
    server.post("/predict", picture("lime"), "image/png")
    server.post("/predict", b"none", "image/png")
    server.get("/a-path-that-a-client-made-up")
    assert [count(line) - was for line, was in zip(lines, before, strict=True)] == [1, 1, 1, 1, 2]


def test_the_log_names_the_request_and_holds_nothing_of_the_image(server: Server) -> None:
    server.post_files("/predict", [("anna-miller.png", picture())])
    reply = server.post("/predict", picture(), "image/png", X_Request_ID="order-4711")
    assert reply.headers["x-request-id"] == "order-4711"
    hostile = server.post("/predict", picture(), "image/png", X_Request_ID='"}{ <b>').headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", hostile)
    wait_for(lambda: any(line["request_id"] == hostile for line in server.events("request")))
    [line] = [line for line in server.events("request") if line["request_id"] == "order-4711"]
    assert (line["status"], line["images"], line["path"], line["bytes"]) == (200, 1, "/predict", len(picture()))
    assert "anna-miller" not in json.dumps(server.lines)


def test_a_slow_client_is_408_and_others_do_not_wait_for_it(model: Path) -> None:
    with running(model, "--client-timeout", "1") as server, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((server.host, server.port), 30)) for _ in range(20)]
        for client in slow[:10]:
            client.sendall(
                b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\nContent-Length: 900\r\n\r\nabc"
            )
        for client in slow[10:]:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost:")
        assert server.post("/predict", picture(), "image/png").status == 200
        for client in slow:
            assert client.recv(4096).startswith(b"HTTP/1.1 408")


def test_a_head_without_end_is_431(server: Server) -> None:
    with socket.create_connection((server.host, server.port), timeout=30) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(100):
                client.sendall(b"X-Padding: " + b"a" * 2000 + b"\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 431")


def test_at_overload_every_request_is_answered_with_200_or_with_429_and_when_to_come_again(model: Path) -> None:
    large = noise(5, 900)  # half a megabyte: some are refused while they are still being sent
    with running(model, "--workers", "1", "--max-queue", "2") as server:
        with concurrent.futures.ThreadPoolExecutor(40) as clients:
            replies = list(clients.map(lambda _: server.post("/predict", large, "image/jpeg"), range(120)))
        assert {reply.status for reply in replies} == {200, 429}
        assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in replies if reply.status == 429)
        labels = {reply.json["label"] for reply in replies if reply.status == 200}
        assert labels == {server.post("/predict", large, "image/jpeg").json["label"]}


def test_a_worker_that_dies_is_replaced_and_its_image_answered(model: Path) -> None:
    with running(model, "--workers", "1") as server:
        [worker] = server.workers()
        worker.suspend()
        with concurrent.futures.ThreadPoolExecutor(1) as client:
            waiting = client.submit(server.post, "/predict", picture(), "image/png")
            time.sleep(0.3)
            worker.kill()
            assert waiting.result().status == 200
        [replaced] = server.workers()
        assert replaced.pid != worker.pid
        assert "automl_cnn_workers_lost 1.0" in server.get("/metrics").body.decode()


def test_a_worker_that_hangs_is_504_and_is_replaced(model: Path) -> None:
    with running(model, "--workers", "1", "--timeout", "1") as server:
        [worker] = server.workers()
        worker.suspend()
        reply = server.post("/predict", picture(), "image/png")
        assert (reply.status, reply.json["error"]["reason"]) == (504, "timeout")
        wait_for(lambda: server.get("/health").status == 200 and server.workers()[0].pid != worker.pid)
        assert server.post("/predict", picture(), "image/png").status == 200


def test_nobody_works_for_a_client_that_has_gone_away(model: Path) -> None:
    with running(model, "--workers", "1") as server:
        [worker] = server.workers()
        worker.suspend()
        head = (
            f"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\nContent-Length: {len(picture())}\r\n\r\n"
        )
        for _ in range(10):
            with socket.create_connection((server.host, server.port), timeout=30) as client:
                client.sendall(head.encode() + picture())
        wait_for(lambda: [line["status"] for line in server.events("request")] == [499] * 10)
        worker.resume()
        assert server.post("/predict", picture(), "image/png").status == 200
        counts = server.get("/metrics").body.decode()
        assert 'automl_cnn_requests_total{method="POST",path="/predict",status="499"} 10.0' in counts
        assert 'automl_cnn_images_total{label="red"} 1.0' in counts


def test_without_a_worker_the_server_says_that_it_is_not_ready(model: Path) -> None:
    with running(model, "--workers", "1") as server:
        server.workers()[0].kill()
        wait_for(lambda: server.get("/health").status == 503)
        assert server.get("/health/live").status == 200
        wait_for(lambda: server.get("/health").status == 200)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_is_in_flight_and_takes_nothing_new(model: Path, sent: signal.Signals) -> None:
    with running(model, "--workers", "1") as server:
        [worker] = server.workers()
        worker.suspend()
        with concurrent.futures.ThreadPoolExecutor(5) as clients:
            waiting = [clients.submit(server.post, "/predict", picture(), "image/png") for _ in range(5)]
            wait_for(lambda: "automl_cnn_queue_depth 4.0" in server.get("/metrics").body.decode())
            server.process.send_signal(sent)
            wait_for(lambda: not accepts(server))
            assert not any(one.done() for one in waiting)
            worker.resume()
            assert [one.result().status for one in waiting] == [200] * 5
        assert server.process.wait(30) == 0
        assert not worker.is_running()


def test_the_workers_end_with_a_server_that_is_killed(model: Path) -> None:
    with running(model) as server:
        workers = server.workers()
        server.process.kill()
        server.process.wait()
        _, left = psutil.wait_procs(workers, timeout=20)
    assert workers
    assert not left


def test_a_new_model_in_the_same_place_changes_nothing_until_the_next_start(tmp_path: Path) -> None:
    model = write_colour_run(tmp_path).quantized / "model.tflite"
    with running(model.parent, "--workers", "1") as server:
        digest = server.get("/health").json["model"]["sha256"]
        model.write_bytes(b"half a copy")
        server.workers()[0].kill()
        assert server.post("/predict", picture(), "image/png").status == 200
        assert server.get("/health").json["model"]["sha256"] == digest


def test_every_prediction_is_in_the_log_when_the_server_has_stopped(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with running(model, "--log", str(folder)) as server:
        for number, colour in enumerate(["red", "lime", "blue"]):
            assert server.post("/predict", picture(colour), "image/png", X_Request_ID=f"order-{number}").status == 200
        files = [("a.png", picture("blue")), ("no.png", b"<html>"), ("b.png", picture("red"))]
        batch = server.post_files("/predict/batch", files)
        server.post("/predict", b"no image", "image/png")
        server.stop()
    rows = read_log(folder).to_pandas().set_index("id")
    assert dict(rows["label"]) == {
        "order-0": "red", "order-1": "green", "order-2": "blue",
        f"{batch.headers['x-request-id']}/0": "blue", f"{batch.headers['x-request-id']}/2": "red",
    }  # fmt: skip
    assert rows.loc["order-0", "megapixels"] == pytest.approx(60 * 40 / 1e6)
    assert rows["ood_score"].notna().all()


def test_a_log_that_cannot_be_written_ends_with_2(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = subprocess.run(
        [*COMMAND, "serve", str(model), "--port", "0", "--log", str(tmp_path / "file" / "log")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "expected a folder that can be written to" in done.stderr


@pytest.mark.parametrize("kept", [0, 40, 1000])
def test_a_truncated_model_ends_with_2_and_names_the_file(model: Path, tmp_path: Path, kept: int) -> None:
    broken = tmp_path / "model.tflite"
    broken.write_bytes(model.read_bytes()[:kept])
    done = subprocess.run([*COMMAND, "serve", str(broken), "--port", "0"], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{broken}: expected" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_ends_with_2(server: Server, model: Path) -> None:
    done = subprocess.run([*COMMAND, "serve", str(model), "--port", str(server.port)], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"127.0.0.1:{server.port}: expected" in done.stderr


def test_a_host_that_is_no_name_ends_with_2(model: Path) -> None:
    done = subprocess.run([*COMMAND, "serve", str(model), "--host", "a..b"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "a..b:8000: expected an address of this machine" in done.stderr


def accepts(server: Server) -> bool:
    try:
        socket.create_connection((server.host, server.port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(reached: object, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
