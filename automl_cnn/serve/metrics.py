"""What the server counts, as Prometheus reads it. No label comes from a client, so that none grows without end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
PREFIX = "automl_cnn_"


class Metrics:
    """The counters of one server.

    Args:
        model: name → value that identify the model, for automl_cnn_model_info.
        gauges: name → (help, function that gives the value now), such as the queue's length.
    """

    def __init__(self, model: Mapping[str, str], gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time beside every counter doubles the page
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests answered.", "method", "path", "status")
        self._seconds = Histogram(
            f"{PREFIX}request_seconds", "From a request's head to its answer.", ["path"], buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._images = self._counter("images", "Images labelled, by predicted class.", "label")
        self._abstentions = self._counter("abstentions", "Images whose answer the model abstains from.")
        self._strange = self._counter("out_of_distribution", "Images unlike those that the model was trained on.")
        self._refused = self._counter("images_refused", "Images without an answer, by reason.", "reason")
        info = Gauge(f"{PREFIX}model_info", "The model that answers.", list(model), registry=self._registry)
        info.labels(**model).set(1)
        for name, (about, value) in gauges.items():
            Gauge(PREFIX + name, about, registry=self._registry).set_function(value)

    def count_request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one answer; `path` as the routes have it, never as the client wrote it."""
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_answer(self, answer: Mapping[str, Any]) -> None:
        """Count what a worker said of one image: {"prediction": …} or {"error": …}."""
        if "error" in answer:
            self.count_refused(answer["error"]["reason"])
            return
        prediction = answer["prediction"]
        self._images.labels(prediction["label"]).inc()
        self._abstentions.inc(bool(prediction.get("abstain")))
        self._strange.inc(bool(prediction.get("out_of_distribution")))

    def count_refused(self, reason: str) -> None:
        """Count an image, or a request that was refused as a whole."""
        self._refused.labels(reason).inc()

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self._registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, about, labels, registry=self._registry)
