import pytest

from ingest_sandbox.paths import template


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/github/repositories/611000000/issues", "/github/repositories/{id}/issues"),
        ("/github/repositories/611000000", "/github/repositories/{id}"),
        ("/github/repos/acme/api/issues/3", "/github/repos/{owner}/{repo}/issues/{id}"),
        ("/github/repos/7/8/pulls", "/github/repos/{owner}/{repo}/pulls"),
        ("/github/repos/acme/commits", "/github/repos/{owner}/{repo}"),
        ("/github/repos/acme/api/commits", "/github/repos/{owner}/{repo}/commits"),
        ("/github/repos/acme/api/commits/a/b", "/github/repos/{owner}/{repo}/commits/{ref}"),
        ("/github/repositories/1/compare/a/b...c", "/github/repositories/{id}/compare/{basehead}"),
        ("/github/orgs/acme/repos", "/github/orgs/{owner}/repos"),
        ("/github/licenses", "/github/licenses"),
        ("/stripe/v1/invoices", "/stripe/v1/invoices"),
        ("/stripe/v1/invoices/in_1", "/stripe/v1/invoices/{id}"),
        ("/stripe/v1/invoices/in_1/lines", "/stripe/v1/invoices/{id}/lines"),
    ],
)
def test_ids_and_names_are_taken_out(path: str, shown: str) -> None:
    assert template(path) == shown
