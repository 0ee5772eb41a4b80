"""Spot notices from a test metadata service."""

import http.client
from datetime import UTC, datetime

import pytest
from tests.support.imds import Spot, metadata
from tests.support.s3 import free_port

from spawn.store.aws.metadata import Metadata, Notice

TOKEN = ("PUT", "/latest/api/token")
ACTION = ("GET", "/latest/meta-data/spot/instance-action")


def test_a_notice_is_seen_once_published_with_a_single_token() -> None:
    spot = Spot()
    with metadata(b"{}", spot=spot) as server:
        service = Metadata(server.endpoint)
        assert service.notice() is None
        spot.notice = b'{"action": "stop", "time": "2026-01-27T22:02:00Z"}'
        assert service.notice() == Notice("stop", datetime(2026, 1, 27, 22, 2, tzinfo=UTC))
        asked = [(each.method, each.path) for each in server.asked]
        assert asked == [TOKEN, ACTION, ACTION]


def test_an_expired_token_is_renewed() -> None:
    with metadata(b"{}", spot=Spot()) as server:
        service = Metadata(server.endpoint)
        service._token, service._renew_at = "old", float("inf")
        assert service.read("/latest/dynamic/instance-identity/document") == b"{}"
        methods = [each.method for each in server.asked]
        assert methods == ["GET", "PUT", "GET"]


@pytest.mark.parametrize(
    "said",
    [b"", b"<html>", b"[]", b"{}", b'{"action": "stop"}', b'{"action": "stop", "time": "soon"}'],
)
def test_an_invalid_notice_is_ignored(said: bytes) -> None:
    spot = Spot()
    spot.notice = said or b" "
    with metadata(b"{}", spot=spot) as server:
        assert Metadata(server.endpoint).notice() is None


def test_an_absent_or_refusing_service_gives_no_notice() -> None:
    assert Metadata(f"http://127.0.0.1:{free_port()}").notice() is None
    with metadata(b"{}", token_status=403) as server:
        service = Metadata(server.endpoint)
        assert service.notice() is None
        with pytest.raises(http.client.HTTPException, match="403"):
            service.read("/latest/meta-data/")
