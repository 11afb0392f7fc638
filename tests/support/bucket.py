"""A bucket that speaks enough of S3 to be written, read and signed for, and that checks each signature by itself."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote

ACCESS_KEY = "test-access"
SECRET_KEY = "test-secret"
REGION = "eu-test-1"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), hashlib.sha256)


class Bucket:
    """An ASGI application: objects by path, each request signed with SigV4 in its headers or its address."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.refused: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qsl(scope["query_string"].decode(), keep_blank_values=True)
        path = scope["raw_path"].decode()
        if not self._signed(scope["method"], path, query, headers):
            self.refused.append(path)
            await self._answer(send, 403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
            return
        await self._serve(send, scope["method"], path, headers, body)

    async def _serve(self, send: Any, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        if method == "PUT":
            kept = {name: headers[name] for name in ("content-type", "content-disposition") if name in headers}
            self.objects[path] = (body, kept)
            await self._answer(send, 200, b"", {"etag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'})
        elif method == "POST":  # ?delete: a list of keys
            keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for key in keys:
                self.objects.pop(f"{path}/{key}", None)
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            await self._answer(send, 200, f"<DeleteResult>{deleted}</DeleteResult>".encode())
        elif path not in self.objects:
            await self._answer(send, 404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            content, kept = self.objects[path]
            extra = {
                "etag": '"x"',
                "last-modified": "Wed, 25 Nov 2026 10:00:00 GMT",
                "content-length": str(len(content)),
            }
            await self._answer(send, 200, b"" if method == "HEAD" else content, kept | extra)

    async def _answer(self, send: Any, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": body})

    def _signed(self, method: str, path: str, query: list[tuple[str, str]], headers: dict[str, str]) -> bool:
        values = dict(query)
        if "X-Amz-Signature" in values:
            stamp, names, given = values["X-Amz-Date"], values["X-Amz-SignedHeaders"], values["X-Amz-Signature"]
            began = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            if datetime.now(UTC) > began + timedelta(seconds=int(values["X-Amz-Expires"])):
                return False
            payload = "UNSIGNED-PAYLOAD"
            query = [(name, value) for name, value in query if name != "X-Amz-Signature"]
        else:
            found = re.search(r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]+)", headers.get("authorization", ""))
            if found is None:
                return False
            names, given = found[1], found[2]
            stamp, payload = headers["x-amz-date"], headers["x-amz-content-sha256"]
        canonical = "\n".join(
            [
                method,
                path,
                "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)),
                *(f"{name}:{' '.join(headers[name].split())}" for name in names.split(";")),
                "",
                names,
                payload,
            ]
        )
        scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = _hmac(_hmac(_hmac(_hmac(f"AWS4{SECRET_KEY}".encode(), stamp[:8]), REGION), "s3"), "aws4_request")
        return hmac.compare_digest(_hmac(key, to_sign).hex(), given)
