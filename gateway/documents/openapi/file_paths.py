"""Files in the API's description: those that jobs have made, and those that pushes are to have."""

from __future__ import annotations

from gateway.documents.openapi.parts import (
    RETRY_AFTER,
    TEXT_HEADER,
    UNAVAILABLE,
    Document,
    answer,
    object_of,
    problem,
    query,
    ref,
)
from workers.objects.names import NAME, UPLOAD_ID

_UPLOADED = object_of({"url": {"type": "string"}}, description="what stands for the file in an input")
FILE_SCHEMAS: Document = {
    "Upload": object_of(
        {
            "file": _UPLOADED,
            "put": {"type": "string", "description": "where to PUT the bytes: a path of this API, or a URL"},
            "expires_s": {"type": "integer", "minimum": 0, "description": "how long that will do"},
        },
        additionalProperties=False,
    ),
}
_BYTES: Document = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_TOO_MANY_UPLOADS = problem("the key has uploaded as much as it may in an hour", RETRY_AFTER)


def file_paths() -> Document:
    """The paths."""
    return {
        "/files/{id}/{name}": {
            "get": {
                "operationId": "file",
                "summary": "A file of a job",
                "parameters": [
                    {
                        "name": "name",
                        "in": "path",
                        "required": True,
                        "description": "the end of a `url` in the job's result",
                        "schema": {"type": "string", "pattern": f"^{NAME.pattern}$"},
                    },
                    {
                        "name": "Range",
                        "in": "header",
                        "description": "the part that is wanted, such as `bytes=0-99`",
                        "schema": {"type": "string", "pattern": "^bytes=[0-9]{1,9}-$"},
                    },
                ],
                "responses": {
                    "200": _file("the file", {}),
                    "206": _file("the part that was asked for", {"Content-Range": TEXT_HEADER}),
                    "304": {"description": "the client has it (If-None-Match)", "headers": {"ETag": TEXT_HEADER}},
                    "307": {
                        "description": "the file is at this URL, which needs no API key and is valid for a while",
                        "headers": {"Location": TEXT_HEADER},
                    },
                    "404": problem("there is no such file, or it is of another key's job"),
                    "416": problem("the range begins behind the file's end", {"Content-Range": TEXT_HEADER}),
                    **UNAVAILABLE,
                },
            }
        },
        "/uploads": {
            "post": {
                "operationId": "uploads",
                "summary": "Ask where to put a file that a push is to have",
                "parameters": [query("name", {"type": "string"}, "the file's name, whose ending says its type")],
                "responses": {
                    "201": answer("where to put it", ref("Upload"), {"Location": TEXT_HEADER}),
                    "404": problem("there is no object store"),
                    "429": _TOO_MANY_UPLOADS,
                    **UNAVAILABLE,
                },
            }
        },
        "/uploads/{id}": {
            "put": {
                "operationId": "upload",
                "summary": "Put a file that a push is to have",
                "parameters": [
                    {
                        "name": "id",
                        "in": "path",
                        "required": True,
                        "description": "the end of `put`, unless that is a URL of the object store",
                        "schema": {"type": "string", "pattern": f"^{UPLOAD_ID.pattern}$"},
                    }
                ],
                "requestBody": {"content": _BYTES},
                "responses": {
                    "200": answer("stored", object_of({"file": _UPLOADED, "size_bytes": {"type": "integer"}})),
                    "404": problem("there is no such upload, or no object store"),
                    "408": problem("the body took too long"),
                    "413": problem("the file is too large"),
                    "415": problem("the body is compressed (Content-Encoding)"),
                    "429": _TOO_MANY_UPLOADS,
                    **UNAVAILABLE,
                },
            }
        },
    }


def _file(description: str, headers: Document) -> Document:
    return {
        "description": description,
        "headers": {"ETag": TEXT_HEADER, "Content-Disposition": TEXT_HEADER, **headers},
        "content": _BYTES,
    }
