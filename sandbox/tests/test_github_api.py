from collections.abc import Iterator

import httpx
import pytest

from ingest_sandbox import wire
from ingest_sandbox.control import held
from ingest_sandbox.moment import Change
from ingest_sandbox.wire import Json
from ingest_sandbox.world import World

from .conftest import GitHub, make_world, serving

PLATFORM = "/repos/acme/platform"


def oracle(world: World, collection: str, repository: str = "acme/platform") -> list[Json]:
    repo = world.github.named(repository)
    assert repo is not None
    rows = wire.decode(wire.encode(held(world, "github", collection)))
    return [row["object"] for row in rows if row["repository_id"] == repo.id]


@pytest.mark.parametrize(
    ("path", "collection", "key"),
    [
        ("/issues?state=all&per_page=100", "issues", "id"),
        ("/issues?state=all&sort=updated&direction=asc&per_page=7", "issues", "id"),
        ("/issues?state=all&sort=comments", "issues", "id"),
        ("/issues/comments", "issue_comments", "id"),
        ("/issues/comments?sort=updated&direction=desc&per_page=100", "issue_comments", "id"),
        ("/releases?per_page=3", "releases", "id"),
        ("/labels?per_page=3", "labels", "id"),
        ("/milestones?state=all&per_page=2", "milestones", "id"),
        ("/branches?per_page=1", "branches", "name"),
    ],
)
def test_a_walk_equals_the_oracle(world: World, github: GitHub, path: str, collection: str, key: str) -> None:
    walked = github.walk(PLATFORM + path)
    expected = oracle(world, collection)
    assert len(walked) == len(expected) > 0
    assert {row[key]: row for row in walked} == {row[key]: row for row in expected}


def test_pulls_are_issues_with_another_id(world: World, github: GitHub) -> None:
    pulls = {row["number"]: row for row in github.walk(f"{PLATFORM}/pulls?state=all&per_page=100")}
    issues = [row for row in oracle(world, "issues") if "pull_request" in row]
    assert len(pulls) == len(issues) > 0
    for issue in issues:
        pull = pulls[issue["number"]]
        assert pull["id"] != issue["id"]
        assert pull["updated_at"] == issue["updated_at"]
        assert github.get(f"{PLATFORM}/pulls/{issue['number']}").json().items() >= pull.items()
        break


def test_commits_are_walked_newest_first_and_by_time(world: World, github: GitHub) -> None:
    commits = github.walk(f"{PLATFORM}/commits?per_page=100")
    dates = [row["commit"]["committer"]["date"] for row in commits]
    assert dates == sorted(dates, reverse=True)
    assert any(len(row["parents"]) == 2 for row in commits)
    middle = dates[len(dates) // 2]
    since = github.walk(f"{PLATFORM}/commits?since={middle}&per_page=100")
    until = github.walk(f"{PLATFORM}/commits?until={middle}&per_page=100")
    both = {row["sha"] for row in since} & {row["sha"] for row in until}
    assert len(since) + len(until) == len(commits) + len(both)
    topic = github.walk(f"{PLATFORM}/commits?sha=topic/next&per_page=100")
    bridge = {row["sha"] for row in oracle(world, "commit_branches") if row["branch"] != "main"}
    assert {row["sha"] for row in topic} == bridge
    assert {row["sha"] for row in [*commits, *topic]} == {row["sha"] for row in oracle(world, "commits")}


def test_since_takes_its_own_second(world: World, github: GitHub) -> None:
    issues = oracle(world, "issues")
    since = sorted(row["updated_at"] for row in issues)[len(issues) // 2]
    for path in ("/issues?state=all&", "/issues?state=all&sort=updated&"):
        walked = github.walk(f"{PLATFORM}{path}since={since}&per_page=100")
        assert {row["id"] for row in walked} == {row["id"] for row in issues if row["updated_at"] >= since}


def test_more_than_a_page_of_issues_share_a_second(world: World) -> None:
    times = [row["updated_at"] for row in oracle(world, "issues")]
    assert max(map(times.count, set(times))) > 100


def test_objects_look_like_github_s(world: World) -> None:
    issues = oracle(world, "issues")
    bodies = [row["body"] for row in issues]
    assert {len(row) for row in issues} == {32, 33}  # parts of another issue have its address
    assert {"+1", "-1"} <= issues[0]["reactions"].keys()
    assert None in bodies
    assert any("\x00" in (body or "") for body in bodies)
    assert any(row["user"] is None for row in issues)
    assert any(not row["labels"] and not row["assignees"] for row in issues)
    assert 4_000 < sum(len(wire.encode(row)) for row in issues) / len(issues) < 8_000


def test_link_has_four_ends(github: GitHub) -> None:
    pages = list(github.pages(f"{PLATFORM}/issues?state=all&per_page=100"))
    assert set(pages[0].links) == {"next", "last"}
    assert set(pages[1].links) == {"prev", "next", "last", "first"}
    assert set(pages[-1].links) == {"prev", "first"}
    assert "/repositories/" in pages[0].links["next"]["url"]
    assert "state=all" in pages[0].links["next"]["url"]


def test_a_304_costs_no_quota_and_belongs_to_its_token(world: World) -> None:
    with serving(world, github_tokens=("one", "two")) as client:
        one, two = GitHub(client, "one"), GitHub(client, "two")
        first = one.get(f"{PLATFORM}/labels")
        again = one.get(f"{PLATFORM}/labels", **{"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["x-ratelimit-used"] == first.headers["x-ratelimit-used"] == "1"
        other = two.get(f"{PLATFORM}/labels", **{"If-None-Match": first.headers["etag"]})
        assert other.status_code == 200


def test_a_304_is_about_the_rows_and_its_links_are_those_of_now() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        github = GitHub(client)
        count = len(github.walk(f"{PLATFORM}/labels?per_page=100"))
        path = f"{PLATFORM}/labels?per_page={count}"
        full = github.get(path)
        assert full.links == {}
        world.change(Change("github.label.create", repository="acme/platform"))
        again = github.get(path, **{"If-None-Match": full.headers["etag"]})
        assert again.status_code == 304
        assert again.headers["etag"] == full.headers["etag"]
        assert set(again.links) == {"next", "last"}
        assert again.links == github.get(path).links


def test_a_quota_ends_and_begins_again() -> None:
    world = make_world(size=0.1)
    with serving(world, github_quota=2) as client:
        github = GitHub(client)
        used = [github.get("/user").status_code for _ in range(3)]
        assert used == [200, 200, 403]
        last = github.get("/user")
        assert last.headers["x-ratelimit-remaining"] == "0"
        assert github.get("/rate_limit").json()["rate"]["used"] == 2
        world.advance(int(last.headers["x-ratelimit-reset"]) - world.now())
        assert github.get("/user").status_code == 200


def test_without_a_token_sixty_an_hour(client: httpx.Client) -> None:
    response = GitHub(client, None).get(PLATFORM)
    assert response.status_code == 200
    assert response.headers["x-ratelimit-limit"] == "60"


def test_a_wrong_token_is_refused(client: httpx.Client) -> None:
    response = GitHub(client, "wrong").get(PLATFORM)
    assert response.status_code == 401
    assert response.json()["message"] == "Bad credentials"


@pytest.fixture(scope="module")
def bordered(world: World) -> Iterator[GitHub]:
    with serving(world, github_border=150) as client:
        yield GitHub(client)


def test_beyond_the_border_only_cursors_lead_on(world: World, bordered: GitHub) -> None:
    path = f"{PLATFORM}/issues?state=all&sort=updated&direction=asc&per_page=50"
    assert bordered.get(f"{path}&page=3").status_code == 200
    assert bordered.get(f"{path}&page=4").status_code == 422
    pages = list(bordered.pages(path))
    assert "page=2" in pages[0].links["next"]["url"]
    assert "after=" in pages[2].links["next"]["url"]
    assert "after=" in pages[3].links["next"]["url"]
    assert "last" not in pages[0].links
    ids = [row["id"] for page in pages for row in page.json()]
    assert len(ids) == len(set(ids))
    assert set(ids) == {row["id"] for row in oracle(world, "issues")}
    back = bordered.get(pages[4].links["prev"]["url"]).json()
    assert back == pages[3].json()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/repos/acme/none", 404),
        ("/nothing", 404),
        ("/orgs/none/repos", 404),
        ("/repos/acme/empty/commits", 409),
        ("/repos/acme/legacy/issues/1", 410),
        (f"{PLATFORM}/issues/99999", 404),
        (f"{PLATFORM}/issues?state=wrong", 422),
        (f"{PLATFORM}/issues?since=wrong", 422),
        (f"{PLATFORM}/commits?sha=wrong", 404),
        (f"{PLATFORM}/commits/wrong", 422),
    ],
)
def test_errors(github: GitHub, path: str, status: int) -> None:
    response = github.get(path)
    assert response.status_code == status
    assert response.json()["message"]


def test_lists_of_repositories(world: World, github: GitHub) -> None:
    acme = {repo.id for repo in world.github.owned()}
    for path in ("/orgs/acme/repos", "/users/acme/repos?per_page=2"):
        rows = github.walk(path)
        assert {row["id"] for row in rows} == acme
    one = rows[0]
    assert github.get(f"/repositories/{one['id']}").json() == one
    assert len(github.get("/licenses").json()) == 13


def names(github: GitHub, path: str) -> list[str]:
    return [row["name"] for row in github.walk(path)]


def test_private_repositories_of_a_person_are_in_the_list_of_their_own_only(
    github: GitHub, client: httpx.Client
) -> None:
    me = github.get("/user").json()["login"]
    assert names(github, f"/users/{me}/repos") == ["dotfiles"]
    assert names(github, "/user/repos?affiliation=owner") == ["dotfiles", "notes"]
    assert names(github, "/user/repos?affiliation=owner&visibility=private") == ["notes"]
    assert names(github, "/user/repos?affiliation=collaborator") == []
    assert names(github, "/user/repos?affiliation=organization_member") == names(github, "/users/acme/repos")
    assert len(names(github, "/user/repos?per_page=3")) == 8
    assert github.get(f"/repos/{me}/notes").json()["visibility"] == "private"
    anonymous = GitHub(client, None)
    assert anonymous.get(f"/repos/{me}/notes").status_code == 404
    assert anonymous.get("/user/repos").status_code == 401


def test_private_repositories_of_an_organization_are_in_its_list() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        world.change(Change("github.repository.edit", repository="acme/web", set={"private": True}))
        assert "web" in names(GitHub(client), "/orgs/acme/repos")
        assert "web" not in names(GitHub(client), "/users/acme/repos")
        assert "web" not in names(GitHub(client, None), "/orgs/acme/repos")


def test_where_issues_are_switched_off_the_lists_have_pull_requests_alone(world: World, github: GitHub) -> None:
    world.change(Change("github.repository.issues_off", repository="acme/platform"))
    issues = list(github.walk(f"{PLATFORM}/issues?state=all"))
    assert issues
    assert all("pull_request" in row for row in issues)
    assert all("/pull/" in row["html_url"] for row in github.walk(f"{PLATFORM}/issues/comments"))
    for value, status in (False, 410), (True, 200):
        switched = {"has_pull_requests": value}
        world.change(Change("github.repository.edit", repository="acme/platform", set=switched))
        assert github.get(f"{PLATFORM}/issues").status_code == status
    world.change(Change("github.repository.issues_on", repository="acme/platform"))


def test_where_pull_requests_are_switched_off_there_are_none(world: World, github: GitHub) -> None:
    pull = github.walk(f"{PLATFORM}/pulls?state=all")[0]

    def switch(*, on: bool) -> None:
        world.change(Change("github.repository.edit", repository="acme/platform", set={"has_pull_requests": on}))

    switch(on=False)
    for path in ("pulls", "pulls/comments", f"pulls/{pull['number']}", f"pulls/{pull['number']}/reviews"):
        assert github.get(f"{PLATFORM}/{path}").status_code == 404
    assert not any("pull_request" in row for row in github.walk(f"{PLATFORM}/issues?state=all"))
    switch(on=True)
    assert github.get(f"{PLATFORM}/pulls").status_code == 200


def test_a_repository_says_whether_it_has_issues(github: GitHub) -> None:
    has_issues = {row["name"]: row["has_issues"] for row in github.walk("/orgs/acme/repos")}
    assert [name for name, has in has_issues.items() if not has] == ["legacy"]


def test_a_renamed_repository_redirects_and_a_deleted_one_is_gone() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        github = GitHub(client)
        id = github.get("/repos/acme/api").json()["id"]
        new = {"name": "gateway"}
        world.change(Change("github.repository.rename", repository="acme/api", set=new))
        moved = github.get("/repos/acme/api/issues?state=all")
        assert moved.status_code == 301
        assert moved.headers["location"].endswith(f"/github/repositories/{id}/issues?state=all")
        assert github.get(moved.headers["location"]).status_code == 200
        world.change(Change("github.repository.transfer", repository=id))
        assert github.get("/repos/umbrella/gateway").json()["id"] == id
        assert github.get("/repos/acme/gateway").status_code == 301
        world.change(Change("github.repository.edit", repository=id, set={"forbidden": True}))
        assert github.get(f"/repositories/{id}/issues").status_code == 403
        world.change(Change("github.repository.delete", repository=id))
        assert github.get("/repos/acme/api").status_code == 404
        assert github.get(f"/repositories/{id}").status_code == 404


def test_a_renamed_default_branch_is_the_repositorys_default() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        github = GitHub(client)
        head = github.get(f"{PLATFORM}/commits/main").json()["sha"]
        rename = Change("github.branch.rename", repository="acme/platform", id="main", set={"name": "trunk"})
        world.change(rename)
        assert github.get(PLATFORM).json()["default_branch"] == "trunk"
        assert [row["name"] for row in github.walk(f"{PLATFORM}/branches")] == ["topic/next", "trunk"]
        assert github.get(f"{PLATFORM}/commits?sha=main").status_code == 404
        assert github.walk(f"{PLATFORM}/commits")[0]["sha"] == head
        assert oracle(world, "commit_branches")[-1]["branch"] == "trunk"


def test_a_transferred_issue_has_a_new_id_and_its_comments_keep_theirs() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        github = GitHub(client)
        comment = next(
            row
            for row in oracle(world, "issue_comments")
            if "/issues/" in row["html_url"] and github.get(issue_of(row)).json()["state"] == "open"
        )
        issue = github.get(issue_of(comment)).json()
        world.advance(10)
        transfer = Change("github.issue.transfer", "acme/platform", issue["number"], set={"repository": "acme/api"})
        done = world.change(transfer)["changed"]
        gone = github.get(issue_of(comment))
        assert gone.status_code == 301
        moved = github.get(gone.headers["location"]).json()
        assert moved["repository_url"].endswith("/acme/api")
        assert moved["id"] != issue["id"]
        assert (moved["title"], moved["comments"]) == (issue["title"], issue["comments"])
        assert github.get(f"{PLATFORM}/issues/comments/{comment['id']}").status_code == 404
        kept = github.get(f"/repos/acme/api/issues/comments/{comment['id']}").json()
        assert (kept["body"], kept["updated_at"]) == (comment["body"], comment["updated_at"])
        assert (done[0]["action"], done[0]["id"]) == ("deleted", issue["id"])
        assert (done[1]["action"], done[1]["id"]) == ("created", moved["id"])


def issue_of(comment: Json) -> str:
    path: str = comment["issue_url"].removeprefix("https://api.github.com")
    return path


def test_a_deleted_issue_is_gone() -> None:
    world = make_world(size=0.1)
    with serving(world) as client:
        done = world.change(Change("github.issue.delete", repository="acme/platform"))
        number = done["changed"][-1]["number"]
        assert GitHub(client).get(f"{PLATFORM}/issues/{number}").status_code == 410
