"""The site's page of routes, made from the OpenAPI document when the site is built."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docs.card_tables import table
from service.app import create_app
from service.settings import Settings

Json = Mapping[str, Any]

MODELS = Path(__file__).parents[1] / "models"
# The document does not depend on the models, so the smallest one suffices to start with.
SMALL_MODEL = "cf-estimator-paper"
PREFACE = """# Reference of the routes

Made from the OpenAPI document, which a running service answers at `/openapi.json`, and which is
[beside this page](openapi.json) for generators of clients. Examples with full answers:
[HTTP API](api.md).
"""


def document() -> Json:
    """The OpenAPI document of the service, as it answers it without API keys."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / SMALL_MODEL).symlink_to(MODELS / SMALL_MODEL)
        settings = Settings(
            models_dir=Path(folder),
            default_model=SMALL_MODEL,
            precision="float32",
            infer_threads=1,
        )
        return create_app(settings).openapi()


def page(api: Json) -> str:
    """The page: a section for each route, then one for each schema of an answer."""
    routes = [
        "\n".join(_route(method.upper(), path, operation))
        for path, operations in api["paths"].items()
        for method, operation in operations.items()
    ]
    schemas = api["components"]["schemas"]
    fields = ["\n".join(_schema(name, schemas[name])) for name in sorted(schemas)]
    return "\n".join([PREFACE, *routes, "## Schemas\n", *fields])


def _route(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"## {method} {path}\n"
    yield f"{_text(operation.get('description', operation.get('summary', '')))}\n"
    if parameters := operation.get("parameters"):
        rows = ([f"`{p['name']}`", p["in"], *_described(p["schema"], p)] for p in parameters)
        yield table("parameter | in | type | default | meaning", rows)
    if body := operation.get("requestBody"):
        yield f"Body: {', '.join(f'`{kind}`' for kind in body['content'])}.\n"
    answers = ([status, *_answer(said)] for status, said in operation["responses"].items())
    yield table("status | body | meaning | problem types", answers)


def _answer(response: Json) -> list[str]:
    content = response.get("content", {})
    bodies = [_body(kind, media.get("schema", {})) for kind, media in content.items()]
    problems = [
        f"`{kind.removeprefix('urn:tasteprint:')}`"
        for media in content.values()
        for kind in media.get("schema", {}).get("properties", {}).get("type", {}).get("enum", [])
        if kind.startswith("urn:tasteprint:")
    ]
    return [", ".join(bodies) or "–", _text(response["description"]), ", ".join(problems) or "–"]


def _body(kind: str, schema: Json) -> str:
    return _type(schema) if "$ref" in schema else f"`{kind}`"


def _schema(name: str, schema: Json) -> Iterator[str]:
    yield f"### {name}\n"
    # What docstrings say below their first paragraph is for readers of the code.
    summary = schema.get("description", "").partition("Attributes\n---")[0]
    yield f"{_text(summary)}\n"
    required = schema.get("required", [])
    if properties := schema.get("properties"):
        rows = (
            [f"`{field}`", *_described(said, said), "yes" if field in required else "no"]
            for field, said in properties.items()
        )
        yield table("field | type | default | meaning | always there", rows)


def _described(schema: Json, said: Json) -> list[str]:
    default = schema.get("default")
    shown = "–" if default is None else f"`{default}`".replace("True", "true")
    return [_type(schema), shown.replace("False", "false"), _text(said.get("description", "–"))]


def _type(schema: Json) -> str:
    """A type in a word or two; a schema of the document as a link to its section."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        kinds = [_type(kind) for kind in schema["anyOf"] if kind.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


def _text(text: str) -> str:
    """One paragraph that breaks neither a table nor a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
