"""Deadlines against the plain model: a dict that is searched."""

from hypothesis import given
from hypothesis import strategies as st

from sottovoce.deadlines import Deadlines

due_times = st.one_of(st.none(), st.integers(0, 50).map(float))


def test_a_moved_deadline_fires_once_at_its_new_time() -> None:
    deadlines = Deadlines[str]()
    deadlines.set("call", 1.0)
    deadlines.set("call", 5.0)

    assert list(deadlines.take_due(4.0)) == []
    assert list(deadlines.take_due(5.0)) == ["call"]
    assert deadlines.next_deadline() is None


def test_a_dropped_deadline_never_fires() -> None:
    deadlines = Deadlines[str]()
    deadlines.set("call", 1.0)
    deadlines.set("call", None)

    assert deadlines.next_deadline() is None
    assert list(deadlines.take_due(9.0)) == []


def test_memory_stays_bounded_when_one_key_moves_for_ever() -> None:
    deadlines = Deadlines[str]()
    for due_at in range(10_000):
        deadlines.set("call", float(due_at))

    assert len(deadlines._heap) < 100


@given(st.lists(st.tuples(st.integers(0, 5), due_times), max_size=300))
def test_agrees_with_a_plain_dict(steps: list[tuple[int, float | None]]) -> None:
    deadlines, model = Deadlines[int](), dict[int, float]()
    for key, due_at in steps:
        deadlines.set(key, due_at)
        if due_at is None:
            model.pop(key, None)
        else:
            model[key] = due_at
        assert deadlines.next_deadline() == min(model.values(), default=None)

    fired = [model[key] for key in deadlines.take_due(99.0)]
    assert fired == sorted(model.values())
