"""What is published of a queue, to gateways, workers and scalers: subscriptions, each over a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from workers.stream.link.subscription import Subscription
from workers.stream.records.held_job import Claimed
from workers.stream.records.job_view import JobView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Channels:
    """The channels of one queue, whose keys begin with `prefix`."""

    def __init__(self, redis_url: str, prefix: str) -> None:
        self.prefix = prefix
        self._redis_url = redis_url
        self._subscriptions: WeakSet[Subscription] = WeakSet()

    def ended(
        self,
        on_ended: Callable[[str], None],
        on_subscribed: Callable[[], None],
        gateway: str = "",
        on_answer: Callable[[JobView], None] | None = None,
    ) -> Subscription:
        """A subscription to the ids of jobs that end. Ends may have been missed before each `on_subscribed`.

        `on_answer` gets the job itself before its id comes, if its push waits at this gateway (`NewJob.waits_at`) and
        it is small: what `view_small` would return. An id comes whether or not there was such an answer.
        """
        on_message = {f"{self.prefix}:ended": _each_id(on_ended)}
        if on_answer:
            on_message[f"{self.prefix}:answer:{gateway}"] = lambda message: on_answer(JobView.from_answer(message))
        return self._subscription(on_message, on_subscribed)

    def told(self, on_told: Callable[[str], None], on_subscribed: Callable[[], None]) -> Subscription:
        """A subscription to the ids of jobs that have told something (`events`). Some may have been missed as well."""
        return self._subscription({f"{self.prefix}:told": _each_id(on_told)}, on_subscribed)

    def unserved(self, on_jobs: Callable[[], None]) -> Subscription:
        """A scaler's subscription: a job waits, and no worker was free to be woken for it."""
        return self._subscription({f"{self.prefix}:wake:": lambda _: on_jobs()}, on_jobs)

    def wakeups(
        self,
        worker: str,
        on_work: Callable[[], None],
        on_cancel: Callable[[str], None],
        on_job: Callable[[Claimed], None] | None = None,
        on_subscribed: Callable[[], None] | None = None,
        on_call_back: Callable[[], None] | None = None,
        on_held: Callable[[list[Claimed]], None] | None = None,
    ) -> Subscription:
        """A worker's subscription to its own channel: there is work, or a job is to be stopped.

        `on_job` gets jobs that a push has claimed for the worker, which happens only while the worker is idle and its
        registration's field `takes` is `LIBRARY`. The worker holds such a job even if it missed the message, so it has
        to call `release_unknown` after each `on_subscribed` (by default `on_work`). At `on_call_back` it is to call
        `release_ahead`, as another worker is idle. `on_held` gets jobs that the same push has it hold ahead, as far as
        its last `finish_and_claim` with one slot asked for some.
        """

        def on_message(payload: bytes) -> None:
            command, _, rest = payload.partition(b" ")
            if command == b"run" and on_job:
                on_job(Claimed.from_message(rest))
            elif command == b"hold" and on_held:
                on_held(Claimed.from_messages(rest))
            elif command == b"cancel":
                on_cancel(rest.decode())
            elif command == b"back" and on_call_back:
                on_call_back()
            else:
                on_work()

        return self._subscription({f"{self.prefix}:wake:{worker}": on_message}, on_subscribed or on_work)

    def renew_subscriptions(self) -> None:
        """Has all of them connect again. It is called when calls may go to another server (a failover).

        What is published there does not come to a subscription at the old one.
        """
        for subscription in list(self._subscriptions):
            subscription.renew()

    def _subscription(
        self, on_message: Mapping[str, Callable[[bytes], None]], on_subscribed: Callable[[], None]
    ) -> Subscription:
        subscription = Subscription(self._redis_url, on_message, on_subscribed)
        self._subscriptions.add(subscription)
        return subscription


def _each_id(on_id: Callable[[str], None]) -> Callable[[bytes], None]:
    def on_message(payload: bytes) -> None:
        for job_id in payload.decode().split(" "):
            on_id(job_id)

    return on_message
