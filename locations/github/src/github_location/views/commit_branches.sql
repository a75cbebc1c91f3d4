-- Which commits each branch has now.
--
-- It follows the parents of the commits from the head of each branch.

WITH RECURSIVE found AS (
    SELECT repo_id, name AS branch, commit_sha AS sha FROM {branches} WHERE deleted_at IS NULL
    UNION
    SELECT found.repo_id, found.branch, parents.parent_sha
    FROM found
    JOIN {commit_parents} AS parents ON parents.repo_id = found.repo_id AND parents.sha = found.sha
)
SELECT repo_id, branch, sha FROM found
