-- Which issue is a sub-issue of which.
--
-- A parent may be in another repository: its ids are null if that one is not mirrored.

WITH parts AS (
    SELECT
        repo_id,
        id,
        parent_issue_url,
        regexp_replace(html_url, '^.*/([^/]+/[^/]+)/[a-z]+/[0-9]+$', '\1') AS repository,
        regexp_replace(parent_issue_url, '^.*/([^/]+/[^/]+)/issues/[0-9]+$', '\1') AS parent_repository,
        CAST(regexp_replace(parent_issue_url, '^.*/', '') AS BIGINT) AS parent_number
    FROM {issues}
    WHERE parent_issue_url IS NOT NULL AND deleted_at IS NULL
)
SELECT
    parts.repo_id,
    parts.id AS issue_id,
    parents.repo_id AS parent_repo_id,
    parents.id AS parent_issue_id,
    parts.parent_issue_url
FROM parts
-- Within a repository, both addresses contain the same name, even if it was renamed since.
LEFT JOIN {repositories} AS others
    ON others.full_name = parts.parent_repository AND parts.repository <> parts.parent_repository
LEFT JOIN {issues} AS parents
    ON parents.repo_id = CASE
        WHEN parts.repository = parts.parent_repository THEN parts.repo_id
        ELSE others.id
    END
    AND parents.number = parts.parent_number
    AND parents.deleted_at IS NULL
