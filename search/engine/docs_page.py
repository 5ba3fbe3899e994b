"""The API's description as one page without scripts, fonts or other external resources."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .75rem "
    ".25rem 0;border-bottom:1px solid #8886}code{font-family:ui-monospace,monospace}"
    "td:first-child{white-space:nowrap}"
)


def docs_page(schema: Mapping[str, Any], mounted_at: str) -> str:
    """
    HTML of an OpenAPI description: each request with its fields, and the models of the results.

    Args:
        schema: OpenAPI 3.1, as a dictionary.
        mounted_at: prefix of its paths.
    """
    models = schema["components"]["schemas"]
    parts = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(mounted_at + path)}</code></h2>")
            parts.append(f"<p>{_text(operation.get('description', ''))}</p>")
            fields = sorted(_fields(operation, models), key=lambda field: field[2] != "required")
            parts.append(_table(fields) if fields else "<p>It takes no fields.</p>")
            answer = _reference(operation["responses"]["200"]["content"]["application/json"]["schema"])
            parts.append(f'<p>It answers <a href="#{answer}">{answer}</a>.</p>')
    parts.append("<h2>Answers</h2>")
    for name in ("FoundSounds", "FoundSound", "Status", "Failure"):
        parts.append(f'<h3 id="{name}">{name}</h3><p>{_text(models[name].get("description", ""))}</p>')
        parts.append(_table(list(_properties(models[name]))))
    parts.append("<h2>Errors</h2><table><tr><th>Status</th><th>Meaning</th></tr>")
    responses = next(iter(next(iter(schema["paths"].values())).values()))["responses"]
    parts += [
        f"<tr><td>{status}</td><td>{_text(response['description'])}</td></tr>"
        for status, response in sorted(responses.items())
        if status != "200"
    ]
    parts.append("</table>")
    head = (
        f"<h1>{escape(schema['info']['title'])} API, version 1</h1><p>{_text(schema['info']['description'])}"
    )
    link = f' For programs: <a href="{mounted_at}/v1/openapi.json">openapi.json</a>.</p>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Auricle API</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body>{head}{link}{''.join(parts)}</body></html>"
    )


def _fields(operation: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and description of each field of a request."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query":
            told = parameter.get("description", "")
            yield parameter["name"], *_kind(parameter["schema"], parameter.get("required", False)), told
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        yield from _properties(models[_reference(body)])


def _properties(model: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for name, entry in model["properties"].items():
        yield name, *_kind(entry, name in model.get("required", [])), entry.get("description", "")


def _kind(entry: Mapping[str, Any], required: bool) -> tuple[str, str]:
    if required:
        return _type(entry), "required"
    default = entry.get("default", "")
    return _type(entry), default if isinstance(default, str) else json.dumps(default)


def _type(entry: Mapping[str, Any]) -> str:
    if "$ref" in entry:
        return _reference(entry)
    if "enum" in entry:
        return " or ".join(map(repr, entry["enum"]))
    if "const" in entry:
        return repr(entry["const"])
    if "anyOf" in entry:
        return " or ".join(_type(one) for one in entry["anyOf"])
    if entry.get("type") == "array":
        return f"list of {_type(entry['items'])}"
    return str(entry.get("type", "any"))


def _text(told: str) -> str:
    """The text as HTML; text between backticks becomes code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(told))


def _reference(entry: Mapping[str, Any]) -> str:
    return str(entry["$ref"]).rsplit("/", 1)[-1]


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    body = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{escape(default)}</td>"
        f"<td>{_text(told)}</td></tr>"
        for name, kind, default, told in rows
    )
    return f"<table><tr><th>Field</th><th>Type</th><th>Default</th><th></th></tr>{body}</table>"


__all__ = ["docs_page"]
