"""GitHub's JSON, made of the records of `model`.

The addresses inside objects are GitHub's own, as in real data, so that the same world has the
same bytes on every port; the `Link` header leads through the sandbox.

See https://docs.github.com/en/rest/issues/issues and its neighbours for every field.
"""

import re
from base64 import urlsafe_b64encode
from typing import Any

from ..wire import Json, iso, iso_or_none
from .model import (
    GHOST,
    Account,
    Asset,
    Branch,
    Comment,
    Commit,
    Issue,
    Label,
    Milestone,
    Release,
    Repository,
    Row,
)

API = "https://api.github.com"
WEB = "https://github.com"
_REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")


def node_id(prefix: str, id: int | str) -> str:
    """The id of GitHub's GraphQL API, one to one with the REST id."""
    return f"{prefix}_kwDO{urlsafe_b64encode(str(id).encode()).decode().rstrip('=')}"


def _urls(api: str, paths: str) -> Json:
    """The addresses of what is below an object: `keys_url` for `keys{/key_id}`."""
    return {f"{re.split(r'[^a-z_]', path)[0]}_url": f"{api}/{path}" for path in paths.split()}


def common(prefix: str, row: Any) -> Json:
    """What nearly every object has."""
    return {
        "id": row.id,
        "node_id": node_id(prefix, row.id),
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
    }


def account(_: Repository | None, user: Account) -> Json:
    """The simple user, https://docs.github.com/en/rest/users."""
    api = f"{API}/users/{user.login}"
    return {
        "login": user.login,
        "id": user.id,
        "node_id": node_id("U", user.id),
        "avatar_url": f"https://avatars.githubusercontent.com/u/{user.id}?v=4",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{WEB}/{user.login}",
        "organizations_url": f"{api}/orgs",
        **_urls(
            api,
            "followers following{/other_user} gists{/gist_id} starred{/owner}{/repo} subscriptions repos "
            "events{/privacy} received_events",
        ),
        "type": user.type,
        "user_view_type": "public",
        "site_admin": False,
    }


def user(repo: Repository, user: Account | None) -> Any:
    return None if user is None else repo.rendered(account, user).raw


def users(repo: Repository, users: list[Account]) -> list[Any]:
    return [repo.rendered(account, user).raw for user in users]


def reactions(url: str, counts: dict[str, int]) -> Json:
    return {
        "url": f"{url}/reactions",
        "total_count": sum(counts.values()),
        **{name: counts.get(name, 0) for name in _REACTIONS},
    }


def repository(repo: Repository, _: Repository) -> Json:
    """A repository, https://docs.github.com/en/rest/repos/repos."""
    api, web = f"{API}/repos/{repo.full_name}", f"{WEB}/{repo.full_name}"
    open_issues = repo.tally()[None][0]
    return {
        **common("R", repo),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
        "owner": user(repo, repo.owner),
        "html_url": web,
        "description": repo.description,
        "fork": False,
        "url": api,
        "issue_events_url": f"{api}/issues/events{{/number}}",
        "blobs_url": f"{api}/git/blobs{{/sha}}",
        "git_tags_url": f"{api}/git/tags{{/sha}}",
        "git_refs_url": f"{api}/git/refs{{/sha}}",
        "trees_url": f"{api}/git/trees{{/sha}}",
        "git_commits_url": f"{api}/git/commits{{/sha}}",
        "issue_comment_url": f"{api}/issues/comments{{/number}}",
        "archive_url": f"{api}/{{archive_format}}{{/ref}}",
        **_urls(
            api,
            "forks keys{/key_id} collaborators{/collaborator} teams hooks events assignees{/user} branches{/branch} "
            "tags statuses/{sha} languages stargazers contributors subscribers subscription commits{/sha} "
            "comments{/number} contents/{+path} compare/{base}...{head} merges downloads issues{/number} "
            "pulls{/number} milestones{/number} notifications{?since,all,participating} labels{/name} releases{/id} "
            "deployments",
        ),
        "pushed_at": iso(repo.pushed_at),
        "git_url": f"git://github.com/{repo.full_name}.git",
        "ssh_url": f"git@github.com:{repo.full_name}.git",
        "clone_url": f"{web}.git",
        "svn_url": web,
        "homepage": None,
        "size": 108 * len(repo.commits),
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": repo.language,
        "has_issues": repo.has_issues,
        "has_pull_requests": repo.has_pull_requests,
        "has_projects": True,
        "has_downloads": True,
        "has_wiki": True,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": 0,
        "mirror_url": None,
        "archived": repo.archived,
        "disabled": False,
        "open_issues_count": open_issues,
        "license": {
            "key": "mit",
            "name": "MIT License",
            "spdx_id": "MIT",
            "url": f"{API}/licenses/mit",
            "node_id": "MDc6TGljZW5zZTEz",
        },
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": repo.topics,
        "visibility": "private" if repo.private else "public",
        "forks": 0,
        "open_issues": open_issues,
        "watchers": 0,
        "default_branch": repo.default_branch,
        "subscribers_count": 3,
        "network_count": 0,
        "permissions": {
            "admin": False,
            "maintain": False,
            "push": repo.may_push,
            "triage": repo.may_push,
            "pull": True,
        },
    }


def repository_for_anybody(repo: Repository, row: Repository) -> Json:
    """As those see it who have no token, and so no rights."""
    return {name: value for name, value in repository(repo, row).items() if name != "permissions"}


def label(repo: Repository, row: Label) -> Json:
    return {
        "id": row.id,
        "node_id": node_id("LA", row.id),
        "url": f"{API}/repos/{repo.full_name}/labels/{row.name.replace(' ', '%20')}",
        "name": row.name,
        "color": row.color,
        "default": row.default,
        "description": row.description,
        "archived_at": None,
        "archived_by": None,
    }


def milestone(repo: Repository, row: Milestone) -> Json:
    url = f"{API}/repos/{repo.full_name}/milestones/{row.number}"
    opened, closed = repo.tally().get(row, (0, 0))
    return {
        "url": url,
        "html_url": f"{WEB}/{repo.full_name}/milestone/{row.number}",
        "labels_url": f"{url}/labels",
        **common("MI", row),
        "number": row.number,
        "title": row.title,
        "description": row.description,
        "creator": user(repo, row.creator),
        "open_issues": opened,
        "closed_issues": closed,
        "state": "open" if row.closed_at is None else "closed",
        "due_on": iso_or_none(row.due_on),
        "closed_at": iso_or_none(row.closed_at),
    }


def issue_type(_: Account | None, row: Row) -> Json:
    """https://docs.github.com/en/rest/orgs/issue-types"""
    return {
        **common("IT", row),
        "name": row.facts["name"],
        "description": row.facts["description"],
        "color": row.facts["color"],
        "is_enabled": row.facts["is_enabled"],
    }


def issue(repo: Repository, row: Issue) -> Json:
    """An issue, or a pull request as an issue."""
    api, web = f"{API}/repos/{repo.full_name}", f"{WEB}/{repo.full_name}"
    url = f"{api}/issues/{row.number}"
    found: Json = {
        "url": url,
        "repository_url": api,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": f"{web}/{'pull' if row.pull else 'issues'}/{row.number}",
        "id": row.id,
        "node_id": node_id("PR" if row.pull else "I", row.pull.id if row.pull else row.id),
        "number": row.number,
        "title": row.title,
        "user": user(repo, row.author),
        "labels": [repo.rendered(label, found).raw for found in row.labels],
        "state": row.state,
        "locked": row.locked,
        "assignee": user(repo, row.assignees[0] if row.assignees else None),
        "assignees": users(repo, row.assignees),
        "milestone": repo.rendered(milestone, row.milestone).raw if row.milestone else None,
        "comments": row.comments,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "closed_at": iso_or_none(row.closed_at),
        "author_association": row.association,
        "type": issue_type(None, row.type) if row.type else None,
        "active_lock_reason": "resolved" if row.locked else None,
    }
    if row.pull:
        found["draft"] = row.pull.draft
        found["pull_request"] = {
            "url": f"{api}/pulls/{row.number}",
            "html_url": f"{web}/pull/{row.number}",
            "diff_url": f"{web}/pull/{row.number}.diff",
            "patch_url": f"{web}/pull/{row.number}.patch",
            "merged_at": iso_or_none(row.pull.merged_at),
        }
    else:
        total, completed = len(row.sub_issues), sum(part.closed_at is not None for part in row.sub_issues)
        found["sub_issues_summary"] = {
            "total": total,
            "completed": completed,
            "percent_completed": 100 * completed // total if total else 0,
        }
        if row.parent:
            home, parent = row.parent
            found["parent_issue_url"] = f"{API}/repos/{home.full_name}/issues/{parent.number}"
        found["issue_dependencies_summary"] = {
            "blocked_by": 0,
            "total_blocked_by": 0,
            "blocking": 0,
            "total_blocking": 0,
        }
    found |= {
        "body": row.body,
        "closed_by": user(repo, row.closed_by),
        "reactions": reactions(url, row.reactions),
        "timeline_url": f"{url}/timeline",
        "performed_via_github_app": None,
        "state_reason": row.state_reason,
    }
    return found


def pull(repo: Repository, row: Issue) -> Json:
    """A pull request as the list of pull requests shows it. `row` must have a `Pull`."""
    assert row.pull is not None
    api, web = f"{API}/repos/{repo.full_name}", f"{WEB}/{repo.full_name}"
    url, issue_url = f"{api}/pulls/{row.number}", f"{api}/issues/{row.number}"
    html, statuses = f"{web}/pull/{row.number}", f"{api}/statuses/{row.pull.head_sha}"
    owner = user(repo, repo.owner)
    # The repository is whole at both ends, which makes three quarters of a pull request's bytes.
    home = repo.rendered(repository, repo).raw
    return {
        "url": url,
        "id": row.pull.id,
        "node_id": node_id("PR", row.pull.id),
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        "issue_url": issue_url,
        "number": row.number,
        "state": row.state,
        "locked": row.locked,
        "title": row.title,
        "user": user(repo, row.author),
        "body": row.body,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "closed_at": iso_or_none(row.closed_at),
        "merged_at": iso_or_none(row.pull.merged_at),
        "merge_commit_sha": row.pull.merge_commit_sha,
        "assignee": user(repo, row.assignees[0] if row.assignees else None),
        "assignees": users(repo, row.assignees),
        "requested_reviewers": users(repo, row.pull.reviewers),
        "requested_teams": [],
        "labels": [repo.rendered(label, found).raw for found in row.labels],
        "milestone": repo.rendered(milestone, row.milestone).raw if row.milestone else None,
        "draft": row.pull.draft,
        "commits_url": f"{url}/commits",
        "review_comments_url": f"{url}/comments",
        "review_comment_url": f"{api}/pulls/comments{{/number}}",
        "comments_url": f"{issue_url}/comments",
        "statuses_url": statuses,
        "head": {
            "label": f"{repo.owner.login}:{row.pull.head_ref}",
            "ref": row.pull.head_ref,
            "sha": row.pull.head_sha,
            "user": owner,
            "repo": None if row.pull.head_repository_gone else home,
        },
        "base": {
            "label": f"{repo.owner.login}:{repo.default_branch}",
            "ref": repo.default_branch,
            "sha": row.pull.base_sha,
            "user": owner,
            "repo": home,
        },
        "_links": {
            "self": {"href": url},
            "html": {"href": html},
            "issue": {"href": issue_url},
            "comments": {"href": f"{issue_url}/comments"},
            "review_comments": {"href": f"{url}/comments"},
            "review_comment": {"href": f"{api}/pulls/comments{{/number}}"},
            "commits": {"href": f"{url}/commits"},
            "statuses": {"href": statuses},
        },
        "author_association": row.association,
        "auto_merge": None,
        "active_lock_reason": "resolved" if row.locked else None,
    }


def pull_in_detail(repo: Repository, row: Issue) -> Json:
    """A pull request on its own: what the list shows, and what only this answer has."""
    assert row.pull is not None
    return pull(repo, row) | {
        "user": user(repo, row.author or GHOST),
        "merged": row.pull.merged_at is not None,
        "mergeable": None if row.closed_at else not row.pull.conflicts,
        "rebaseable": None if row.closed_at else not row.pull.conflicts,
        "mergeable_state": "unknown" if row.closed_at else "dirty" if row.pull.conflicts else "clean",
        "merged_by": user(repo, row.pull.merged_by),
        "comments": row.comments,
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": row.pull.commits,
        "additions": row.pull.additions,
        "deletions": row.pull.deletions,
        "changed_files": row.pull.changed_files,
    }


def comment(repo: Repository, row: Comment) -> Json:
    """A comment, https://docs.github.com/en/rest/issues/comments."""
    api, web = f"{API}/repos/{repo.full_name}", f"{WEB}/{repo.full_name}"
    url = f"{api}/issues/comments/{row.id}"
    place = "pull" if row.issue.pull else "issues"
    return {
        "url": url,
        "html_url": f"{web}/{place}/{row.issue.number}#issuecomment-{row.id}",
        "issue_url": f"{api}/issues/{row.issue.number}",
        **common("IC", row),
        "user": user(repo, row.author),
        "body": row.body,
        "author_association": row.association,
        "reactions": reactions(url, row.reactions),
        "performed_via_github_app": None,
    }


def commit(repo: Repository, row: Commit) -> Json:
    """A commit, https://docs.github.com/en/rest/commits/commits."""
    api, web = f"{API}/repos/{repo.full_name}", f"{WEB}/{repo.full_name}"
    git = f"{api}/git/commits/{row.sha}"
    return {
        "sha": row.sha,
        "node_id": node_id("C", row.sha),
        "commit": {
            "author": {"name": row.name, "email": row.email, "date": iso(row.authored_at)},
            "committer": {"name": row.name, "email": row.email, "date": iso(row.committed_at)},
            "message": row.message,
            "tree": {"sha": row.tree, "url": f"{api}/git/trees/{row.tree}"},
            "url": git,
            "comment_count": row.comments,
            "verification": {
                "verified": row.verified,
                "reason": "valid" if row.verified else "unsigned",
                "signature": "-----BEGIN PGP SIGNATURE-----\n..." if row.verified else None,
                "payload": f"tree {row.tree}\n" if row.verified else None,
                "verified_at": iso(row.committed_at) if row.verified else None,
            },
        },
        "url": f"{api}/commits/{row.sha}",
        "html_url": f"{web}/commit/{row.sha}",
        "comments_url": f"{api}/commits/{row.sha}/comments",
        "author": user(repo, row.author),
        "committer": user(repo, row.author),
        "parents": [
            {"sha": sha, "url": f"{api}/commits/{sha}", "html_url": f"{web}/commit/{sha}"} for sha in row.parents
        ],
    }


def branch(repo: Repository, row: Branch) -> Json:
    api = f"{API}/repos/{repo.full_name}"
    return {
        "name": row.name,
        "commit": {"sha": row.sha, "url": f"{api}/commits/{row.sha}"},
        "protected": row.protected,
    }


def _asset(repo: Repository, release: Release, row: Asset) -> Json:
    return {
        "url": f"{API}/repos/{repo.full_name}/releases/assets/{row.id}",
        "id": row.id,
        "node_id": node_id("RA", row.id),
        "name": row.name,
        "label": None,
        "uploader": user(repo, release.author),
        "content_type": "application/gzip",
        "state": "uploaded",
        "size": row.size,
        "digest": None,
        "download_count": row.downloads,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.created_at),
        "browser_download_url": (f"{WEB}/{repo.full_name}/releases/download/{release.tag}/{row.name}"),
    }


def release(repo: Repository, row: Release) -> Json:
    """A release, https://docs.github.com/en/rest/releases/releases."""
    api, web = f"{API}/repos/{repo.full_name}", f"{WEB}/{repo.full_name}"
    return {
        "url": f"{api}/releases/{row.id}",
        "assets_url": f"{api}/releases/{row.id}/assets",
        "upload_url": (f"https://uploads.github.com/repos/{repo.full_name}/releases/{row.id}/assets{{?name,label}}"),
        "html_url": f"{web}/releases/tag/{row.tag}",
        **common("RE", row),
        "author": user(repo, row.author),
        "tag_name": row.tag,
        "target_commitish": row.target,
        "name": row.name,
        "draft": row.draft,
        "immutable": False,
        "prerelease": row.prerelease,
        "published_at": None if row.draft else iso(row.created_at),
        "assets": [_asset(repo, row, asset) for asset in row.assets],
        "tarball_url": f"{api}/tarball/{row.tag}",
        "zipball_url": f"{api}/zipball/{row.tag}",
        "body": row.body,
    }
