"""Scripts of faults: who meets which, and when."""

from __future__ import annotations

import random
import statistics

from hub.testing.simulators import ANYBODY, Fault, lognormal
from hub.testing.simulators.faults import FaultScripts

BAD, WORSE = Fault.answer(500), Fault.answer(503)


def met(scripts: FaultScripts, count: int, recipient: str = "a") -> list[int]:
    """Statuses of the next faults, 0 for none."""
    faults = [scripts.fault_for(recipient, number + 1) for number in range(count)]
    return [fault.status if fault is not None else 0 for fault in faults]


def test_without_a_script_nothing_is_looked_up() -> None:
    """Quiet, before and after."""
    scripts = FaultScripts()
    assert scripts.quiet
    scripts.script("a", [BAD])
    assert not scripts.quiet
    scripts.clear()
    assert scripts.quiet


def test_steps_are_met_one_each_and_then_all_is_well() -> None:
    """In their order, by their own recipient only."""
    scripts = FaultScripts()
    scripts.script("a", [BAD, Fault.none(), WORSE])
    assert met(scripts, 1, "b") == [0]
    assert met(scripts, 5) == [500, 0, 503, 0, 0]


def test_the_last_step_can_go_on_forever() -> None:
    """Until another script takes its place."""
    scripts = FaultScripts()
    scripts.script("a", [BAD, WORSE], forever=True)
    assert met(scripts, 4) == [500, 503, 503, 503]
    scripts.script("a", [BAD])
    assert met(scripts, 2) == [500, 0]


def test_anybody_is_who_has_no_script_of_their_own() -> None:
    """One's own comes first."""
    scripts = FaultScripts()
    scripts.script(ANYBODY, [WORSE], forever=True)
    scripts.script("a", [BAD])
    assert met(scripts, 2) == [500, 503]
    assert met(scripts, 1, "b") == [503]


def test_every_nth_is_counted_by_connection_or_altogether() -> None:
    """The number within the connection is given by the caller."""
    scripts = FaultScripts()
    scripts.every(3, BAD)
    assert met(scripts, 6) == [0, 0, 500, 0, 0, 500]
    scripts = FaultScripts()
    scripts.every(2, BAD, per_connection=False)
    assert [met(scripts, 1)[0] for _ in range(4)] == [0, 500, 0, 500]


def test_chance_repeats_by_its_seed() -> None:
    """And has about the share that was asked for."""
    drawn = []
    for _ in range(2):
        scripts = FaultScripts(seed=7)
        scripts.rate(0.1, BAD)
        drawn.append(met(scripts, 2000))
    assert drawn[0] == drawn[1]
    assert 150 < drawn[0].count(500) < 250


def test_latency_delays_what_has_no_delay_of_its_own() -> None:
    """Faults are late too."""
    scripts = FaultScripts()
    scripts.latency(0.25)
    scripts.script("a", [BAD, Fault.slow(3)])
    faults = [scripts.fault_for("a", 1) for _ in range(3)]
    assert [(fault.status, fault.delay_s) for fault in faults if fault] == [(500, 0.25), (0, 3), (0, 0.25)]


def test_lognormal_latency_has_its_median_and_its_tail() -> None:
    """Half below the one, one in a hundred above the other."""
    draw, chance = lognormal(0.1, 1.0), random.Random(3)
    times = sorted(draw(chance) for _ in range(20_000))
    assert 0.095 < statistics.median(times) < 0.105
    assert 0.9 < times[19_800] < 1.1
