"""Requests from this machine count as TLS, so that TLS-only policies and redirects work without a certificate."""

from typing import Any

from ministack import app
from ministack.core.iam_evaluator import pin_request_origin
from ministack.services import cloudfront


def install() -> None:
    serve_viewer = cloudfront.handle_viewer_request

    def pin_loopback(source_ip: str, secure_transport: bool) -> None:
        pin_request_origin(source_ip, secure_transport or source_ip == "127.0.0.1")

    async def serve_loopback(
        distribution: Any,
        method: str,
        path: str,
        uri: str,
        query: str,
        headers: dict[str, str],
        *more: Any,
        **named: Any,
    ) -> Any:
        headers = headers | {"x-forwarded-proto": "https"}
        return await serve_viewer(distribution, method, path, uri, query, headers, *more, **named)

    app.pin_request_origin = pin_loopback
    cloudfront.handle_viewer_request = serve_loopback
