"""The MCP server over loopback, asked by the client of the `mcp` package."""

import asyncio
import json
import os
import sys

import pytest

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
mcp = pytest.importorskip("mcp")

from engines import PLAIN, ask, rows  # noqa: E402

from auricle.search.engine.engine import Engine  # noqa: E402

READ = {"Accept": "application/json, text/event-stream"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


def call(url: str, *calls: tuple[str, dict]) -> list:
    """The results of tools."""

    async def ask_them():
        async with mcp.Client(f"{url}mcp") as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(asyncio.wait_for(ask_them(), 120))


def test_a_client_lists_the_tools(running):
    async def listed():
        async with mcp.Client(f"{running.url}mcp") as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(asyncio.wait_for(listed(), 120))}
    assert set(tools) == {"search_sounds", "similar_sounds", "find_moments", "library_status"}
    for tool in tools.values():
        assert tool.description and tool.annotations.read_only_hint, tool
        assert tool.input_schema["additionalProperties"] is False
    search = tools["search_sounds"].input_schema
    assert search["required"] == ["query"] and search["properties"]["top"]["default"] == 10
    assert {"glob", "tag", "license", "min_duration", "max_duration", "metadata", "negative"} <= set(
        search["properties"]
    )
    assert "results" in tools["search_sounds"].output_schema["properties"]


def test_a_client_gets_the_answers_of_the_index(running):
    path = str(running.sounds / "e.wav")
    searched, filtered, by_field, like, moments, status = call(
        running.url,
        ("search_sounds", {"query": "a dog barks", "top": 3, "negative": ["wind"]}),
        ("search_sounds", {"query": "rain", "tag": "Rain"}),
        ("search_sounds", {"query": "rain", "metadata": {"place": "nowhere"}}),
        ("similar_sounds", {"path": path, "top": 2}),
        ("find_moments", {"path": path, "query": "rain"}),
        ("library_status", {}),
    )
    index = running.index
    assert not any(result.is_error for result in (searched, filtered, like, moments, status))
    expected = rows(index.search("a dog barks", top=3, negative=["wind"]))
    assert searched.structured_content == {"results": expected, "why_empty": [], "notes": []} and expected
    assert filtered.structured_content["results"] == by_field.structured_content["results"] == []
    assert "place" in by_field.structured_content["why_empty"][0]
    assert "similar values: 'rain'" in filtered.structured_content["why_empty"][0]
    assert like.structured_content["results"] == rows(index.similar(path, top=2))
    assert moments.structured_content["results"] == rows(index.moments(path, "rain"))
    assert status.structured_content["files"] == 8
    # What a client without structured content shows.
    assert json.loads(searched.content[0].text)["results"] == expected


def test_errors_are_told_and_other_files_are_not_reached(running):
    secret = str(running.root / "private" / "secret.wav")
    results = call(
        running.url,
        ("search_sounds", {"query": " "}),
        ("similar_sounds", {"path": secret}),
        ("find_moments", {"path": "/etc/passwd", "query": "rain"}),
        ("search_sounds", {"query": "rain", "top": 0}),
        ("search_sounds", {"query": "rain", "folder": "x"}),
        ("library_status", {"verbose": True}),
    )
    assert [result.is_error for result in results] == [True] * 6
    told = [result.content[0].text for result in results]
    assert told[4].startswith("search_sounds has no argument 'folder'; its arguments: query, top, negative, ")
    assert told[5] == "library_status has no argument 'verbose'; its arguments: none."
    assert "has no word to search for" in told[0]
    assert all("is not in the index" in text for text in told[1:3]) and "top" in told[3]


def test_other_web_sites_are_refused(running):
    assert ask(running.url, "mcp", LIST, **READ)[0] == 200
    for headers in ({"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        assert ask(running.url, "mcp", LIST, **READ, **headers)[0] == 403
    assert ask(running.url, "mcp", LIST, **READ, Host="evil.example")[0] == 400


def test_it_runs_beside_the_page(running):
    pytest.importorskip("gradio")
    from auricle.search.page.app import serve

    engine = Engine(lambda: running.index, PLAIN, index=running.index, mcp=True)
    page = serve(running.index, beside=engine)
    try:
        (found,) = call(page.local_url, ("search_sounds", {"query": "rain", "top": 1}))
        assert found.structured_content["results"] == rows(running.index.search("rain", top=1))
        assert ask(page.local_url, "api/v1/status")[1]["files"] == 8
        status, shown = ask(page.local_url, "")
        assert status == 200 and "gradio" in shown
        assert ask(page.local_url, "api/v1/status", Origin="https://evil.example")[0] == 403
    finally:
        page.close(verbose=False)


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("mcp.server.mcpserver", r"--mcp needs the package mcp: .*'auricle\[mcp\]'"),
        ("fastapi", r"auricle\[engine\]"),
    ],
)
def test_a_package_that_is_missing_is_named(running, monkeypatch, missing, told):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "auricle.search.engine.api", raising=False)
    with pytest.raises(ImportError, match=told):
        Engine(lambda: running.index, PLAIN, index=running.index, mcp=True)
