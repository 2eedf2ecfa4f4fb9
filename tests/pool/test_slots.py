from pool.slots import Hold, Slots


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
