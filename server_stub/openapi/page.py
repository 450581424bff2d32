"""The contract as one HTML page that loads nothing: no script, no font, no style from elsewhere. Pure."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server_stub.openapi.parts import Json

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; border-radius: 4px; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
summary { padding: .5rem .8rem; cursor: pointer; }
summary b { display: inline-block; min-width: 4rem; }
details > div { padding: 0 .8rem .8rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; border-top: 1px solid var(--line); padding: .3rem .6rem .3rem 0; }
nav a { margin-right: 1rem; }
"""


def page(document: Json) -> str:
    """The whole page."""
    info = document["info"]
    title = f"{escape(info['title'])}, version {escape(info['version'])}"
    names = [tag["name"] for tag in document["tags"]]
    links = "".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in [*names, "schemas"])
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
            f"<p>{escape(info['description'])}</p>",
            f'<nav>{links}<a href="/openapi.json">openapi.json</a></nav>',
            *(_section(document, tag) for tag in document["tags"]),
            _schemas(document["components"]["schemas"]),
            "</body></html>",
        ]
    )


def _section(document: Json, tag: Json) -> str:
    name = escape(tag["name"])
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    )
    return f'<h2 id="{name}">{name}</h2><p>{escape(tag["description"])}</p>{operations}'


def _operation(method: str, path: str, operation: Json) -> str:
    head = f"<summary><b>{method.upper()}</b> <code>{escape(path)}</code> · {escape(operation['summary'])}</summary>"
    parts = [
        f"<p>{escape(operation['description'])}</p>" if "description" in operation else "",
        "" if operation["security"] else "<p>Needs no token.</p>",
        _parameters(operation.get("parameters", [])),
        "".join(_content("Request body", operation.get("requestBody", {}))),
        _answers(operation["responses"]),
    ]
    return f'<details id="{escape(operation["operationId"])}">{head}<div>{"".join(parts)}</div></details>'


def _parameters(parameters: list[Json]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td>"
        f"<td>{each['in']}{', required' if each['required'] else ''}</td>"
        f"<td>{escape(each['description'])}</td></tr>"
        for each in parameters
    )
    return f"<h4>Parameters</h4><table>{rows}</table>"


def _answers(responses: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{status}</code></td><td>{escape(answer['description'])}</td><td>{_media(answer)}</td></tr>"
        for status, answer in responses.items()
    )
    return f"<h4>Answers</h4><table>{rows}</table>"


def _media(answer: Json) -> str:
    return "<br>".join(f"{escape(media)} {_named(told['schema'])}" for media, told in answer.get("content", {}).items())


def _content(title: str, holder: Json) -> Iterator[str]:
    for media, told in holder.get("content", {}).items():
        yield f"<h4>{title}</h4><p>{escape(media)} {_named(told['schema'])}</p>"


def _named(schema: Json) -> str:
    """A link to a named schema, wherever it stands in this one."""
    if "allOf" in schema:
        return _named(schema["allOf"][0])
    if "$ref" not in schema:
        return ""
    name = escape(schema["$ref"].rpartition("/")[2])
    return f'<a href="#schema-{name}">{name}</a>'


def _schemas(schemas: Json) -> str:
    shown = "".join(
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<div><pre>{escape(json.dumps(schema, indent=2, ensure_ascii=False))}</pre></div></details>"
        for name, schema in schemas.items()
    )
    return f'<h2 id="schemas">schemas</h2>{shown}'
