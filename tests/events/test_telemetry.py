"""Metrics and traces, read back from the real SDK."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict

import pytest
from opentelemetry import propagate, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import ringward as rw
from ringward.events import Processor, Retry, SqliteStore, Stream, aio
from ringward.events.telemetry import OpenTelemetry


class Observed:
    """A telemetry with what it tells kept in memory."""

    def __init__(self):
        self.reader = InMemoryMetricReader()
        self.exporter = InMemorySpanExporter()
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.tracers.get_tracer("test")
        self.hooks = OpenTelemetry(self.meters, self.tracers, stream="orders")

    def points(self):
        """Every point of every metric, by name."""
        found = defaultdict(list)
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else []:
            for scope in resource.scope_metrics:
                assert scope.scope.name == "ringward.events"
                assert scope.scope.version == rw.__version__
                for metric in scope.metrics:
                    found[metric.name] += metric.data.data_points
        return found

    def spans(self, name):
        """The ended spans of a name."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def observed():
    made = Observed()
    yield made
    made.meters.shutdown()
    made.tracers.shutdown()


def values(points, *attributes):
    """Sums or counts of points, by some of their attributes."""
    found = defaultdict(int)
    for point in points:
        key = tuple(point.attributes.get(name) for name in attributes)
        found[key] += point.count if hasattr(point, "count") else point.value
    return dict(found)


GROUP, ERROR = "messaging.consumer.group.name", "error.type"


def test_everything_is_counted(observed, tmp_path):
    """Publishes, repeats, handlings, failures, retries, deaths, partitions that come and go; and what waits."""
    with Processor(tmp_path / "e.db", hooks=observed.hooks, stream=Stream(partitions=8)) as p:
        observed.hooks.observe(p)

        @p.consumer("g", retry=Retry(attempts=2, base_s=0.01))
        def handle(event):
            if event.key == "bad":
                raise ValueError

        p.publish_many([f"k{i}" for i in range(10)] + ["bad", "bad"], [b""] * 12)
        p.publish("k", b"", id=1)
        p.publish("k", b"", id=1)
        with pytest.raises(rw.ConflictError):
            p.publish("k", b"x", id=1)
        points = observed.points()
        assert values(points["ringward.events.lag"], GROUP) == {("g",): 13}
        assert p.run(until="idle", timeout_s=30)
        points = observed.points()
    assert values(points["messaging.client.sent.messages"], "messaging.destination.name") == {("orders",): 13}
    assert values(points["ringward.events.repeats"], "messaging.system") == {("ringward",): 1}
    assert values(points["messaging.client.operation.duration"], ERROR) == {(None,): 3, ("ConflictError",): 1}
    assert values(points["messaging.client.consumed.messages"], GROUP, ERROR) == {
        ("g", None): 11,
        ("g", "ValueError"): 2,
    }
    assert values(points["messaging.process.duration"], ERROR) == {(None,): 11, ("ValueError",): 2}
    assert values(points["ringward.events.retries"], GROUP) == {("g",): 1}
    assert values(points["ringward.events.deaths"], GROUP) == {("g",): 1}
    assert values(points["ringward.events.claims"], GROUP) == {("g",): 8}
    assert values(points["ringward.events.releases"], GROUP) == {("g",): 8}
    for name, value in {"lag": 0, "dead": 1, "parked": 1, "members": 0}.items():
        assert values(points[f"ringward.events.{name}"], GROUP) == {("g",): value}
    assert "ringward.events.takeovers" not in points
    observed.points()  # of a processor that is closed there is nothing to observe, and no error


def test_takeovers_fences_and_failures_are_counted(observed, tmp_path):
    """By who took over, by who was taken over, by what stopped."""
    first = Processor(SqliteStore(tmp_path / "e.db", Stream(partitions=8)), hooks=observed.hooks)
    other = Observed()
    second = Processor(SqliteStore(tmp_path / "e.db"), hooks=other.hooks)
    with first, second:
        options = {"lease_s": 0.3, "heartbeat_s": 0.09}
        first.consumer("g", members=["a"], **options)(lambda event: None)
        second.consumer("g", members=["b"], **options)(lambda event: None)
        one, two = first._engine.consumers.of("g"), second._engine.consumers.of("g")
        one.tick(0.0)
        for step in range(10):
            two.tick(step * 0.1)
        one.tick(1.0)
        assert values(other.points()["ringward.events.takeovers"], GROUP) == {("g",): 8}
        assert values(observed.points()["ringward.events.fences"], GROUP) == {("g",): 8}
        first._engine.observer.failed(rw.StoreFailedError("the disk is gone"))
        assert values(observed.points()["ringward.events.failures"], ERROR) == {("StoreFailedError",): 1}


def test_a_trace_goes_from_the_request_to_the_handler_and_on(observed, tmp_path):
    """request → publish → process → publish in the handler → process, across the file."""
    with Processor(tmp_path / "e.db", hooks=observed.hooks, stream=Stream(partitions=8)) as p:
        inside = []

        @p.consumer("g")
        def handle(event):
            inside.append(trace.get_current_span().get_span_context().span_id)
            if event.key == "first":
                p.publish("second", b"22", headers={"mine": "1"})

        with observed.tracer.start_as_current_span("request") as request:
            receipt = p.publish("first", b"1")
        assert p.run(until="idle", timeout_s=30)
    publish, further = observed.spans("publish orders")
    process, last = observed.spans("process orders")
    assert publish.parent.span_id == request.get_span_context().span_id
    assert process.parent.span_id == publish.context.span_id
    assert process.parent.is_remote
    assert further.parent.span_id == process.context.span_id
    assert last.parent.span_id == further.context.span_id
    assert {span.context.trace_id for span in (publish, process, further, last)} == {
        request.get_span_context().trace_id
    }
    assert inside == [process.context.span_id, last.context.span_id]
    assert (publish.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert publish.attributes["messaging.batch.message_count"] == 1
    assert dict(process.attributes) == {
        "messaging.system": "ringward",
        "messaging.destination.name": "orders",
        "messaging.consumer.group.name": "g",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.partition.id": str(receipt.partition),
        "messaging.message.id": "1",
        "messaging.message.body.size": 1,
        "ringward.events.attempt": 1,
        "ringward.events.epoch": 1,
    }


def test_a_failed_attempt_is_an_error_in_its_span_and_each_attempt_has_one(observed):
    """With the exception, and the number of the attempt."""
    with Processor(hooks=observed.hooks) as p:

        @p.consumer("g", retry=Retry(attempts=3, base_s=0.01))
        def handle(event):
            if event.attempt == 1:
                raise ValueError("broken")
            if event.attempt == 2:
                raise SystemExit

        p.publish("k", b"")
        assert p.run(until="idle", timeout_s=30)
    spans = observed.spans("process orders")
    assert [span.attributes["ringward.events.attempt"] for span in spans] == [1, 2, 3]
    assert [span.status.status_code for span in spans] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert spans[0].events[0].attributes["exception.message"] == "broken"
    assert len({span.parent.span_id for span in spans}) == 1


def test_context_goes_along_in_the_headers(observed):
    """As any other program reads it."""
    seen = []
    with Processor(hooks=observed.hooks) as p:
        p.consumer("g")(lambda event: seen.append(event.headers))
        p.publish("k", b"", headers={"mine": "1"})
        p.run(until="idle", timeout_s=30)
    (headers,) = seen
    assert headers.keys() == {"mine", "traceparent"}
    context = trace.get_current_span(propagate.extract(headers)).get_span_context()
    assert context.span_id == observed.spans("publish orders")[0].context.span_id


def test_asyncio_has_the_same_trace(observed):
    """Though the publish is stored by another thread, and handlers are tasks."""
    inside = []

    async def main():
        async with aio.Processor(hooks=observed.hooks) as p:
            observed.hooks.observe(p)

            @p.consumer("g")
            async def handle(event):
                await asyncio.sleep(0)
                inside.append(trace.get_current_span().get_span_context().span_id)

            with observed.tracer.start_as_current_span("request") as request:
                await p.publish("k", b"")
            assert await p.run(until="idle", timeout_s=30)
            return request.get_span_context()

    request = asyncio.run(main())
    (publish,), (process,) = observed.spans("publish orders"), observed.spans("process orders")
    assert publish.parent.span_id == request.span_id
    assert process.parent.span_id == publish.context.span_id
    assert inside == [process.context.span_id]
    assert values(observed.points()["messaging.client.sent.messages"]) == {(): 1}


def test_without_the_api_the_import_says_what_to_install():
    """The extra is named; the rest of the package does not need it."""
    code = "import sys; sys.modules['opentelemetry'] = None; import ringward.events; import ringward.events.telemetry"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pip install 'ringward[otel]'" in done.stderr.splitlines()[-1]


def test_spans_tell_of_an_error_what_may_be_told(observed):
    """Its text went into spans as it was: of any length, with escape sequences, and not redacted."""
    text = "secret \x1b[2J" + "x" * 100_000
    with Processor(hooks=observed.hooks, redact=lambda text: text.replace("secret", "***")) as p:

        @p.consumer("g", retry=Retry(attempts=1))
        def handle(event):
            raise ValueError(text)

        p.publish("k", b"", id="secret")
        with pytest.raises(rw.ConflictError):
            p.publish("k", b"other", id="secret")
        assert p.run(until="idle", timeout_s=30)
    failed = [span for span in observed.exporter.get_finished_spans() if span.events]
    assert len(failed) == 2
    for span in failed:
        for told in (span.status.description, *span.events[0].attributes.values()):
            assert "secret" not in told
            assert "\x1b" not in told
            assert len(told) < 12_000
