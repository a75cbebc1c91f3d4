"""What Dagster's webserver asks about whoever sent a request: the UI greys out by it, GraphQL refuses by it."""

from collections.abc import Iterable, Mapping
from typing import Any

from dagster import AssetCheckKey, AssetKey
from dagster._core.storage.tags import REPORTING_USER_TAG, USER_TAG
from dagster._core.workspace.context import IWorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.permissions import LOCATION_SCOPED_PERMISSIONS, PermissionResult, Permissions

from ingest_host.access.policy import NOBODY, PERMISSIONS, Role, Viewer

VIEWER = "ingest.viewer"
"""Where a request's ASGI scope says who sent it."""


class ViewerContext(WorkspaceRequestContext):
    """A request's view of the workspace, with the rights of its viewer."""

    def __init__(self, process: IWorkspaceProcessContext[Any], source: Any) -> None:
        workspace = process.get_current_workspace()  # type: ignore[attr-defined]
        super().__init__(process.instance, workspace, process, process.version, source, read_only=True)
        self.viewer: Viewer = source.scope.get(VIEWER, NOBODY) if source is not None else NOBODY

    @property
    def permissions(self) -> Mapping[str, PermissionResult]:
        return {one: self._result(one, None) for one in Permissions}

    def permissions_for_location(self, *, location_name: str) -> Mapping[str, PermissionResult]:
        return {one: self._result(one, location_name) for one in LOCATION_SCOPED_PERMISSIONS}

    def has_permission_for_selector(self, permission: str, selector: Any) -> bool:
        """An asset that two locations define is of both: or else one could name another's as its own."""
        allowed = super().has_permission_for_selector(permission, selector)
        if allowed and isinstance(selector, (AssetKey, AssetCheckKey)):
            key = selector if isinstance(selector, AssetKey) else selector.asset_key
            return self.allows(permission, self.locations_of([key]))
        return allowed

    def get_viewer_tags(self) -> dict[str, str]:
        """What the UI shows as "launched by"."""
        return {USER_TAG: self.viewer.name}

    def get_reporting_user_tags(self) -> dict[str, str]:
        return {REPORTING_USER_TAG: self.viewer.name}

    def locations_of(self, keys: Iterable[AssetKey]) -> frozenset[str] | None:
        """Every location that defines one of the assets; None where none defines some of them any more."""
        names: set[str] = set()
        for key in keys:
            if not self.asset_graph.has(key):
                return None
            names |= {info.handle.location_name for info in self.asset_graph.get(key).repo_scoped_asset_infos}
        return frozenset(names) or None

    def allows(self, permission: str, locations: frozenset[str] | None) -> bool:
        """Whether the viewer has a permission in each of the locations; None stands for all of them."""
        return self.viewer.may(permission, None) or (
            locations is not None and all(self.viewer.may(permission, location) for location in locations)
        )

    def _result(self, permission: Permissions, location: str | None) -> PermissionResult:
        allowed = self.viewer.may(permission, location)
        return PermissionResult(allowed, None if allowed else missing_role(permission, location))


def missing_role(permission: str, location: str | None) -> str:
    """What one would need, as the UI says it beside a button that is greyed out."""
    needed = next((role for role, allowed in PERMISSIONS.items() if permission in allowed), None)
    if needed is None:
        return "Not possible on this platform"
    where = f" of {location}" if location and needed is not Role.ADMIN else ""
    return f"This needs the role {needed}{where}"
