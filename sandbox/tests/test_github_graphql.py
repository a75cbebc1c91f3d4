"""The GraphQL API is a part of GitHub's, has its quota, and shows what REST shows."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import build_schema, find_breaking_changes

from ingest_sandbox.app import GITHUB_TOKEN
from ingest_sandbox.github import graphql_api
from ingest_sandbox.moment import Change

from .conftest import ANCHOR, GitHub, make_world, serving

PUBLISHED = Path(__file__).parent / "published"
"""Names the package that holds the schema as GitHub publishes it: https://github.com/octokit/graphql-schema"""
PLATFORM = "/repos/acme/platform"
QUERY = """
query ($ids: [ID!]!, $first: Int = 100, $after: String) {
  nodes(ids: $ids) {
    ... on PullRequest {
      fullDatabaseId
      reviews(first: $first, after: $after) {
        totalCount
        pageInfo { hasNextPage endCursor }
        nodes { fullDatabaseId state submittedAt url commit { oid } author { __typename login } }
      }
    }
  }
}
"""


def ask(github: GitHub, ids: list[str], query: str = QUERY, **variables: Any) -> httpx.Response:
    body = {"query": query, "variables": {"ids": ids, **variables}}
    return github.client.post("/github/graphql", json=body, headers=github.headers)


def pulls(github: GitHub) -> list[Any]:
    return github.walk(f"{PLATFORM}/pulls?state=all&per_page=100")


def types(response: httpx.Response) -> list[str]:
    return [error["type"] for error in response.json()["errors"]]


@pytest.mark.skipif(
    not shutil.which("npm") and os.environ.get("REQUIRE_NPM") != "1",
    reason="npm, with which GitHub's schema is installed, is not here",
)
def test_there_is_nothing_that_github_does_not_publish() -> None:
    if not (PUBLISHED / "node_modules").is_dir():
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=PUBLISHED, check=True, timeout=120)
    published = (PUBLISHED / "node_modules/@octokit/graphql-schema/schema.graphql").read_text()
    assert find_breaking_changes(graphql_api.SCHEMA, build_schema(published, assume_valid=True)) == []


def test_reviews_are_those_of_rest(github: GitHub) -> None:
    some = pulls(github)[:100]
    found = ask(github, [pull["node_id"] for pull in some]).json()["data"]["nodes"]
    assert [int(pull["fullDatabaseId"]) for pull in found] == [pull["id"] for pull in some]
    reviewed = 0
    for pull, shown in zip(some, found, strict=True):
        rows = github.walk(f"{PLATFORM}/pulls/{pull['number']}/reviews")
        reviewed += len(rows)
        assert shown["reviews"]["totalCount"] == len(rows)
        for row, node in zip(rows, shown["reviews"]["nodes"], strict=True):
            assert int(node["fullDatabaseId"]) == row["id"]
            assert (node["state"], node["url"]) == (row["state"], row["html_url"])
            assert (node["submittedAt"], node["commit"]["oid"]) == (row["submitted_at"], row["commit_id"])
            assert node["author"]["login"] == row["user"]["login"].removesuffix("[bot]")
            assert node["author"]["__typename"] == row["user"]["type"]
    assert reviewed > 50


def test_a_list_goes_on_after_its_cursor(github: GitHub) -> None:
    number = next(row["pull_request_url"].rpartition("/")[2] for row in github.walk(f"{PLATFORM}/pulls/comments"))
    (id_,) = [pull["node_id"] for pull in pulls(github) if str(pull["number"]) == number]
    after, rows = None, []
    while True:
        (found,) = ask(github, [id_], first=1, after=after).json()["data"]["nodes"]
        rows += found["reviews"]["nodes"]
        after = found["reviews"]["pageInfo"]["endCursor"]
        if not found["reviews"]["pageInfo"]["hasNextPage"]:
            break
    assert len(rows) == found["reviews"]["totalCount"] == len(github.walk(f"{PLATFORM}/pulls/{number}/reviews"))


def test_a_pull_request_that_is_gone_is_null_and_the_others_are_there(github: GitHub) -> None:
    ids = [pull["node_id"] for pull in pulls(github)[:2]]
    response = ask(github, [ids[0], "PR_gone", ids[1]])
    assert [bool(pull) for pull in response.json()["data"]["nodes"]] == [True, False, True]
    (error,) = response.json()["errors"]
    assert (error["type"], error["path"]) == ("NOT_FOUND", ["nodes", 1])


def test_what_is_too_much_is_refused(github: GitHub) -> None:
    (id_,) = [pull["node_id"] for pull in pulls(github)[:1]]
    assert types(ask(github, [id_] * 101)) == ["ARGUMENT_LIMIT"]
    assert types(ask(github, [id_], first=101)) == ["EXCESSIVE_PAGINATION"]
    assert types(ask(github, [id_], first=None)) == ["MISSING_PAGINATION_BOUNDARIES"]


def test_an_unknown_field_has_no_data(github: GitHub) -> None:
    answer = ask(github, [], "query ($ids: [ID!]!) { nodes(ids: $ids) { x } }").json()
    assert answer["data"] is None
    assert answer["errors"][0]["message"]


def test_reviews_have_passed_the_ids_of_32_bits() -> None:
    world = make_world()
    world.github._next_id["reviews"] = 2**31
    made = world.change(Change(kind="github.review.create"))["changed"][0]
    with serving(world) as client:
        github = GitHub(client)
        lists = "... on PullRequest { reviews(first: 100) { nodes { %s } } }"
        query = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ {lists} }} }}"
        ids = [row["node_id"] for row in github.walk(f"/repositories/{made['repository_id']}/pulls?state=all")]
        assert ask(github, ids[:100], query % "databaseId").json()["errors"]
        assert "errors" not in ask(github, ids[:100], query % "fullDatabaseId").json()


def test_its_quota_is_apart_from_that_of_rest() -> None:
    with serving(make_world(), github_quota=3) as client:
        github = GitHub(client)
        ids = [pull["node_id"] for pull in github.get(f"{PLATFORM}/pulls").json()]
        for used in range(1, 4):
            response = ask(github, ids)
            assert response.headers["X-RateLimit-Resource"] == "graphql"
            assert response.headers["X-RateLimit-Used"] == str(used)
        response = ask(github, ids)
        assert (response.status_code, types(response)) == (200, ["RATE_LIMIT"])
        assert response.headers["X-RateLimit-Reset"] == str(ANCHOR + 3600)
        assert github.get(PLATFORM).headers["X-RateLimit-Used"] == "2"


def test_it_is_not_for_anybody_without_a_token(client: httpx.Client) -> None:
    assert ask(GitHub(client, None), []).status_code == 401
    assert ask(GitHub(client, "wrong"), []).status_code == 401


def test_an_enterprise_server_has_it_beside_its_versions() -> None:
    with serving(make_world(), github_enterprise=True) as client:
        headers = {"Authorization": f"Bearer {GITHUB_TOKEN}"}
        response = client.post("/github/api/graphql", json={"query": "{ __typename }"}, headers=headers)
        assert response.json() == {"data": {"__typename": "Query"}}
        assert "X-RateLimit-Used" not in response.headers
