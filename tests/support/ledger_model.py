"""Random events for one ledger or for two side by side, on one clock: whatever one answers, the other must.

Epochs, claims and letters are random names: they are equal when they were first heard of at the same place.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from hub.delivery.inbox import INBOX_POLICY, inbox_channel
from hub.delivery.model import (
    Ack,
    ClaimBatch,
    Claimed,
    DeadLetter,
    DeadOffset,
    Departure,
    DeviceRecord,
    DeviceState,
    EntryTerms,
    Finish,
    Hello,
    NewEntry,
    NewMark,
    Notified,
    Unproven,
)
from hub.engine import Broker, Devices, Ledger
from hub.model import HistoryFilter, Position

Answer = TypeVar("Answer")

USERS = ("ann", "bob \n é")
DEVICES = ("device-a", "device-b", "device-c")
LANES = ("apns:shop:production", "fcm:my:shop:sandbox")
NOTIFICATIONS = tuple(f"n{number}" for number in range(12))
MOST_PASSED_MS = 5 * 86_400_000

users = st.sampled_from(USERS)
devices = st.sampled_from(DEVICES)
lanes = st.sampled_from(LANES)
notifications = st.sampled_from(NOTIFICATIONS)
nodes = st.sampled_from(["a", "b"])
states: st.SearchStrategy[DeviceState] = st.sampled_from(["foreground", "foreground", "background"])
departures: st.SearchStrategy[Departure] = st.sampled_from(["dropped", "closed", "drained"])
MEANWHILE = (
    "ack all",
    "ack some",
    "read",
    "withdraw",
    "notify",
    "rotate",
    "move",
    "hello",
    "background",
    "leave",
    "replay",
    "claim",
    "other lane",
    "reinstall",
    "late leave",
    "forget",
    "time",
)
some = st.sampled_from(["all", "all", "first", "last", "none"])


UNTRIED_MS = 3_000
"""As the wait of an end: nothing was tried, and what is owed is put off."""


@dataclass
class Clock:
    """Milliseconds that pass when told to."""

    start_ms: int
    passed_ms: int = 0
    was_set_back: bool = False

    def now_ms(self) -> int:
        """Unix time."""
        return self.start_ms + self.passed_ms

    def now_s(self) -> float:
        """The same in seconds."""
        return self.now_ms() / 1000


@dataclass
class Nodes:
    """Which nodes are known to live; none known counts as all."""

    live: frozenset[str] = frozenset()

    def now(self) -> frozenset[str]:
        """They are."""
        return self.live


@dataclass
class Side:
    """One ledger with what belongs to it, and the random names that came from it, numbered."""

    ledger: Ledger
    devices: Devices
    broker: Broker
    names: dict[str, str] = field(default_factory=dict)

    def name(self, text: str) -> str:
        """A random name as the place at which it was first heard."""
        return self.names.setdefault(text, f"#{len(self.names)}") if text else ""

    def plain(self, value: Any) -> Any:
        """A value with its random names replaced."""
        names = _field_names(value)
        if names:
            name = type(value).__name__
            shown = {each: getattr(value, each) for each in names}
            if name in ("Position", "Claimed"):
                shown["epoch"] = self.name(shown["epoch"])
            if name == "Claimed":
                shown["claim"] = self.name(shown["claim"])
            if name == "DeadLetter":
                shown["id"] = self.name(shown["id"])
            if name == "Mark" and shown["event"] == "claimed":
                shown["detail"] = self.name(shown["detail"])
            return (name, {key: self.plain(each) for key, each in shown.items()})
        if isinstance(value, (list, tuple)):
            return [self.plain(each) for each in value]
        return value


def difference(specified: Any, tested: Any, where: str = "") -> str:
    """The first place at which two plain values are not the same."""
    if isinstance(specified, dict) and isinstance(tested, dict) and specified.keys() == tested.keys():
        parts = [(specified[key], tested[key], f"{where}.{key}") for key in specified]
    elif isinstance(specified, (list, tuple)) and isinstance(tested, (list, tuple)):
        if len(specified) != len(tested):
            return f"{where}: of the length {len(specified)} in {specified}, not {len(tested)} in {tested}"
        parts = [
            (left, right, f"{where}[{place}]")
            for place, (left, right) in enumerate(zip(specified, tested, strict=True))
        ]
    else:
        return f"{where}: specified {specified!r}, tested {tested!r}"
    return next(difference(*part) for part in parts if part[0] != part[1])


def record(token: str, lane: str) -> DeviceRecord:
    """A registration."""
    provider, _, rest = lane.partition(":")
    app, _, environment = rest.rpartition(":")
    return DeviceRecord("ios", provider, app, environment, token, locale="de", app_version="1 \n ü")


@dataclass(frozen=True)
class Worlds:
    """The sides, of which the first is the specification."""

    sides: Sequence[Side]
    clock: Clock
    nodes: Nodes
    run: Callable[[Awaitable[Any]], Any]
    look: Callable[[], None] = lambda: None
    """Called after each event, for what can be seen from inside."""
    in_due_order: bool = True
    """Whether claims come in the order in which they are due, which nobody promises between partitions."""


class LedgerModel(RuleBasedStateMachine):
    """Everything that can be done to a ledger, in any order."""

    def __init__(self, worlds: Worlds) -> None:
        super().__init__()
        self._worlds = worlds
        self._claims: list[tuple[Claimed, ...]] = []
        self._letters: list[tuple[str, ...]] = []
        self._generations: dict[tuple[str, str], list[int]] = {}
        self._tops: dict[str, tuple[Position, ...]] = {}
        self._known: list[tuple[str, str]] = []
        self._serial = 0

    def _each(self, ask: Callable[[Side, int], Awaitable[Answer]]) -> list[Answer]:
        """The answers of all sides, which are equal."""
        sides = self._worlds.sides
        answers = [self._worlds.run(ask(side, number)) for number, side in enumerate(sides)]
        plain = [side.plain(answer) for side, answer in zip(sides, answers, strict=True)]
        for each in plain[1:]:
            assert each == plain[0], difference(plain[0], each)
        return answers

    def _everything(self, ask: Callable[[Ledger, int], Awaitable[Answer]]) -> list[Answer]:
        answers = self._each(lambda side, number: ask(side.ledger, number))
        self._look()
        return answers

    def _look(self) -> None:
        """What everybody can see at any time is the same too."""
        self._worlds.look()

        async def visible(side: Side) -> list[Any]:
            asked: list[Awaitable[Any]] = []
            for user in USERS:
                asked += (side.ledger.plan(user), side.devices.view(user), side.ledger.summary(user))
            asked += (side.ledger.oldest_due_ms(lane) for lane in LANES)
            asked += (side.ledger.claim(lane, 0, "nobody") for lane in LANES)
            return list(await asyncio.gather(*asked))

        found = self._each(lambda side, _: visible(side))
        for place, user in enumerate(USERS):
            self._tops[user] = tuple(side[3 * place + 2].top for side in found)

    def _position(self, user: str, offset_back: int, number: int, *, other_epoch: bool) -> Position:
        top = self._tops[user][number] if user in self._tops else Position(0, "")
        return Position(max(0, top.offset - offset_back), "other" if other_epoch else top.epoch)

    def _generation(self, user: str, device: str, back: int) -> int:
        """That of the last connection or a former one, perhaps of a row that is gone."""
        known = self._generations.get((user, device), [])
        return known[-1 - back] if back < len(known) else 1

    @initialize()
    def begin(self) -> None:
        """Most of what can happen, happens to those who have a phone."""
        for number, user in enumerate(USERS):
            self.register(user, DEVICES[0], "tu"[number], LANES[0])
        self.register(USERS[0], DEVICES[1], "v", LANES[1])

    # the registry

    @rule(user=users, device=devices, token=st.sampled_from("tuv"), lane=lanes)
    def register(self, user: str, device: str, token: str, lane: str) -> None:
        """Install, rotate, move, come back."""
        self._each(lambda side, _: side.devices.register(user, device, record(token, lane)))
        self._look()

    @rule(user=users, device=devices)
    def remove(self, user: str, device: str) -> None:
        """Log out."""
        self._each(lambda side, _: side.devices.remove(user, device))
        self._look()

    # the backend

    @rule(
        user=users,
        burst=st.lists(
            st.tuples(
                notifications,
                st.sampled_from([True, True, True, False]),
                st.sampled_from([0, 2_000, 20_000, 86_400_000, 86_400_000]),
                st.sampled_from(["", "", "x", "y"]),
                st.sampled_from([True, True, False]),
            ),
            min_size=1,
            max_size=4,
        ),
        body=st.sampled_from(["same", "same", "other"]),
    )
    def notify(self, user: str, burst: list[tuple[str, bool, int, str, bool]], body: str) -> None:
        """Some notifications, known ids among them."""
        for notification, push, ttl_ms, thread, full_trace in burst:
            expires_at_ms = self._worlds.clock.now_ms() + ttl_ms
            terms = EntryTerms(notification, push, expires_at_ms, full_trace, thread, b'{"priority":\n1}')
            entry = NewEntry(terms, b'{"id":"%s"}' % notification.encode(), body)

            def ask(ledger: Ledger, _: int, entry: NewEntry = entry) -> Awaitable[Notified]:
                return ledger.notify(user, entry)

            self._everything(ask)
            self._known.append((user, notification))

    @rule(user=users, notification=notifications)
    def withdraw(self, user: str, notification: str) -> None:
        """Take one back."""
        self._everything(lambda ledger, _: ledger.withdraw(user, notification))

    # the phone

    @rule(
        user=users,
        device=devices,
        node=nodes,
        client=st.sampled_from(["c1", "c2"]),
        state=states,
        cursor=st.none() | st.tuples(st.integers(-1, 4), st.sampled_from([False, False, True])),
        resumes=st.none() | st.none() | st.integers(0, 1),
    )
    def hello(
        self,
        user: str,
        device: str,
        node: str,
        client: str,
        state: DeviceState,
        cursor: tuple[int, bool] | None,
        resumes: int | None,
    ) -> None:
        """Connect, perhaps with a cursor, perhaps taken up again by a hub that was away."""
        resumed = None if resumes is None else self._generation(user, device, resumes)

        def ask(ledger: Ledger, number: int) -> Awaitable[Any]:
            at = cursor and self._position(user, cursor[0], number, other_epoch=cursor[1])
            return ledger.hello(user, device, Hello(node, client, state, at, resumed))

        welcome = self._everything(ask)[0]
        if welcome.generation:
            known = self._generations.setdefault((user, device), [])
            if welcome.generation not in known:
                assert welcome.generation > max(known, default=0) or self._worlds.clock.was_set_back
                known.append(welcome.generation)

    @rule(user=users, device=devices, back=st.sampled_from([0, 0, 0, 1, 9]), state=states)
    def set_state(self, user: str, device: str, back: int, state: DeviceState) -> None:
        """To the front, to the back."""
        generation = self._generation(user, device, back) if back < 9 else 0
        self._everything(lambda ledger, _: ledger.set_state(user, device, generation, state))

    @rule(
        user=users,
        device=devices,
        back=st.sampled_from([0, 0, 0, 1]),
        how=departures,
        unproven=st.none() | st.integers(0, 3),
    )
    def leave(self, user: str, device: str, back: int, how: Departure, unproven: int | None) -> None:
        """Go, or seem to."""
        generation = self._generation(user, device, back)

        def ask(ledger: Ledger, number: int) -> Awaitable[Any]:
            offset = self._position(user, unproven or 0, number, other_epoch=False).offset
            written = None if unproven is None else Unproven(offset, 17)
            return ledger.leave(user, device, generation, how, written)

        self._everything(ask)

    @rule(
        acks=st.lists(
            st.tuples(
                users,
                devices,
                st.integers(-1, 5),
                st.sampled_from([False, False, False, True]),
                st.sampled_from([0, 99]),
                st.sampled_from(["pong", "ack", "receipt", "history"]),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def ack(self, acks: list[tuple[str, str, int, bool, int, Any]]) -> None:
        """Proofs, some late, some of another epoch, some of nobody."""

        def ask(ledger: Ledger, number: int) -> Awaitable[Any]:
            proofs: list[Ack] = []
            for user, device, back, other_epoch, written_ms, how in acks:
                at = self._position(user, back, number, other_epoch=other_epoch)
                proofs.append(Ack(user, device, at.epoch, at.offset, "a", written_ms, how))
            return ledger.ack(proofs)

        self._everything(ask)

    @rule(user=users, back=st.integers(-1, 5), other_epoch=st.sampled_from([False, False, False, True]))
    def read(self, user: str, back: int, other_epoch: bool) -> None:
        """Everything up to somewhere."""

        def ask(ledger: Ledger, number: int) -> Awaitable[Any]:
            at = self._position(user, back, number, other_epoch=other_epoch)
            return ledger.read(user, at.epoch, at.offset)

        self._everything(ask)

    @rule(user=users, device=devices, notification=notifications)
    def opened(self, user: str, device: str, notification: str) -> None:
        """Tap."""
        self._everything(lambda ledger, _: ledger.opened(user, device, notification))

    # the worker

    @rule(lane=lanes, limit=st.sampled_from([1, 2, 10, 10]), finish_at_once=st.booleans())
    def claim(self, lane: str, limit: int, finish_at_once: bool) -> None:
        """Take what is due; usually it goes out."""

        async def ask(ledger: Ledger, _: int) -> ClaimBatch:
            if self._worlds.in_due_order:
                return await ledger.claim(lane, limit, "w1")
            batch = await ledger.claim(lane, 10, "w1")
            rows = sorted(batch.rows, key=lambda row: (row.user, row.device))
            return msgspec.structs.replace(batch, rows=tuple(rows))

        batches = self._everything(ask)
        claims = list(zip(*(batch.rows for batch in batches), strict=True))
        self._claims += claims
        if finish_at_once:
            for _ in claims:
                self.finish(len(self._claims) - 1, "all", "none", None, "", True)

    @rule(
        which=st.integers(0, 5),
        sent=some,
        dead=st.sampled_from(["none", "none", "first", "last"]),
        retry_ms=st.sampled_from([None, None, 0, 1_500, 20_000, UNTRIED_MS]),
        gone=st.sampled_from(["", "", "", "used", "old", "late", "other"]),
        told=st.booleans(),
    )
    def finish(self, which: int, sent: str, dead: str, retry_ms: int | None, gone: str, told: bool) -> None:
        """Any end of a claim, also of one that is not the current one any more."""
        if not self._claims:
            return
        claims = self._claims[-1 - which % len(self._claims)] if which < 6 else self._claims[-1]

        def ask(ledger: Ledger, number: int) -> Awaitable[Any]:
            return ledger.finish(_end(claims[number], sent, dead, retry_ms, gone, told))

        self._everything(ask)

    @rule(
        user=users,
        device=st.sampled_from([DEVICES[0], DEVICES[0], DEVICES[1]]),
        many=st.integers(1, 4),
        before=st.lists(st.sampled_from(MEANWHILE), max_size=2),
        between=st.lists(st.sampled_from(MEANWHILE), max_size=3),
        sent=some,
        retry_ms=st.sampled_from([None, None, 0, 1_500]),
        gone=st.sampled_from(["", "", "", "", "used", "old"]),
    )
    def push_round(
        self,
        user: str,
        device: str,
        many: int,
        before: list[str],
        between: list[str],
        sent: str,
        retry_ms: int | None,
        gone: str,
    ) -> None:
        """A notification on its way to a phone, and what else happens while it is."""
        self._serial += many
        new = [(f"m{self._serial - each}", True, 86_400_000, "", True) for each in range(many)]
        self.notify(user, new, "same")
        for what in before:
            self._happens(what, user, device)
        self.let_time_pass(8_000)
        held = len(self._claims)
        for lane in LANES:
            self.claim(lane, 10, False)
        count = len(self._claims) - held
        for what in between:
            self._happens(what, user, device)
        for place in range(count):
            self.finish(place, sent, "none" if sent == "all" else "last", retry_ms, gone, sent == "all")

    @rule(
        user=users,
        waits_ms=st.lists(st.sampled_from([0, 1_000, 3_000, 4_000]), min_size=1, max_size=5),
        proves=st.booleans(),
        between=st.lists(st.sampled_from(MEANWHILE), max_size=2),
    )
    def live_round(self, user: str, waits_ms: list[int], proves: bool, between: list[str]) -> None:
        """A phone in somebody's hand that is told one thing after the other, and proves one behind."""
        self.hello(user, DEVICES[0], "a", "c1", "foreground", None, None)
        for wait_ms in waits_ms:
            self._serial += 1
            self.notify(user, [(f"m{self._serial}", True, 60_000, "", True)], "same")
            if wait_ms:
                self.let_time_pass(wait_ms)
            if proves:
                self.ack([(user, DEVICES[0], 1, False, 0, "pong")])
        for what in between:
            self._happens(what, user, DEVICES[0])
        self.claim(LANES[0], 10, True)

    def _happens(self, what: str, user: str, device: str) -> None:
        name = f"m{self._serial}"
        events: dict[str, Callable[[], None]] = {
            "ack all": lambda: self.ack([(user, device, 0, False, 99, "pong")]),
            "ack some": lambda: self.ack([(user, device, 1, False, 0, "ack")]),
            "read": lambda: self.read(user, 1, False),
            "withdraw": lambda: self.withdraw(user, name),
            "notify": lambda: self.notify(user, [(f"{name}-x", True, 9_000, "x", True)], "same"),
            "rotate": lambda: self.register(user, device, "w", LANES[0]),
            "move": lambda: self.register(USERS[1], device, "t", LANES[0]),
            "hello": lambda: self.hello(user, device, "a", "c1", "foreground", None, None),
            "background": lambda: self.set_state(user, device, 0, "background"),
            "leave": lambda: self.leave(user, device, 0, "dropped", 0),
            "replay": lambda: self.dead_letters(None, True, 3),
            "claim": lambda: self.claim(LANES[0], 10, False),
            "other lane": lambda: self.register(user, device, "t", LANES[1]),
            "reinstall": lambda: self._reinstall(user, device),
            "late leave": lambda: self.leave(user, device, 1, "dropped", 0),
            "forget": lambda: self.forget(user, 0),
            "time": lambda: self.let_time_pass(30_000),
        }
        events[what]()

    def _reinstall(self, user: str, device: str) -> None:
        """What is told of the former row comes late."""
        self.remove(user, device)
        self.let_time_pass(1)
        self.register(user, device, "t", LANES[0])
        self.hello(user, device, "a", "c2", "foreground", None, None)

    # operators

    @rule(lane=st.none() | lanes, replay=st.booleans(), most=st.integers(0, 3))
    def dead_letters(self, lane: str | None, replay: bool, most: int) -> None:
        """Look at them, and let some go."""
        letters = self._dead_letters(lane)

        def ask(ledger: Ledger, number: int) -> Awaitable[int]:
            ids = [letter.id for letter in letters[number][:most]] + ["unknown"]
            return ledger.replay_dead_letters(ids) if replay else ledger.drop_dead_letters(ids)

        self._everything(ask)

    def _dead_letters(self, lane: str | None) -> list[list[DeadLetter]]:
        """All letters; between lanes, and between users of different partitions, no order is promised."""

        async def sorted_letters(side: Side) -> list[DeadLetter]:
            letters = (await side.ledger.dead_letters(lane, "", 1_000)).letters
            return sorted(
                letters, key=lambda each: (each.lane, each.time_ms, each.user, each.device, each.offset)
            )

        return self._each(lambda side, _: sorted_letters(side))

    @rule(user=users, sure=st.integers(0, 3))
    def forget(self, user: str, sure: int) -> None:
        """A user wants out; seldom."""
        if not sure:
            self._everything(lambda ledger, _: ledger.forget(user))
            # A letter may be there until somebody looks, but it leads nowhere.
            for lane in LANES:
                self._dead_letters(lane)

    # the world

    @rule(
        passed_ms=st.sampled_from(
            [-2_000, 1, 400, 1_000, 2_000, 3_000, 5_000, 5_000, 8_000, 30_000, 3_600_000, 90_000_000]
        )
    )
    def let_time_pass(self, passed_ms: int) -> None:
        """For all alike; now and then a clock is set back."""
        self._worlds.clock.was_set_back |= passed_ms < 0
        if self._worlds.clock.passed_ms + passed_ms < MOST_PASSED_MS:
            self._worlds.clock.passed_ms += passed_ms
            self._look()

    @rule(live=st.sampled_from([frozenset[str](), frozenset("ab"), frozenset("a"), frozenset("ab")]))
    def nodes_change(self, live: frozenset[str]) -> None:
        """A hub dies, or nobody knows of any."""
        self._worlds.nodes.live = live
        self._look()

    def teardown(self) -> None:
        """However it came to be, in the end all tell the same of what happened."""
        for user, notification in dict.fromkeys(self._known):
            self._trace(user, notification)
        everything = HistoryFilter(limit=-1)
        for user in USERS:
            channel = inbox_channel(user)
            self._history(channel, everything)
        self._dead_letters(None)

    def _trace(self, user: str, notification: str) -> None:
        self._each(lambda side, _: side.ledger.trace(user, notification))

    def _history(self, channel: str, wanted: HistoryFilter) -> None:
        self._each(lambda side, _: side.broker.history(channel, wanted, INBOX_POLICY))


def _end(claimed: Claimed, sent: str, dead: str, retry_ms: int | None, gone: str, told: bool) -> Finish:
    pairs = [pair for group in claimed.groups for pair in zip(group.offsets, group.ids, strict=True)]
    pairs += [(entry.offset, entry.terms.id) for entry in claimed.rest]
    went_out = _some_of(pairs, sent)
    died = [pair for pair in _some_of(pairs, dead) if pair not in went_out]
    gone_at_ms = {
        "old": claimed.token_updated_ms - 1,
        "late": claimed.token_updated_ms + 100_000,
    }.get(gone)
    token_hash = "0" * 64 if gone == "other" else claimed.token_hash
    untried = retry_ms == UNTRIED_MS
    return Finish(
        user=claimed.user,
        device=claimed.device,
        lane=claimed.record.lane,
        claim=claimed.claim,
        sent=tuple(offset for offset, _ in went_out),
        dead=tuple(DeadOffset(offset, name, "too odd \n é") for offset, name in died),
        retry_ms=None if untried else retry_ms,
        put_off_ms=retry_ms if untried else None,
        gone=token_hash if gone else "",
        gone_at_ms=gone_at_ms,
        badge_sent=claimed.unread if told else None,
        cleared=claimed.clear if told else (),
        marks=(
            *(NewMark(name, "pushed", "200 \n é") for _, name in went_out),
            *(NewMark(name, "attempt", "503") for _, name in pairs),
        ),
        node="w1",
    )


def _some_of(pairs: list[tuple[int, str]], which: str) -> list[tuple[int, str]]:
    return {"all": pairs, "first": pairs[:1], "last": pairs[-1:]}.get(which, [])


def _field_names(value: Any) -> tuple[str, ...]:
    """The names of a value's fields; none where it has no fields."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return tuple(each.name for each in dataclasses.fields(value))
    return ()
