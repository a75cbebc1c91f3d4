"""The plain lists of GitHub, by area: a declaration and a payload each."""

from .actions import DEPLOYMENT_STATUSES, DEPLOYMENTS, WORKFLOW_JOBS, WORKFLOW_RUN_ATTEMPTS, WORKFLOW_RUNS
from .code import TAGS
from .collection import Collection
from .metrics import TRAFFIC_CLONES, TRAFFIC_VIEWS
from .people import COLLABORATORS, MEMBERS, STARGAZERS, TEAMS
from .review import REVIEW_COMMENTS, REVIEWS
from .tracker import ISSUE_EVENTS, ISSUE_TYPES

COLLECTIONS: tuple[Collection, ...] = (
    TAGS,
    REVIEWS,
    REVIEW_COMMENTS,
    ISSUE_EVENTS,
    WORKFLOW_RUNS,
    WORKFLOW_RUN_ATTEMPTS,
    WORKFLOW_JOBS,
    DEPLOYMENTS,
    DEPLOYMENT_STATUSES,
    STARGAZERS,
    COLLABORATORS,
    TEAMS,
    MEMBERS,
    ISSUE_TYPES,
    TRAFFIC_VIEWS,
    TRAFFIC_CLONES,
)
