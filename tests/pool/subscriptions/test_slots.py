from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pool.subscriptions.slots import Hold, Slots


def slots(*waiting: tuple[str, str], running: tuple[tuple[str, str], ...] = ()) -> Slots:
    made = Slots()
    for id_, session in running:
        made.take(id_, Hold(session, 1))
    for id_, session in waiting:
        made.enqueue(id_, Hold(session, 2))
    return made


def test_who_waited_longest_starts_first() -> None:
    assert slots(("a", "s1"), ("b", "s2")).next(1) == "a"


def test_nobody_starts_while_every_slot_is_taken() -> None:
    assert slots(("b", "s2"), running=(("a", "s1"),)).next(1) is None


def test_a_turn_whose_session_is_running_lets_others_pass() -> None:
    assert slots(("b", "s1"), ("c", "s3"), running=(("a", "s1"),)).next(2) == "c"


def test_a_turn_starts_once_its_session_is_free() -> None:
    made = slots(("b", "s1"), running=(("a", "s1"),))

    made.release("a")

    assert made.next(2) == "b"


def test_running_and_waiting_hold_their_reservations_until_released() -> None:
    made = slots(("b", "s2"), ("c", "s3"), running=(("a", "s1"),))
    before = made.reserved_nano_usd

    made.promote("b")
    made.release("a")
    made.release("c")
    made.release("never seen")

    assert (before, made.reserved_nano_usd) == (5, 2)
    assert list(made.running) == ["b"]


def test_who_is_put_back_waits_before_all_others() -> None:
    made = slots(("b", "s2"), running=(("a", "s1"),))

    made.demote("a")

    assert (list(made.waiting), list(made.running)) == (["a", "b"], [])


def test_of_those_who_wait_the_caller_with_the_fewest_runs_goes_first() -> None:
    made = Slots()
    for id_ in ("a1", "a2"):
        made.take(id_, Hold(id_, 0, "a"))
    made.take("b1", Hold("b1", 0, "b"))
    for id_ in ("a3", "b2", "c1"):
        made.enqueue(id_, Hold(id_, 0, id_[0]))

    started = []
    for _ in range(3):
        id_ = made.next(9)
        assert id_ is not None
        made.promote(id_)
        started.append(id_)

    assert started == ["c1", "b2", "a3"]


def test_turns_of_one_session_run_in_the_order_they_came_whoever_asks() -> None:
    made = Slots()
    made.enqueue("a", Hold("s", 0, "greedy"))
    made.enqueue("b", Hold("s", 0, "modest"))
    made.take("c", Hold("other", 0, "greedy"))

    assert made.next(9) == "a"
    assert made.next(9, unready={"a"}) is None


def test_a_fork_waits_for_the_session_that_it_reads_and_that_waits_for_the_fork() -> None:
    made = slots(running=(("turn", "parent"),))
    made.enqueue("fork", Hold("child", 0, reads="parent"))
    made.enqueue("later", Hold("parent", 0))

    while_running = made.next(9)
    made.release("turn")
    first = made.next(9)
    made.promote("fork")

    assert (while_running, first, made.next(9)) == (None, "fork", None)


def test_who_leaves_holds_nothing_but_its_session() -> None:
    made = slots(("b", "s1"), ("c", "s2"), running=(("a", "s1"),))

    made.leave("a")
    made.leave("never seen")
    while_leaving = (made.reserved_nano_usd, made.is_busy("s1"), made.is_running("s1"))
    first = made.next(1)
    made.promote("c")
    held = made.next(9)
    made.release("a")

    assert while_leaving == (4, True, False)
    assert (first, held, made.next(9)) == ("c", None, "b")


def test_a_session_is_busy_while_a_turn_runs_waits_or_reads_it() -> None:
    made = slots(("w", "waits"), running=(("r", "runs"),))
    made.enqueue("fork", Hold("child", 0, reads="parent"))

    names = ("runs", "waits", "child", "parent", "free")
    assert [made.is_busy(each) for each in names] == [True, True, True, True, False]
    assert [made.is_running(each) for each in names] == [True, False, False, False, False]


CALLERS = st.lists(st.sampled_from("aaaaaaaabc"), min_size=1, max_size=40)


@given(CALLERS, st.integers(1, 6))
def test_a_caller_with_many_requests_starves_nobody(callers: str, capacity: int) -> None:
    """Whoever starts belongs to the caller with the fewest runs, and is its first."""
    made = Slots()
    for n, caller in enumerate(callers):
        made.enqueue(f"{n:02}{caller}", Hold(f"s{n}", 0, caller))
    runs: Counter[str] = Counter()

    while made.waiting:
        id_ = made.next(capacity)
        if id_ is None:  # the run that started first ends
            made.release(next(iter(made.running)))
            continue
        waiting = {hold.caller for hold in made.waiting.values()}
        runs = Counter(hold.caller for hold in made.running.values())
        assert runs[made.waiting[id_].caller] == min(runs[caller] for caller in waiting)
        mine = [each for each in made.waiting if made.waiting[each].caller == id_[-1]]
        assert id_ == mine[0]
        made.promote(id_)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("stu"), st.sampled_from([None, "s"])),
        max_size=25,
    ),
    st.integers(1, 5),
)
def test_no_two_turns_that_touch_a_session_ever_run_at_once_and_all_of_them_run(
    asked: list[tuple[str, str, str | None]], capacity: int
) -> None:
    made, order = Slots(), []
    for n, (caller, session, reads) in enumerate(asked):
        made.enqueue(f"{n:02}", Hold(session, 0, caller, reads))

    while made.waiting or made.running:
        id_ = made.next(capacity)
        if id_ is None:
            made.release(next(iter(made.running)))
            continue
        made.promote(id_)
        order.append(id_)
        touched = [t for hold in made.running.values() for t in {hold.session_id, hold.reads}]
        assert len(set(touched) - {None}) == len([t for t in touched if t is not None])
        assert len(made.running) <= capacity

    assert sorted(order) == [f"{n:02}" for n in range(len(asked))]
    for session in "stu":
        turns = [id_ for id_ in order if asked[int(id_)][1] == session]
        assert turns == sorted(turns)


def test_who_waits_for_its_caller_holds_its_session_and_its_budget_but_no_slot() -> None:
    made = slots(("b", "s1"), ("c", "s3"), running=(("a", "s1"),))
    reserved = made.reserved_nano_usd

    made.park("a")

    assert made.next(1) == "c"
    assert made.is_running("s1")
    assert made.reserved_nano_usd == reserved
    made.unpark("a")
    assert made.next(1) is None
    made.park("a")
    made.release("a")
    assert made.next(1) == "b"
