"""Small images of each kind that the models read, in base64."""

from __future__ import annotations

from base64 import b64encode

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "YPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
GIF = "R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="
JPEG = b64encode(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00").decode()
WEBP = b64encode(b"RIFF\x24\x00\x00\x00WEBPVP8 ").decode()
