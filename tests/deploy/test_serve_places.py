"""srnn serve: who goes when places run out, what happens without file descriptors, and how many streams they allow."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import sys
import time
from itertools import pairwise
from typing import Any

import pytest

from srnn.deploy.serve import accepting
from srnn.deploy.serve.accepting import Acceptor, bind, fit_descriptors, listen
from srnn.deploy.serve.limits import Limits
from srnn.deploy.serve.places import BUSY, GUEST, STREAM, Places
from srnn.errors import SrnnError


class Transport:
    """Stands for a connection."""

    def __init__(self, address: str | None = "192.0.2.1") -> None:
        self.peer = None if address is None else (address, 1)
        self.aborted = False

    def get_extra_info(self, _: str) -> Any:
        return self.peer

    def abort(self) -> None:
        self.aborted = True


def entered(places: Places, count: int, rank: int = 0, address: str | None = "127.0.0.1") -> list[Transport]:
    found = [Transport(address) for _ in range(count)]
    for one in found:
        places.enter(one)
        places.set_rank(one, rank)
    return found


def aborted(transports: list[Transport]) -> list[int]:
    return [number for number, one in enumerate(transports) if one.aborted]


def test_who_has_waited_longest_goes_first_and_strangers_before_guests() -> None:
    places = Places(8)
    guests, busy, streams, strangers = (entered(places, 2, rank) for rank in (GUEST, BUSY, STREAM, 0))
    assert not any(map(aborted, (guests, busy, streams, strangers))) and len(places) == 8
    places.set_rank(strangers[0], 0)  # its second request: it waits anew
    everyone = [*strangers, *guests, *busy]
    for number, one in enumerate((strangers[1], strangers[0], *guests, *busy), 1):
        newcomer = entered(places, 1, STREAM)  # so that it is not the next to go
        assert one.aborted and len(aborted(everyone)) == number
        assert not newcomer[0].aborted and not aborted(streams) and len(places) == 8
    assert len(entered(places, 1)) == 1 and len(places) == 9  # nothing but streams, which is more than there can be


def test_a_flood_of_silent_connections_keeps_nobody_out() -> None:
    places = Places(100)
    streams = entered(places, 40, STREAM)
    for _ in range(50):
        entered(places, 50)
        one = entered(places, 1)[0]
        places.set_rank(one, BUSY)  # its request is there
        entered(places, 50)
        assert not one.aborted
        places.leave(one)
    assert not aborted(streams) and len(places) <= 100


def test_an_address_has_its_own_bound() -> None:
    places = Places(100, of_address=3)
    others, own = entered(places, 3, address="192.0.2.2"), entered(places, 3, address="192.0.2.1")
    places.set_rank(own[0], BUSY)
    fourth = entered(places, 1, address="192.0.2.1")
    assert aborted(own) == [1] and not fourth[0].aborted and not aborted(others)
    streams = entered(places, 3, STREAM, "::ffff:192.0.2.3")  # IPv4 in IPv6
    assert entered(places, 1, STREAM, "192.0.2.3")[0].aborted and not aborted(streams)
    networks = [entered(places, 3, address=f"2001:db8:0:{n}::{n}") for n in (1, 2)]
    entered(places, 1, address="2001:db8:0:1::ffff%eth0")
    assert aborted(networks[0]) == [0] and not aborted(networks[1])
    assert not entered(places, 1, address=None)[0].aborted  # gone before it could be asked
    assert aborted(entered(places, 4, address="127.0.0.1")) == [0]  # as this one's, where one was named


def test_half_of_all_places_are_an_addresses_and_loopback_is_not_bounded() -> None:
    for address, bound in (("192.0.2.1", 10), ("127.0.0.1", 20), ("::1", 20), ("127.9.9.9", 20)):
        places = Places(20)
        many = entered(places, 25, address=address)
        assert len(aborted(many)) == 25 - bound == 25 - len(places)


def test_leaving_frees_everything() -> None:
    places = Places(10, 5)
    for one in entered(places, 5, STREAM):
        places.leave(one)
        places.leave(one)
        places.set_rank(one, BUSY)
    assert len(places) == 0 and not places._addresses and not any(places._ranks)
    places.evict(3)
    many = entered(places, 5, STREAM)
    places.clear()
    assert len(aborted(many)) == 5


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM])
def test_without_descriptors_some_go_new_ones_wait_and_one_line_is_logged(
    error: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio's own server tried 2,048 times at once, and logged each time."""
    monkeypatch.setattr("srnn.deploy.serve.accepting.BACK_OFF", 0.01)
    tries = list[float]()

    class Failing(socket.socket):
        def accept(self) -> Any:
            tries.append(time.monotonic())
            if len(tries) <= 3:
                raise OSError(error, "no more")
            return super().accept()

    async def walk() -> int:
        places, served = Places(100), asyncio.Event()
        waiting = entered(places, 10)

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                transport.abort()
                served.set()

        plain = listen(bind("127.0.0.1", 0))
        listening = Failing(fileno=plain.detach())
        acceptor = Acceptor(listening, Protocol, places)
        with socket.create_connection(listening.getsockname(), 10):
            await asyncio.wait_for(served.wait(), 10)
        acceptor.close()
        acceptor.close()
        return len(aborted(waiting))

    gone = asyncio.run(walk())
    assert len(tries) >= 4 and gone == (0 if error == errno.EPERM else 10)
    assert min(later - before for before, later in pairwise(tries[:4])) > 0.009
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1 and "logged once" in lines[0].getMessage()


@pytest.mark.parametrize(
    ("soft", "hard", "streams", "raised"),
    [
        (20000, 20000, 2000, None),
        (1024, 4096, 2000, True),
        (1024, 1024, None, False),
        (1024, -1, 2000, True),
        (-1, -1, 2000, None),
    ],
)
def test_descriptors_are_raised_or_streams_are_fewer(
    soft: int, hard: int, streams: int | None, raised: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: sets.append(both))
    limits, line = fit_descriptors(Limits())
    if streams is not None:
        assert limits == Limits() and not line
        assert all(2000 < new <= 4096 and same == hard for new, same in sets) and len(sets) == bool(raised)
    else:
        assert 700 < limits.streams < 900 and line.count("\n") == 0
        assert f"at most {limits.streams} streams instead of 2000: 'ulimit -n' allows 1024" in line


def test_too_few_descriptors_for_a_server_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: pytest.fail("there is nothing to be raised"))
    with pytest.raises(SrnnError, match="'ulimit -n' allows 100 open files"):
        fit_descriptors(Limits())
    monkeypatch.setattr(resource, "setrlimit", lambda *_: (_ for _ in ()).throw(ValueError("not allowed")))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (512, 4096))
    assert 1 <= fit_descriptors(Limits())[0].streams < 512


@pytest.mark.parametrize("streams", [0, 1])
def test_one_stream_is_enough_for_a_server(streams: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "_open_descriptors", lambda: 10)
    most = accepting.SPARE_CONNECTIONS + accepting.OWN_DESCRIPTORS + 10 + streams
    monkeypatch.setattr(resource, "getrlimit", lambda _: (most, most))
    if streams:
        assert fit_descriptors(Limits())[0].streams == streams
    else:
        with pytest.raises(SrnnError, match=f"'ulimit -n' allows {most} open files"):
            fit_descriptors(Limits())


def test_as_many_streams_on_windows_as_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    limits, said = fit_descriptors(Limits())
    assert 100 < limits.streams < 512 and "Windows waits for 512" in said
    assert fit_descriptors(limits) == (limits, "")


def test_more_streams_than_a_system_can_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit itself was a traceback where nothing bounds it."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    assert fit_descriptors(Limits(streams=10**30))[0].streams < 1024
