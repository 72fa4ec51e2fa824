"""How fast to ask, and how long to wait: a token bucket, back-off, and what `Retry-After` says."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

WINDOW = 1.0
"""Seconds over which a server counts requests."""


class TokenBucket:
    """Holds all threads to one rate, as the server sees it.

    Tokens drop in at `rate` per second and a tenth of a second's worth is saved, so requests leave evenly. What
    leaves evenly may still arrive in a bunch, so a token is also held back while `rate` requests are unanswered or
    were answered less than a second ago. A request reaches the server before its answer comes back: more
    than `rate` of them can thus not reach it within any second, whatever the way does to them. The price is a rate that
    is lower by the share of a second that an answer takes.

    The first token is given out after a second, in which a process that was killed just now may have asked.

    Args:
        rate: requests per second, at least 1.
        clock: seconds that only grow.
        sleep: waits; what it raises ends the waiting.
    """

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.rate = rate
        self._capacity = max(1.0, rate / 10)
        self._clock, self._sleep = clock, sleep
        self._turn = threading.Lock()  # held by the one thread that waits for the next token
        self._state = threading.Lock()
        self._tokens = self._capacity
        self._resume = self._filled = clock() + WINDOW
        self._unanswered = 0
        self._answered: deque[float] = deque()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Wait for a token; the block sends one request and ends when its answer begins or it failed."""
        with self._turn:
            while (delay := self._take()) > 0:
                self._sleep(delay)
        try:
            yield
        finally:
            with self._state:
                self._unanswered -= 1
                self._answered.append(self._clock())

    def pause(self, seconds: float) -> None:
        """Give out no token for so long, to anyone."""
        with self._state:
            self._resume = max(self._resume, self._clock() + seconds)

    def _take(self) -> float:
        """Take a token, which is 0, or the seconds after which to try again."""
        with self._state:
            now = self._clock()
            if now < self._resume:
                return self._resume - now
            while self._answered and self._answered[0] + WINDOW <= now:
                self._answered.popleft()
            if self._unanswered + len(self._answered) >= self.rate:
                return self._answered[0] + WINDOW - now if self._answered else WINDOW / self.rate
            self._tokens = min(self._capacity, self._tokens + (now - self._filled) * self.rate)
            self._filled = now
            if self._tokens < 1.0:
                return (1.0 - self._tokens) / self.rate
            self._tokens -= 1.0
            self._unanswered += 1
            return 0.0


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after so many failures in a row (from 1): doubling, the upper half of it at random.

    The jitter keeps clients that failed together from coming back together (Brooker, "Exponential Backoff and
    Jitter", AWS Architecture Blog, 2015).
    """
    whole = min(longest, first * 2.0 ** (failures - 1))
    return whole * random.uniform(0.5, 1.0)


def retry_after(value: str | None, date: str | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3); None if it asks for nothing readable.

    Args:
        value: whole seconds or an HTTP date.
        date: the answer's `Date` header: a date is taken relative to the server's clock where that is known.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    now = _http_date(date or "") or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
