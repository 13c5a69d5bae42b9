"""Rules and invariants: what clients may do, what becomes of workers meanwhile, and what must hold after each step."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import durastream as ds
from durastream import wire
from durastream.core.events import EventRaised
from durastream.core.messages import EntityOperation, RaiseEvent
from durastream.core.status import TERMINAL
from durastream.store.memory.state import Instance
from tests.stateful import app as made
from tests.stateful.driver import LEASE_S, Driver

KEYS: Final = ("<one>", "<two>", "<three>")
ENTITIES: Final = ("x", "y")


@dataclass
class Known:
    """What the test knows of an instance. `sure`: nothing was done to it that leaves open what its output is."""

    kind: str
    tokens: list[str] = field(default_factory=list)  # acknowledged, in order, of the execution there is
    stopped: bool = False
    sure: bool = True
    every: int = 0
    execution_id: str = ""  # as it was last seen


class Machine(RuleBasedStateMachine):
    """One client, up to two workers, three ids and two entities."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        self.purged: set[str] = set()
        self.signals: dict[str, list[str]] = {key: [] for key in ENTITIES}
        self.spoilt: set[str] = set()
        self.calls: dict[str, str] = {}  # instance → token it gives to an entity
        self._count = 0
        self._histories: dict[tuple[str, str], list[bytes]] = {}
        self._ends: dict[tuple[str, str], tuple[Any, ...]] = {}
        made.mended.clear()

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.at = Driver(seed)
        self.at.hire()
        self.at.advance(0.5)

    def teardown(self) -> None:
        if hasattr(self, "at"):
            self.at.close()

    def token(self) -> str:
        self._count += 1
        return f"t{self._count:04}."

    def held(self, key: str) -> Instance | None:
        return self.at.hub.home(key).instances.get(key)

    # -- starts

    def _start(self, key: str, known: Known, argument: Any, if_exists: Any) -> None:
        held = self.held(key)
        orchestrator = getattr(made, known.kind)
        try:
            self.at.call(self.at.client.start(orchestrator, argument, instance_id=key, if_exists=if_exists))
        except ds.InstanceExists:
            assert if_exists == "error" and held is not None, f"S9 {key}: refused, but there was none"
            return
        assert held is None or if_exists != "error", f"S9 {key} was started twice"
        if held is None or if_exists == "replace":
            known.sure = held is None  # else the one before may have taken what came until it was replaced
            self.known[key] = known
            self.purged.discard(key)
            self.calls.pop(key, None)

    @rule(
        key=st.sampled_from(KEYS),
        every=st.sampled_from((0, 0, 2)),
        if_exists=st.sampled_from(("error", "ignore", "replace")),
    )
    def start_collects(self, key: str, every: int, if_exists: str) -> None:
        self._start(key, Known("collects", every=every), every, if_exists)

    @rule(key=st.sampled_from(KEYS), entity=st.sampled_from(ENTITIES))
    def start_asks(self, key: str, entity: str) -> None:
        if self.held(key) is None:
            token = self.token()
            self._start(key, Known("asks"), (entity, token), "error")
            self.calls[key] = token

    @rule(key=st.sampled_from(KEYS), seconds=st.sampled_from((0.0, 0.3, 5.0)))
    def start_sleeps(self, key: str, seconds: float) -> None:
        self._start(key, Known("sleeps"), seconds, "error")

    # -- events, signals

    @rule(key=st.sampled_from(KEYS), times=st.integers(1, 3))
    def raise_tokens(self, key: str, times: int) -> None:
        for _ in range(times):
            token = self.token()
            if self._tell(key, lambda token=token: self.at.client.raise_event(key, "token", token)):
                known = self.known[key]
                if not known.stopped:
                    known.tokens.append(token)

    @rule(key=st.sampled_from(KEYS), word=st.sampled_from(("stop", "stop", "breaks", "go")))
    def raise_word(self, key: str, word: str) -> None:
        name = "go" if word == "go" else "token"
        if self._tell(key, lambda: self.at.client.raise_event(key, name, word)):
            self.known[key].stopped = self.known[key].stopped or word == "stop"
            self.known[key].sure = self.known[key].sure and word != "breaks"

    @rule(entity=st.sampled_from(ENTITIES), times=st.integers(1, 3), at=st.sampled_from((None, None, 0.5)))
    def signal(self, entity: str, times: int, at: float | None) -> None:
        for _ in range(times):
            token = self.token()
            self.at.call(self.at.client.signal_entity(ds.EntityId("Log", entity), "add", token, at=at))
            self.signals[entity].append(token if at is None else f"{token}late")

    @rule(entity=st.sampled_from(ENTITIES))
    def spoil(self, entity: str) -> None:
        token = self.token()
        self.at.call(self.at.client.signal_entity(ds.EntityId("Log", entity), "spoil", token))
        self.spoilt.add(token)

    # -- operators

    def _tell(self, key: str, call: Any) -> bool:
        """Whether it was acknowledged. What is not there, or has ended, is refused."""
        held = self.held(key)
        try:
            self.at.call(call())
        except ds.InstanceNotFound:
            assert held is None or self.held(key) is None, f"{key} is there and was not found"
            return False
        except ds.Conflict:
            return False
        except ds.TimeoutError as error:
            raise AssertionError(f"L1 {key}: {error}") from None
        assert held is not None, f"{key} is not there and was found"
        return key in self.known

    @rule(key=st.sampled_from(KEYS))
    def suspend(self, key: str) -> None:
        self._tell(key, lambda: self.at.client.suspend(key, "by a rule"))

    @rule(key=st.sampled_from(KEYS))
    def resume(self, key: str) -> None:
        self._tell(key, lambda: self.at.client.resume(key))

    @rule(key=st.sampled_from(KEYS))
    def terminate(self, key: str) -> None:
        if self._tell(key, lambda: self.at.client.terminate(key, "by a rule")):
            self.known[key].sure = False

    @precondition(lambda self: self.at.workers)
    @rule(key=st.sampled_from(KEYS))
    def purge(self, key: str) -> None:
        if self._tell(key, lambda: self.at.client.purge(key, timeout=60)):
            del self.known[key]
            self.purged.add(key)

    @precondition(lambda self: self.at.workers)
    @rule(key=st.sampled_from(KEYS))
    def rewind(self, key: str) -> None:
        made.mended.add(key)
        if self._tell(key, lambda: self.at.client.rewind(key, timeout=60)):
            self.known[key].sure = False
            self._forget(key)

    @precondition(lambda self: self.at.workers)
    @rule(key=st.sampled_from(KEYS))
    def restart(self, key: str) -> None:
        if self._tell(key, lambda: self.at.client.restart(key, timeout=60)):
            before = self.known[key]
            self.known[key] = Known(before.kind, every=before.every, sure=before.kind == "collects")

    def _forget(self, key: str) -> None:
        """An operator has changed what had ended."""
        for seen in (self._histories, self._ends):
            for one in [one for one in seen if one[0] == key]:
                del seen[one]

    # -- time and workers

    @rule(seconds=st.sampled_from((0.01, 0.3, 2.0, 20.0)))
    def advance(self, seconds: float) -> None:
        self.at.advance(seconds)

    @rule(count=st.integers(1, 60))
    def steps(self, count: int) -> None:
        self.at.steps(count)

    @precondition(lambda self: self.at.workers)
    @rule(count=st.integers(0, 60))
    def crash(self, count: int) -> None:
        self.at.steps(count)
        self.at.crash()

    @precondition(lambda self: len(self.at.workers) < 2)
    @rule()
    def hire(self) -> None:
        self.at.hire()

    @precondition(lambda self: self.at.workers)
    @rule()
    def stall(self) -> None:
        self.at.stall(2.5 * LEASE_S)

    @rule(key=st.sampled_from(KEYS))
    def read(self, key: str) -> None:
        """A client sees what the store holds, in every listing."""
        try:
            status = self.at.call(self.at.client.status(key))
        except ds.InstanceNotFound:
            assert self.held(key) is None
            return
        assert key in self.known and status.name in ("collects", "asks", "sleeps")

    @rule()
    def settle(self) -> None:
        """With a worker, and nothing suspended, all comes to where the model says."""
        if not self.at.workers:
            self.at.hire()
        for key in list(self.known):
            self._tell(key, lambda key=key: self.at.client.resume(key))
        self.at.advance(30)
        for key, known in self.known.items():
            self._check_output(key, known)
        self._check_residue()

    # -- what must hold

    def _check_output(self, key: str, known: Known) -> None:
        status = self.at.call(self.at.client.status(key))
        assert not status.problem, f"S23 {key}: {status.problem}"
        if known.kind == "sleeps" and known.sure:
            assert status.runtime_status == "Completed" and status.output >= json.loads(str(status.input)), (
                f"S16 {status}"
            )
        if known.kind != "collects":
            return
        if status.runtime_status == "Completed":
            places = [known.tokens.index(one) for one in status.output if one in known.tokens]
            assert places == sorted(set(places)), f"S11 {key}: {status.output} of {known.tokens}"
        if known.sure and known.stopped:
            first = 0 if not known.every else len(known.tokens) - len(known.tokens) % known.every
            assert status.runtime_status == "Completed" and status.output == known.tokens[first:], (
                f"S7 {key}: {status.runtime_status} {status.output}, not {known.tokens[first:]}"
            )

    def _check_residue(self) -> None:
        """S19: nothing names what was purged."""
        for name, value in self.at.image().items():
            for key in self.purged:
                assert key.encode() not in name + repr(value).encode(), f"S19 {key} is still named by {name!a}"

    @invariant()
    def fsck_finds_nothing(self) -> None:
        if hasattr(self, "at"):
            found = self.at.violations()
            assert not found, "\n".join(found)

    @invariant()
    def histories_only_grow(self) -> None:
        """S1 and S8, by execution."""
        for key in KEYS if hasattr(self, "at") else ():
            held = self.held(key)
            if held is None:
                self._forget(key)
                continue
            one = (key, str(held.fields["execution_id"]))
            blobs = [held.history[number] for number in sorted(held.history)]
            before = self._histories.get(one, [])
            assert blobs[: len(before)] == before, f"S1 the history of {key} was changed"
            self._histories[one] = blobs
            end = tuple(held.fields.get(name) for name in ("status", "output", "failure", "completed_at"))
            if end[0] in TERMINAL:
                assert self._ends.setdefault(one, end) == end, f"S8 the end of {key} changed to {end}"

    @invariant()
    def events_are_kept(self) -> None:
        """S11: an acknowledged token stands exactly once in history or inbox, while the execution that it was for lives."""
        for key, known in self.known.items() if hasattr(self, "at") else ():
            held = self.held(key)
            if held is None or not known.sure or known.every or held.fields["status"] in TERMINAL:
                continue
            found = [
                event.data for event in map(wire.unpack_event, held.history.values()) if isinstance(event, EventRaised)
            ]
            inbox = self._inbox(key)
            found += [one.data for one in inbox if isinstance(one, RaiseEvent) and one.instance_id == key]
            tokens = [json.loads(data) for data in found if data]
            for token in known.tokens:
                assert tokens.count(token) == 1, f"S11 {token} stands {tokens.count(token)} times in {tokens}"

    def _inbox(self, address: str) -> list[Any]:
        return [wire.unpack_message(blob) for blob, _ in self.at.hub.home(address).inbox.entries.values() if blob]

    @invariant()
    def signals_are_kept(self) -> None:
        """S13: each acknowledged signal stands once in state, inbox or queue; those without a time in the order sent."""
        for key, tokens in self.signals.items() if hasattr(self, "at") else ():
            text = f"@Log@{key}"
            held = self.at.hub.home(text).entities.get(text)
            state = None if held is None else held.fields.get("state")
            applied: list[str] = json.loads(state)["tokens"] if isinstance(state, bytes | str) else []
            assert not self.spoilt & set(applied), "S13 a failed operation left its mark"
            queued = [] if held is None else [wire.unpack_message(blob) for blob in held.queue.values()]
            waiting = [
                one for one in (*queued, *self._inbox(text)) if isinstance(one, EntityOperation) and one.entity == text
            ]
            waits = [json.loads(one.input) for one in waiting if one.input]
            for token in tokens:
                count = applied.count(token.removesuffix("late")) + waits.count(token.removesuffix("late"))
                assert count == 1, f"S13 {token} stands {count} times in {applied} and {waits}"
            prompt = [token for token in tokens if not token.endswith("late")]
            assert [one for one in applied if one in prompt] == [one for one in prompt if one in applied], (
                f"S13 order of {applied}"
            )
