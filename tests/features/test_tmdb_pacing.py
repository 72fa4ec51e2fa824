"""The token bucket with a clock of its own, back-off, and what Retry-After means."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.features.tmdb.pacing import TokenBucket, backoff, retry_after


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds + 1e-9


def asked(bucket: TokenBucket, clock: Clock, requests: int, latency: float = 0.0) -> list[float]:
    """When each of some requests, one after the other, was let through."""
    moments = []
    for _ in range(requests):
        with bucket.request():
            moments.append(clock.now)
            clock.now += latency
    return moments


def busiest(moments: list[float]) -> int:
    return max(sum(start <= moment < start + 1.0 for moment in moments) for start in moments)


@pytest.mark.parametrize("rate", [1, 3, 35, 400])
def test_no_second_has_more_than_the_rate_and_few_have_less(rate: int) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, clock, clock.sleep)
    moments = asked(bucket, clock, 5 * rate)
    assert busiest(moments) <= rate
    assert moments[-1] - moments[0] < 5.1


def test_the_first_token_waits_for_what_a_killed_process_may_have_asked() -> None:
    clock = Clock()
    assert asked(TokenBucket(35, clock, clock.sleep), clock, 1)[0] >= 101.0


def test_requests_leave_evenly() -> None:
    clock = Clock()
    moments = asked(TokenBucket(10, clock, clock.sleep), clock, 30)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert max(gaps) < 0.15


def test_after_a_rest_no_more_than_a_tenth_of_a_second_is_made_up_for() -> None:
    clock = Clock()
    bucket = TokenBucket(20, clock, clock.sleep)
    asked(bucket, clock, 1)
    clock.now += 60
    moments = asked(bucket, clock, 10)
    assert sum(moment == moments[0] for moment in moments) == 2


@given(
    rate=st.integers(1, 8),
    trips=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1)), min_size=1, max_size=60),
)
def test_the_server_sees_no_more_than_the_rate_however_long_answers_take(
    rate: int, trips: list[tuple[float, float]]
) -> None:
    """Each request takes a time of its own, and arrives at any moment within it; many are open at once."""
    clock = Clock()
    arrivals: list[float] = []
    open_until: list[tuple[float, AbstractContextManager[None]]] = []

    def close_until(moment: float) -> None:
        for end, request in sorted(open_until, key=lambda one: one[0]):
            if end <= moment:
                now, clock.now = clock.now, end
                request.__exit__(None, None, None)
                clock.now = now
                open_until.remove((end, request))

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        close_until(clock.now)

    bucket = TokenBucket(rate, clock, sleep)
    for duration, share in trips:
        request = bucket.request()
        request.__enter__()
        arrivals.append(clock.now + duration * share)
        open_until.append((clock.now + duration, request))
        close_until(clock.now)
    assert busiest(arrivals) <= rate


def test_a_pause_holds_for_everybody() -> None:
    clock = Clock()
    bucket = TokenBucket(10, clock, clock.sleep)
    asked(bucket, clock, 3)
    bucket.pause(7.0)
    bucket.pause(2.0)
    until = clock.now + 7.0
    moments: list[float] = []
    threads = [threading.Thread(target=lambda: moments.extend(asked(bucket, clock, 1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(moments) == 4
    assert min(moments) >= until


def test_what_the_sleep_raises_ends_the_waiting_and_the_next_one_is_served() -> None:
    clock = Clock()

    def interrupted(seconds: float) -> None:
        raise InterruptedError

    bucket = TokenBucket(10, clock, interrupted)
    with pytest.raises(InterruptedError), bucket.request():
        pass
    clock.now += 2
    assert len(asked(bucket, clock, 1)) == 1


def test_backoff_doubles_up_to_a_limit_and_is_half_random() -> None:
    for failures, whole in ((1, 0.5), (2, 1.0), (3, 2.0), (9, 30.0)):
        waits = [backoff(failures, 0.5, 30.0) for _ in range(200)]
        assert whole / 2 <= min(waits) < max(waits) <= whole
        assert max(waits) - min(waits) > whole / 4


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        (format_datetime(NOW + timedelta(seconds=42), usegmt=True), 42.0),
        (format_datetime(NOW - timedelta(seconds=42), usegmt=True), 0.0),
        ("Sunday, 01-Mar-26 12:00:05 GMT", 5.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("²", None),
        ("Sun, 99 Mar 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, format_datetime(NOW, usegmt=True)) == seconds


def test_a_date_is_taken_by_this_clock_where_the_server_names_none() -> None:
    found = retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert found is not None
    assert 3500 < found <= 3600
