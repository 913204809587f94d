"""`Adaptive`: a router that answers what a failure detector says, by a policy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from threading import get_ident
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ringward._core import Hasher, Reader, State
from ringward.change import Operation
from ringward.checks import checked_callable, checked_float, checked_type
from ringward.cluster import Cluster
from ringward.errors import ArgumentError, ChangeError, RingwardError
from ringward.explanation import Explanation
from ringward.failover.asking import asked
from ringward.failover.decision import Decision, Wish
from ringward.failover.journal import Journal
from ringward.failover.judge import Judge
from ringward.failover.over import Over
from ringward.failover.overlay import overlaid
from ringward.failover.policy import Policy
from ringward.failover.runner import EVERY_S, Runner
from ringward.health import Detector
from ringward.keys import Key
from ringward.router import Router
from ringward.snapshot import Snapshot
from ringward.tables import kind_of
from ringward.texts import bounded, error_text
from ringward.transfer import Transfer
from ringward.view import Placed

__all__ = ["Adaptive"]

Hook = Callable[[Decision], object]


class Adaptive(Over):
    """A router over a router: its nodes are marked down, held down, relieved and returned as a policy wants it.

    The router inside stays what the operator made of it: who belongs, with which weight, and who is marked down by hand.
    This one has the same members under the same placement, and on top what the policy decided. Reads cost what they cost
    inside. Changes by hand go through to the router inside, from here as well as from there, and are respected: a node
    that was marked down by hand stays down until it is marked up by hand, and one that is marked up by hand is left alone
    until the detector has called it well.

    Parameters
    ----------
    router : Router
        Of any placement. Each `Adaptive` over it decides for itself and leaves it as it is.
    detector : Detector
        As those of `ringward.health`; whoever feeds it uses the clock of `tick`.
    policy : Policy
    observe : bool
        Decide and explain, but change nothing: all reads are those of the router inside.
    hooks : iterable of callable
        Called with each `Decision`, outside of all locks. What they raise is told as a decision of kind "error".

    Raises
    ------
    ArgumentTypeError

    Notes
    -----
    `tick` and changes may come from several threads. Copies and pickles have the decisions so far; they have no hooks,
    and nothing runs. A snapshot is one of the router's own kind, with all that is decided: other processes route by it.
    To go on deciding after a restart, resume `inside.snapshot()`, or pickle the `Adaptive`.

    Examples
    --------
    >>> import ringward as rw
    >>> from ringward.failover import Adaptive
    >>> from ringward.health import Deadline
    >>> detector = Deadline(after_s=5.0)
    >>> router = Adaptive(rw.HashRing(["node1", "node2", "node3"]), detector=detector)
    >>> for second in range(40):
    ...     for name in router:
    ...         if name != "node2" or not 2 <= second <= 8:
    ...             detector.heard(name, second)
    ...     for decision in router.tick(second):
    ...         print(decision.time_s, decision.kind, decision.nodes)
    6.0 down ('node2',)
    39.0 up ('node2',)
    """

    __slots__ = ("_detector", "_inside", "_journal", "_judge", "_laid", "_observe", "_own", "_runner", "_ticking")

    def __init__(
        self,
        router: Router,
        *,
        detector: Detector,
        policy: Policy = Policy(),
        observe: bool = False,
        hooks: Iterable[Hook] = (),
    ) -> None:
        inside = checked_type("router", router, Router)  # type: ignore[type-abstract]
        checked_type("detector", detector, Detector)  # type: ignore[type-abstract]
        checked_type("policy", policy, Policy)
        checked_type("observe", observe, bool)
        judge = Judge(policy, lowers=not kind_of(inside._state.own.table).one_owner)
        self._start(inside, inside._state, detector, judge, Journal(), observe=observe)
        self._journal.hooks = tuple(checked_callable("hooks", hook) for hook in hooks)

    def _start(
        self, inside: Router, own: State, detector: Detector, judge: Judge, journal: Journal, *, observe: bool
    ) -> None:
        self._begin(inside._options)
        self._inside = inside
        self.__class__ = _over(type(self), inside)
        self._own = own  # what is decided; when only observing, it is not what is read
        self._laid = inside._state  # over which it was laid
        self._detector, self._judge, self._journal, self._observe = detector, judge, journal, observe
        self._by_hand = False
        self._ticking: int | None = None  # the thread inside a tick
        self._runner: Runner | None = None
        Reader.__init__(self, inside._state if observe else own)
        inside._add_follower(self)

    # --- what the placement inside does for this one

    @property
    def ordered(self) -> bool:  # type: ignore[override] # of the class in placements, of the router inside here
        """Whether the order in which nodes are given means something."""
        return self._inside.ordered

    def _place(self, cluster: Cluster, before: State | None, epoch: int) -> Placed:
        return self._inside._place(cluster, before, epoch)

    def _touched(self, before: Cluster, after: Cluster) -> Any:
        return self._inside._touched(before, after)

    def _moment(self) -> tuple[State, str]:
        return self._state, self._inside._moment()[1]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # what its placement alone has, such as `primary`: see `_over`

    # --- changes

    def _change(self, operation: Operation) -> Transfer:
        """By hand: the router inside is changed, and what was decided is laid over it again."""
        if get_ident() in self._changing:
            raise ChangeError("this router is inside a change() of this thread: use what that returned")
        with self._lock:
            before = self._state
            risen = self._own.cluster.down - operation(self._own.cluster).down  # raises before anything is changed
            self._by_hand = True
            try:
                self._inside._change(operation)
            finally:
                self._by_hand = False
            self._judge.pardon(risen)
            self._laid_over()
            transfer = Transfer(before, self._state, self._touched)
        self._follow()
        return transfer

    def _is_stale(self) -> bool:
        return self._laid is not self._inside._state

    def _renew(self) -> None:
        self._laid_over()

    def _laid_over(self, wish: Wish | None = None) -> Transfer:
        """Bring the own state up to date with the router inside, the decisions so far and a wish; swap it in."""
        # A wish is about the members that were judged: who changed since is followed after the tick.
        inside, before = self._inside._state if wish is None else self._laid, self._own
        back = self._judge.follow(inside.cluster)
        out, factors = self._judge.out, self._judge.factors
        if wish is not None:
            out = out - wish.reasons.keys() if wish.kind == "up" else out
            out = out | wish.reasons.keys() if wish.kind in {"down", "zone"} else out
            factors = {**factors, **wish.factors}
        cluster = overlaid(before.cluster, inside.cluster, out, factors).sealed(before.cluster, ordered=self.ordered)
        if cluster is not before.cluster:
            try:
                self._own = self._state_of(cluster, before, before.hasher, before.epoch + 1)
            except RingwardError as error:
                if wish is not None or not factors:
                    raise
                # A weight given by hand is too small to be lowered: shares come back rather than that its change is lost.
                text = f"lowered shares are given back: {error}"
                self._journal.note(Decision(self._judge.given_s, "error", tuple(factors), bounded(text)))
                self._judge.restore()
                return self._laid_over()
        self._laid = inside
        now = inside if self._observe else self._own
        if now is not self._state:
            self._swap(now)
        transfer = Transfer(before, self._own, self._touched)
        self._forget(before.cluster.members.keys() - inside.cluster.members.keys())
        if back:
            reason = f"no other of the {len(cluster)} nodes could own a key after a change by hand"
            self._journal.note(Decision(self._judge.given_s, "up", tuple(back), reason, transfer))
        return transfer

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._detector.forget(name)
            except Exception as error:  # noqa: BLE001 - it is somebody else's code; the node has left all the same
                text = bounded(f"the detector raised {error_text(error)}")
                self._journal.note(Decision(self._judge.given_s, "error", (name,), text))

    def tick(self, now_s: float) -> list[Decision]:
        """Decide what is due at a time, and carry it out.

        Call it every second or so, or let `start` do it. It costs about a microsecond a member.

        Parameters
        ----------
        now_s : float
            By the clock of those who feed the detector. A clock that went back stands still until it goes on.

        Returns
        -------
        list of Decision

        Raises
        ------
        ChangeError
            When the detector calls it while it is asked.
        """
        now_s = checked_float("now_s", now_s, zero=True)
        with self._lock:
            if self._ticking == get_ident():
                raise ChangeError("this router is inside a tick of this thread: its detector must not tick it")
            self._ticking = get_ident()
            try:
                decisions = self._decided(now_s)
            finally:
                self._ticking = None
            for decision in decisions:
                self._journal.note(decision)
        self._follow()
        return decisions + self._journal.call_hooks(decisions, now_s)

    def _decided(self, now_s: float) -> list[Decision]:
        if self._is_stale():
            self._renew()
        statuses, troubles = asked(self._detector, self._laid.cluster.members, self._judge.records, now_s)
        decisions = self._journal.troubled(now_s, troubles)
        self._judge.look(now_s, self._laid.cluster, statuses)  # which a detector may have changed
        for wish in self._judge.wishes():
            nodes = tuple(wish.reasons)
            if wish.kind in {"hold", "panic", "wait"}:
                decisions.append(Decision(now_s, wish.kind, nodes, wish.reason))
                continue
            try:
                transfer = self._laid_over(wish)
            except RingwardError as error:
                self._judge.refused(wish)
                decisions.append(Decision(now_s, "error", nodes, f"{wish.kind} could not be carried out: {error}"))
                continue
            moved = transfer.share
            self._judge.done(wish, moved)
            decisions.append(Decision(now_s, wish.kind, nodes, wish.reason, transfer, moved))
        return decisions

    def start(
        self,
        probe: Callable[[Any], Any] | None = None,
        *,
        targets: Mapping[str, Any] | None = None,
        every_s: float = EVERY_S,
        **options: Any,
    ) -> Self:
        """Tick in a thread until `stop`, by `time.monotonic`; where a probe is given, probe all members too.

        Parameters
        ----------
        probe : callable, optional
            As of `ringward.health.probes.Prober`: a function or a coroutine function of a target. Without one, whoever
            feeds the detector uses `time.monotonic`.
        targets : mapping of str to object, optional
            Node → what the probe is called with; by default its name.
        every_s : float
            How often it ticks, and probes each node.
        **options
            `timeout_s`, `at_once`, `jitter` and `on_result` of the `Prober`.

        Raises
        ------
        ChangeError
            When it runs already.

        Examples
        --------
        >>> import time, ringward as rw
        >>> from ringward.failover import Adaptive
        >>> from ringward.health import Deadline
        >>> router = Adaptive(rw.HashRing(["cache1", "cache2"]), detector=Deadline(after_s=0.2))
        >>> _ = router.start(probe=lambda node: node != "cache2", every_s=0.02)
        >>> time.sleep(0.5)
        >>> router.stop()
        >>> router.route("event1")
        'cache1'
        """
        with self._lock:
            if self._runner is not None and self._runner.runs:
                raise ChangeError("this router runs already: stop() it first")
            runner = Runner(self, self._detector, probe, targets=targets, every_s=every_s, options=options)
            runner.start()
            self._runner = runner
        self._follow()
        return self

    def stop(self) -> None:
        """End what `start` began; where nothing runs, nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.stop()

    def _note_error(self, now_s: float, text: str) -> None:
        self._journal.note(Decision(now_s, "error", (), bounded(text)))

    # --- what is known

    @property
    def inside(self) -> Router:
        """The router inside: what the operator made of it."""
        return self._inside

    @property
    def detector(self) -> Detector:
        """Who says which nodes are suspected."""
        return self._detector

    @property
    def policy(self) -> Policy:
        """By which numbers it decides."""
        return self._judge.policy

    @property
    def held(self) -> dict[str, str]:
        """The nodes that the policy marked down or whose share it lowered, and why."""
        return self._judge.held

    @property
    def waiting(self) -> dict[str, str]:
        """The nodes for which something is due that waits, and for what: a panic, a hold-down or the limits of movement."""
        return self._judge.waiting

    def log(self) -> list[Decision]:
        """The latest 1,000 decisions, the oldest first; the latest 16 of them with their transfers."""
        return self._journal.entries()

    def explain(self, key: Key, count: int = 3) -> Explanation:
        """Why a key is where it is, and which node is next; of nodes that were marked down, also why."""
        told, held = super().explain(key, count), self.held
        steps = [
            replace(step, reason=f"{step.reason}; by policy: {held[step.node]}") if step.node in held else step
            for step in told.steps
        ]
        return replace(told, steps=tuple(steps))

    # --- copies

    def snapshot(self) -> Snapshot:
        """Return the present state for good, as one of the router inside, with all that is decided. O(1)."""
        return Snapshot(self._state, self._inside._moment()[1], self._options)

    @classmethod
    def resume(cls, snapshot: Snapshot, hash: Hasher | None = None) -> NoReturn:  # noqa: ARG003 - as in `Router`
        """Not to be had: a snapshot knows no detector. `Adaptive(HashRing.resume(snapshot), detector=...)` goes on."""
        raise ArgumentError(
            "snapshot", "resumed by the class of the router inside: an Adaptive is put over that", snapshot
        )

    def copy(self) -> Self:
        """An independent one in the same state, with copies of the router inside and of the detector, and without hooks."""
        return _again(*self._parts())  # type: ignore[return-value] # of this very class

    __copy__ = copy

    def _parts(self) -> tuple[Any, ...]:
        with self._lock:
            inside, snapshot = self._inside.copy(), Snapshot(self._own, self._inside._moment()[1], self._options)
            detector, judge, journal = copy.deepcopy(self._detector), copy.deepcopy(self._judge), self._journal.copy()
        self._follow()
        return _plain(type(self)), inside, snapshot, detector, judge, journal, self._observe

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, self._parts()

    def __repr__(self) -> str:
        about = Router.__repr__(self).removeprefix(f"<{type(self).__name__} of ").removesuffix(">")
        doing = "observes" if self._observe else "decides"
        out, lowered = len(self._judge.out), len(self._judge.factors)
        return f"<{type(self).__name__} over a {self._moment()[1]} of {about}: {doing}, {out} out, {lowered} lowered>"


@cache
def _with(cls: type[Adaptive], placement: type[Router]) -> type[Adaptive]:
    extras = {
        name: value
        for parent in reversed(placement.__mro__)
        for name, value in vars(parent).items()
        if not name.startswith("_") and not hasattr(Router, name) and hasattr(value, "__get__")
    }
    about = {"__slots__": (), "__module__": cls.__module__, "__doc__": cls.__doc__, "_made_of": cls}
    metaclass: Any = type(cls)
    made: type[Adaptive] = metaclass(cls.__name__, (cls,), {**about, **extras})
    return made


def _over(cls: type[Adaptive], inside: Router) -> type[Adaptive]:
    """The class with what the placement inside alone has, such as `primary` or `part_of`, read from the state of this router.

    A `__getattr__` would do it, and make each call of a method take twice as long.
    """
    while isinstance(inside, Adaptive):
        inside = inside._inside
    return _with(_plain(cls), type(inside))


def _plain(cls: type[Adaptive]) -> type[Adaptive]:
    """The class that such a one was made of."""
    plain: type[Adaptive] = vars(cls).get("_made_of", cls)
    return plain


def _again(  # noqa: PLR0917 - what a pickle holds
    cls: type[Adaptive],
    inside: Router,
    snapshot: Snapshot,
    detector: Detector,
    judge: Judge,
    journal: Journal,
    observe: bool,
) -> Adaptive:
    adaptive = cls.__new__(cls)
    adaptive._start(inside, snapshot._state, detector, judge, journal, observe=observe)
    return adaptive
