"""Every error of the package. Each is a `RingwardError` and the built-in that fits, and carries its data."""

from __future__ import annotations

from ringward.texts import bounded, shown

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "BackpressureError",
    "CancelledTasksError",
    "ChangeError",
    "ConflictError",
    "DeduplicationExpiredError",
    "DuplicateNodeError",
    "InsideHandlerError",
    "KeyTypeError",
    "KeyValueError",
    "LoopError",
    "NoNodeError",
    "PromotionError",
    "QueryTimeoutError",
    "ResidencyError",
    "RingwardError",
    "SnapshotError",
    "StaleEpochError",
    "StopTimeoutError",
    "StoreAccessError",
    "StoreClosedError",
    "StoreFailedError",
    "StoreFormatError",
    "StoreFullError",
    "StoreNotFoundError",
    "StoreUnavailableError",
    "TransactionError",
    "UnknownGroupError",
    "UnknownNodeError",
    "UnsupportedError",
]


_TOLD = 5  # of a list, in a message


class RingwardError(Exception):
    """Base of all errors that ringward raises on purpose.

    Attributes
    ----------
    transient : bool
        Whether it may end by itself and leaves nothing in doubt, so that a processor tries again.
    """

    transient = False

    def __init__(self, *args: object) -> None:
        # The one place: whatever a message quotes (names, keys, paths, words of other libraries), it stays short, on one
        # line, and without what a terminal would act on. (It is a signature to look at too, which Python's own have not.)
        super().__init__(*[bounded(each) if isinstance(each, str) else each for each in args])

    def __reduce__(self) -> tuple[object, ...]:
        # Errors whose __init__ takes data build their text from it; unpickling must not run that again.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[RingwardError], args: tuple[object, ...], data: dict[str, object]) -> RingwardError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(data)
    return error


class NoNodeError(RingwardError, LookupError):
    """No node is both live and of a weight above 0, so nobody can own a key."""


class ResidencyError(NoNodeError):
    """No node of a key's home cluster is live, and its keys must not leave it.

    Attributes
    ----------
    cluster : str
    """

    def __init__(self, cluster: str) -> None:
        super().__init__(f"no node of cluster {shown(cluster)} is live, and its keys must not leave it (resident)")
        self.cluster = cluster


class PromotionError(RingwardError, RuntimeError):
    """A cluster may not take over the keys of another: no witness says so, or it could not serve them.

    Attributes
    ----------
    cluster, to : str
        Whose keys, and who asked for them.
    """

    def __init__(self, cluster: str, to: str, reason: str) -> None:
        super().__init__(f"cluster {shown(to)} must not take over the keys of {shown(cluster)}: {reason}")
        self.cluster = cluster
        self.to = to


class _KeyError(RingwardError):
    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class KeyTypeError(_KeyError, TypeError):
    """A key, or a container of keys, is of a type that has no hash here.

    Attributes
    ----------
    position : int or None
        Where in the container; None for a key on its own and for the container itself.
    """


class KeyValueError(_KeyError, ValueError):
    """A key is of the right type but has no bytes: an int out of range, text with a lone surrogate, a released memoryview.

    Attributes
    ----------
    position : int or None
        Where in the container; None for a key on its own.
    """


class UnknownNodeError(RingwardError, KeyError):
    """No member has this name.

    Attributes
    ----------
    node : str
    """

    def __init__(self, node: str) -> None:
        super().__init__(f"no node is named {shown(node)}")
        self.node = node

    __str__ = Exception.__str__  # KeyError would show the message in quotes


class DuplicateNodeError(RingwardError, ValueError):
    """A name is given twice, or is a member already.

    Attributes
    ----------
    node : str
    """

    def __init__(self, node: str) -> None:
        super().__init__(f"node {shown(node)} is a member already")
        self.node = node


class _BoundError(RingwardError):
    def __init__(self, argument: str, bound: str, value: object) -> None:
        super().__init__(f"{argument} must be {bound} (was {shown(value)})")
        self.argument = argument
        self.bound = bound
        self.value = value


class ArgumentError(_BoundError, ValueError):
    """An argument is out of its bounds.

    Attributes
    ----------
    argument, bound : str
        Which argument, and what it must be.
    value : object
        What it was.
    """


class ArgumentTypeError(_BoundError, TypeError):
    """An argument is of the wrong type.

    Attributes
    ----------
    argument, bound : str
        Which argument, and what it must be.
    value : object
        What it was.
    """


class StaleEpochError(RingwardError, RuntimeError):
    """A fencing token is not of the current term: somebody took over since it was issued.

    Attributes
    ----------
    token, term, epoch : int
        The token, and the range [term, epoch] it must lie in.
    """

    def __init__(self, token: int, term: int, epoch: int) -> None:
        super().__init__(f"token must be at least {term}, the term, and at most {epoch}, the epoch (was {token})")
        self.token = token
        self.term = term
        self.epoch = epoch


class ChangeError(RingwardError, RuntimeError):
    """A router is changed inside its own open `change()`, or a `change()` is used twice."""


class SnapshotError(RingwardError, ValueError):
    """Bytes that are no intact snapshot of a known version, or a snapshot that does not fit."""


class ConflictError(RingwardError, ValueError):
    """An event id was published before, with another key, payload or headers.

    Attributes
    ----------
    id : str, bytes or int
    seq : int
        The sequence number of the event that has the id.
    """

    def __init__(self, id: str | bytes | int, seq: int) -> None:
        super().__init__(
            f"id {shown(id)} belongs to another event, seq {seq}: a repeat must have the same key, payload and headers"
        )
        self.id = id
        self.seq = seq


class DeduplicationExpiredError(RingwardError, ValueError):
    """An integer id is not above its producer's highest, and no event of that id is remembered any more.

    Attributes
    ----------
    id, highest : int
    """

    def __init__(self, id: int, highest: int) -> None:
        super().__init__(
            f"id must be above {highest}, the producer's highest, or that of a remembered event (was {id})"
        )
        self.id = id
        self.highest = highest


class BackpressureError(_BoundError, RuntimeError):
    """A bound is reached: what is accepted already has to be handled first.

    Attributes
    ----------
    argument, bound : str
        What is bounded, and how.
    value : object
        What it would have become.
    """

    transient = True


class UnsupportedError(RingwardError, RuntimeError):
    """A store, or this platform, does not have what was asked for."""


class StoreFailedError(RingwardError, RuntimeError):
    """A commit or a sync of the store failed: what is on the disk is unknown until the file is opened anew.

    An operation that gets this may or may not have been stored. Publish again with the same ids.
    """


class StoreFullError(RingwardError, RuntimeError):
    """The disk is full, so the operation was rolled back; the store stays as it was."""

    transient = True


class StoreUnavailableError(StoreFailedError):
    """The store could not be reached or read just now; nothing of the operation is stored, and nothing is in doubt."""

    transient = True


class StoreClosedError(RingwardError, RuntimeError):
    """The store is closed, or belongs to the process that this one was forked from."""


class StoreFormatError(RingwardError, ValueError):
    """A file that is no store of ours, is of a newer version, is damaged, or is another stream than was asked for."""


class StopTimeoutError(RingwardError, RuntimeError):
    """A handler was still running when the time to stop was up: it is left behind, and its event delivered again.

    Attributes
    ----------
    timeout_s : float
    running : list of (str, int)
        (group, seq) of each event that a handler was with; empty when partitions could not be handed over in time.
    """

    def __init__(self, timeout_s: float, running: list[tuple[str, int]]) -> None:
        told = "; ".join(f"group {group}, seq {seq}" for group, seq in running[:_TOLD]) or "of events that others have"
        more = f"; and {len(running) - _TOLD:,} more" if len(running) > _TOLD else ""
        super().__init__(
            f"handlers were cut off after {timeout_s:g} s, and what they had is delivered again: {told}{more}"
        )
        self.timeout_s = timeout_s
        self.running = running


class StoreNotFoundError(RingwardError, FileNotFoundError):
    """There is no file of a store, or no folder for it.

    Attributes
    ----------
    path : str
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class StoreAccessError(RingwardError, PermissionError):
    """A permission is missing for the file of a store, or for what lies beside it.

    Attributes
    ----------
    path : str
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class QueryTimeoutError(RingwardError, TimeoutError):
    """A query took longer than it may: while it reads, the write-ahead log of the file grows.

    Attributes
    ----------
    timeout_s : float
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the query took longer than {timeout_s} s")
        self.timeout_s = timeout_s


class TransactionError(RingwardError, RuntimeError):
    """A handler's transaction is over, or was asked for what it does not allow."""


class InsideHandlerError(RingwardError, RuntimeError):
    """A handler or a hook asked its own processor for what waits for that handler to end.

    Attributes
    ----------
    call : str
        What was called.
    """

    def __init__(self, call: str) -> None:
        super().__init__(
            f"{call} must be called outside of handlers and hooks, which it would wait for: call ask_to_stop() inside"
        )
        self.call = call


class LoopError(RingwardError, RuntimeError):
    """A processor that runs in one asyncio loop is used in another."""


class CancelledTasksError(RingwardError, RuntimeError):
    """Somebody has cancelled the tasks of an asyncio processor that was not told to stop: it handles nothing any more.

    What was with handlers is delivered again, by others or after `start()`.
    """


class UnknownGroupError(RingwardError, LookupError):
    """The store has no group of this name.

    Attributes
    ----------
    group : str
    """

    def __init__(self, group: str) -> None:
        super().__init__(f"no group is named {shown(group)}")
        self.group = group
