"""`OpenTelemetry`: hooks that keep metrics and traces by the OpenTelemetry API, for whatever SDK is configured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
except ModuleNotFoundError as error:
    raise ImportError("OpenTelemetry hooks need opentelemetry-api: pip install 'ringward[otel]'") from error

import ringward
from ringward.events import aio
from ringward.events.engine.engine import Engine
from ringward.events.hooks import Hooks
from ringward.events.model.event import PAYLOAD, ROW, Event, Receipt
from ringward.events.model.notifications import Claimed, Died, Fenced, Released, Retried
from ringward.events.processor import Processor
from ringward.events.reports import GroupStats
from ringward.events.texts import Redact, Texts

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["OpenTelemetry"]

_SCOPE = "ringward.events"
_SYSTEM = {"messaging.system": "ringward"}
_DURATIONS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class OpenTelemetry(Hooks):
    """Metrics and traces of a processor, named by OpenTelemetry's conventions for messaging where these have a name.

    Each publish is a span, and the headers of its events carry its context (`traceparent`). Each handling is its own
    span, whose parent is that of the publish. So a trace leads from the request that published to the handler, and
    on to the events that the handler publishes.

    Parameters
    ----------
    meter_provider : MeterProvider, optional
    tracer_provider : TracerProvider, optional
        By default the global ones.
    stream : str
        The name of the stream in metrics and spans.
    redact : callable, optional
        A function from the text of an error to what spans may show of it; by default that of the processor.

    Raises
    ------
    ImportError
        When this module is imported without the `otel` extra.

    Examples
    --------
    >>> from ringward.events import Processor
    >>> from ringward.events.telemetry import OpenTelemetry
    >>> telemetry = OpenTelemetry(stream="orders")
    >>> with Processor(hooks=telemetry) as p:
    ...     telemetry.observe(p)
    ...     @p.consumer("billing")
    ...     def bill(event):
    ...         print(event.payload)
    ...     receipt = p.publish("user:42", b"19.90")
    ...     idle = p.run(until="idle")
    b'19.90'
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
        *,
        stream: str = "events",
        redact: Redact | None = None,
    ) -> None:
        self._texts = Texts(redact)
        self._tracer = trace.get_tracer(_SCOPE, ringward.__version__, tracer_provider)
        self._meter = metrics.get_meter(_SCOPE, ringward.__version__, meter_provider)
        self._stream = stream
        self._always = {**_SYSTEM, "messaging.destination.name": stream}
        counter, histogram = self._meter.create_counter, self._meter.create_histogram
        self._sent = counter("messaging.client.sent.messages", "{message}", "Events published.")
        self._consumed = counter("messaging.client.consumed.messages", "{message}", "Events given to handlers.")
        self._sending = histogram(
            "messaging.client.operation.duration",
            "s",
            "How long it took to store events.",
            explicit_bucket_boundaries_advisory=_DURATIONS_S,
        )
        self._processing = histogram(
            "messaging.process.duration",
            "s",
            "How long handlers took.",
            explicit_bucket_boundaries_advisory=_DURATIONS_S,
        )
        self._repeats = counter("ringward.events.repeats", "{message}", "Published again under a known id.")
        self._retries = counter("ringward.events.retries", "{attempt}", "Failed attempts that are tried again.")
        self._deaths = counter("ringward.events.deaths", "{message}", "Events that became dead letters.")
        self._claims = counter("ringward.events.claims", "{partition}", "Partitions claimed.")
        self._takeovers = counter(
            "ringward.events.takeovers", "{partition}", "Partitions taken over from dead members."
        )
        self._releases = counter("ringward.events.releases", "{partition}", "Partitions given back.")
        self._fences = counter("ringward.events.fences", "{partition}", "Partitions lost to others.")
        self._failures = counter("ringward.events.failures", "{failure}", "How often an error stopped the processor.")

    # --- publishing

    @contextmanager
    def publishing(self, count: int) -> Iterator[Mapping[str, str]]:
        """A span around the publish; its context as headers."""
        about = {**self._always, "messaging.operation.name": "publish", "messaging.operation.type": "send"}
        began = time.perf_counter()
        with self._tracer.start_as_current_span(
            f"publish {self._stream}",
            kind=SpanKind.PRODUCER,
            attributes={**about, "messaging.batch.message_count": count},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            headers: dict[str, str] = {}
            propagate.inject(headers)
            try:
                yield headers
            except BaseException as error:
                about["error.type"] = type(error).__qualname__
                self._record(span, error)
                raise
            finally:
                self._sending.record(time.perf_counter() - began, about)

    def published(self, receipts: Sequence[Receipt]) -> None:
        """Count what was stored."""
        repeats = sum(receipt.duplicate for receipt in receipts)
        self._sent.add(len(receipts) - repeats, self._always)
        if repeats:
            self._repeats.add(repeats, self._always)

    # --- handling

    @contextmanager
    def handling(self, event: Event) -> Iterator[Span]:
        """A span around the handler, in the trace of the publish."""
        about = {
            **self._of(event.group),
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
        }
        began = time.perf_counter()
        with self._tracer.start_as_current_span(
            f"process {self._stream}",
            context=propagate.extract(event.headers),
            kind=SpanKind.CONSUMER,
            attributes={
                **about,
                "messaging.destination.partition.id": str(event.partition),
                "messaging.message.id": str(event.seq),
                "messaging.message.body.size": len(event[ROW][PAYLOAD]),
                "ringward.events.attempt": event.attempt,
                "ringward.events.epoch": event.epoch,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                about["error.type"] = type(error).__qualname__
                self._record(span, error)
                raise
            finally:
                self._consumed.add(1, about)
                self._processing.record(time.perf_counter() - began, about)

    def _record(self, span: Span, error: BaseException) -> None:
        """The error of a span, as `record_exception` would have it; its texts are shortened, neutral and redacted."""
        name, _, text = self._texts.error(error).partition(": ")
        span.set_status(Status(StatusCode.ERROR, f"{name}: {text}"))
        trace = self._texts.trace(error)
        attributes = {"exception.type": name, "exception.message": text, "exception.stacktrace": trace}
        span.add_event("exception", attributes)

    @property
    def redact(self) -> Redact | None:
        """What spans may show of the texts of errors."""
        return self._texts.redact

    @redact.setter
    def redact(self, redact: Redact | None) -> None:
        self._texts = Texts(redact)

    # --- what happens to a group

    def _of(self, group: str) -> dict[str, str]:
        return {**self._always, "messaging.consumer.group.name": group}

    def retried(self, told: Retried) -> None:
        """Count a failed attempt."""
        self._retries.add(1, self._of(told.group))

    def dead(self, told: Died) -> None:
        """Count a dead letter."""
        self._deaths.add(1, self._of(told.group))

    def claimed(self, told: Claimed) -> None:
        """Count partitions that were claimed."""
        self._claims.add(len(told.partitions), self._of(told.group))
        if told.taken_over:
            self._takeovers.add(len(told.taken_over), self._of(told.group))

    def released(self, told: Released) -> None:
        """Count partitions that were given back."""
        self._releases.add(len(told.partitions), self._of(told.group))

    def fenced(self, told: Fenced) -> None:
        """Count partitions that others took."""
        self._fences.add(len(told.partitions), self._of(told.group))

    def failed(self, error: BaseException) -> None:
        """Count that the processor stopped."""
        self._failures.add(1, {**self._always, "error.type": type(error).__qualname__})

    # --- what the store holds

    def observe(self, processor: Processor | aio.Processor) -> None:
        """At each collection, read lag, dead letters and members from a processor's `stats`."""
        figures: dict[str, tuple[str, str, Callable[[GroupStats], int]]] = {
            "lag": ("{message}", "Events that wait.", lambda group: sum(group.lag.values())),
            "dead": ("{message}", "Events in the dead-letter queue.", lambda group: group.dead),
            "parked": ("{message}", "Events parked behind a dead event of their key.", lambda group: group.parked),
            "members": ("{member}", "Members of the group, in all processes.", lambda group: len(group.members)),
        }
        for name, (unit, text, figure) in figures.items():
            self._meter.create_observable_gauge(
                f"ringward.events.{name}", [self._observer(processor._engine, figure)], unit, text
            )

    def _observer(
        self, engine: Engine, figure: Callable[[GroupStats], int]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            if engine.closed:
                return []
            groups = engine.stats().groups
            return [Observation(figure(group), self._of(name)) for name, group in groups.items()]

        return observe
