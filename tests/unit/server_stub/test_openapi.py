"""Routes and document are one contract; the page shows all of it and loads nothing."""

from __future__ import annotations

import re

import pytest

from server_stub.app import all_routes
from server_stub.openapi.document import document, operations
from server_stub.openapi.page import page
from server_stub.problems import STATUS

ROUTES = sorted(
    {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in all_routes()
        for method in route.methods or ()
        # A HEAD that comes with every GET is HTTP's; only those of content and of uploads are told by themselves.
        if method != "HEAD" or route.path.endswith(("/{item_id}/content", "/{upload_id}"))
    }
)


def test_every_route_is_described_and_nothing_else() -> None:
    described = [(operation.method, operation.path) for operation in operations()]
    assert sorted(described) == ROUTES


def test_names_are_unique_and_references_lead_somewhere() -> None:
    names = [operation.name for operation in operations()]
    assert len(set(names)) == len(names)
    told = document()
    for reference in re.findall(r"'#/components/(\w+)/(\w+)'", str(told)):
        kind, name = reference
        assert name in told["components"][kind]
    tags = {tag["name"] for tag in told["tags"]}
    assert {operation.tag for operation in operations()} == tags


def test_every_problem_code_is_told_somewhere() -> None:
    told = {refusal.partition("@")[0] for operation in operations() for refusal in operation.refusals}
    always = {"unauthorized", "invalid_request", "request_timeout", "host_not_allowed", "head_too_large", "internal"}
    elsewhere = {"method_not_allowed", "unavailable", "rate_limited"}
    assert told | always | elsewhere >= set(STATUS)


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
def test_path_parameters_are_those_of_the_path(operation: object) -> None:
    path, parameters = operation.path, operation.parameters  # type: ignore[attr-defined]
    declared = [each["name"] for each in parameters if each["in"] == "path"]
    assert declared == re.findall(r"{(\w+)}", path)
    names = [(each["in"], each["name"]) for each in parameters]
    assert len(set(names)) == len(names)


def test_the_page_tells_everything_and_loads_nothing() -> None:
    html = page(document())
    for operation in operations():
        assert f'id="{operation.name}"' in html
    for name in document()["components"]["schemas"]:
        assert f'id="schema-{name}"' in html
    assert re.findall(r"""(?:src|href)=["'](?!#|/)""", html) == []
    assert "<script" not in html
    assert "@import" not in html
