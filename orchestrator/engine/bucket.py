"""Files below a prefix of a bucket on S3: one request each, and a file is there whole or not at all."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from orchestrator.engine.disk import Irregular

Item = TypeVar("Item")
Found = TypeVar("Found")
AT_ONCE = 32
"""Requests side by side, where there are many."""
CHUNK_BYTES = 2**20
READ_ATTEMPTS = 3
LAST_SECONDS = 10
"""How long an interrupted process waits for a request that writes."""
MENDS = {
    "AccessDenied": "these keys, or this machine's role, may not use the bucket; docs/cluster.md has the policy",
    "403": "these keys, or this machine's role, may not use the bucket; docs/cluster.md has the policy",
    "InvalidAccessKeyId": "see that AWS_ACCESS_KEY_ID is right",
    "SignatureDoesNotMatch": "see that AWS_SECRET_ACCESS_KEY is right",
    "ExpiredToken": "temporary keys have expired; renew them (aws sso login, say)",
    "400": "temporary keys may have expired; renew them (aws sso login, say)",
}
"""By the store's word. A HEAD has no body, so that of its answer only the number is known."""


class Changed(Exception):
    """The object is no longer what the condition of a write says."""


@dataclass(frozen=True)
class Object:
    """An object as it was found."""

    content: bytes
    tag: str
    """Changes with the content."""
    age_seconds: float
    """Since it was written, by the store's clock."""


class Bucket:
    """A prefix's objects by their names relative to it, which must be sound; OSError where the store refuses."""

    def __init__(self, location: str) -> None:
        parts = urlsplit(location)
        if parts.scheme != "s3" or not parts.netloc:
            raise ValueError("neither a folder nor an address like s3://bucket/prefix")
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._client = _client(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}/{name}".lstrip("/")}

    def is_file(self, name: str) -> bool:
        """Whether there is an object of this name."""
        try:
            with _asking():
                self._client.head_object(**self._at(name))
            return True
        except FileNotFoundError:
            return False

    def read(self, name: str, most: int) -> bytes:
        """Content of an object; Irregular where it has more bytes than `most`."""
        return self.find(name, most).content

    def find(self, name: str, most: int) -> Object:
        """An object; Irregular where it has more bytes than `most`."""
        return self._taken(name, most, lambda body: bytes(body.read()))

    def digest(self, name: str, most: int) -> str:
        """SHA-256 of an object's content; Irregular where it has more bytes than `most`."""

        def hashed(body: Any) -> bytes:
            digest = hashlib.sha256()
            for chunk in body.iter_chunks(CHUNK_BYTES):
                digest.update(chunk)
            return digest.digest()

        return self._taken(name, most, hashed).content.hex()

    def _taken(self, name: str, most: int, take: Callable[[Any], bytes]) -> Object:
        for attempt in range(READ_ATTEMPTS):
            with _asking():
                got = self._client.get_object(**self._at(name))
            if got["ContentLength"] > most:
                got["Body"].close()
                raise Irregular(f"has {got['ContentLength'] / 1e9:.3g} GB, and such a file at most {most / 1e9:.2g}")
            headers = got["ResponseMetadata"]["HTTPHeaders"]
            now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
            try:
                with _asking():
                    return Object(take(got["Body"]), got["ETag"], (now - got["LastModified"]).total_seconds())
            except OSError:  # cut off on its way, which the client does not mend by itself
                if attempt == READ_ATTEMPTS - 1:
                    raise
        raise AssertionError

    def write(self, name: str, content: bytes, **condition: str) -> str:
        """Put an object in one request, which an interrupt does not cut short; its tag.

        `condition` is IfNoneMatch="*" (there must be none) or IfMatch=tag; Changed where it is not met.
        """
        with _asking():
            put = _pool("writing").submit(self._client.put_object, **self._at(name), Body=content, **condition)
            try:
                return str(put.result()["ETag"])
            finally:
                wait([put], LAST_SECONDS)

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        with _asking():
            self._client.delete_object(**self._at(name))

    def delete_folder(self, name: str) -> None:
        """Remove all objects below a name; nothing happens where there are none."""
        for page in self._pages(name):
            keys = [{"Key": found["Key"]} for found in page.get("Contents", ())]
            if keys:
                with _asking():
                    self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": keys, "Quiet": True})

    def move(self, name: str, to: str) -> None:
        """Give an object another name."""
        with _asking():
            self._client.copy_object(**self._at(to), CopySource=self._at(name))
        self.delete(name)

    def list(self, folder: str) -> list[str]:
        """Names right below a name; none where there are none."""
        start = len(self._at(f"{folder}/")["Key"])
        found = [it["Key"][start:] for page in self._pages(folder, Delimiter="/") for it in page.get("Contents", ())]
        return [name for name in found if name]

    def _pages(self, folder: str, **options: str) -> Iterator[Mapping[str, Any]]:
        prefix = self._at(f"{folder}/")["Key"]
        with _asking():
            yield from self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, **options
            )

    def each(self, look: Callable[[Item], Found], items: Iterable[Item]) -> Iterable[Found]:
        """What is found by looking at each, many at once; in order."""
        return _pool("looking").map(look, items)


@functools.cache
def _client(endpoint: str | None) -> Any:
    """The process's own for a store: making one takes a quarter of a second."""
    import boto3
    from botocore.config import Config

    own = {"addressing_style": "path"} if endpoint else {}  # a store of one's own has one name for all buckets
    checks: Any = "when_required" if endpoint else "when_supported"
    return boto3.session.Session().client(
        "s3",
        config=Config(
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=2 * AT_ONCE,
            request_checksum_calculation=checks,
            response_checksum_validation=checks,
            retries={"mode": "standard"},
            s3=own,
        ),
    )


@functools.cache
def _pool(kind: str) -> ThreadPoolExecutor:
    """Threads for one kind of requests, which do not wait behind those of another."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"s3 {kind}")


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """What the client raises, as Python's own file systems do, with the mend where there is a known one."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code, message = (str(error.response["Error"].get(what, "")) for what in ("Code", "Message"))
        if code in {"404", "NoSuchKey"}:
            raise FileNotFoundError(message) from None
        if code in {"PreconditionFailed", "ConditionalRequestConflict"}:
            raise Changed(message) from None
        mend = f": {MENDS[code]}" if code in MENDS else ""
        raise OSError(f"{code}: {message.rstrip('.')}{mend}") from None
    except BotoCoreError as error:
        raise OSError(str(error)) from None
