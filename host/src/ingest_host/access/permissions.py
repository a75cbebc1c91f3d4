"""The permissions of a request's sender, by which the UI greys out buttons and GraphQL refuses mutations."""

from collections.abc import Iterable, Mapping
from typing import Any

from dagster import AssetCheckKey, AssetKey
from dagster._core.storage.tags import REPORTING_USER_TAG, USER_TAG
from dagster._core.workspace.context import IWorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.permissions import LOCATION_SCOPED_PERMISSIONS, PermissionResult, Permissions

from ingest_host.access.policy import NOBODY, PERMISSIONS, Role, Viewer

VIEWER = "ingest.viewer"
"""The key in a request's ASGI scope that holds its sender."""


class ViewerContext(WorkspaceRequestContext):
    """A request's view of the workspace, with the permissions of its viewer."""

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
        """Returns whether the viewer has a permission; for an asset, in every location that defines it.

        Otherwise a location could claim another's asset by defining it, too.
        """
        allowed = super().has_permission_for_selector(permission, selector)
        if allowed and isinstance(selector, (AssetKey, AssetCheckKey)):
            key = selector if isinstance(selector, AssetKey) else selector.asset_key
            return self.allows(permission, self.locations_of([key]))
        return allowed

    def get_viewer_tags(self) -> dict[str, str]:
        """Returns the tag that the UI shows as "launched by"."""
        return {USER_TAG: self.viewer.name}

    def get_reporting_user_tags(self) -> dict[str, str]:
        return {REPORTING_USER_TAG: self.viewer.name}

    def locations_of(self, keys: Iterable[AssetKey]) -> frozenset[str] | None:
        """Returns every location that defines one of the assets; None if one of them is no longer defined anywhere."""
        names: set[str] = set()
        for key in keys:
            if not self.asset_graph.has(key):
                return None
            names |= {info.handle.location_name for info in self.asset_graph.get(key).repo_scoped_asset_infos}
        return frozenset(names) or None

    def allows(self, permission: str, locations: frozenset[str] | None) -> bool:
        """Returns whether the viewer has a permission in each of the locations; None stands for all of them."""
        return self.viewer.may(permission, None) or (
            locations is not None and all(self.viewer.may(permission, location) for location in locations)
        )

    def _result(self, permission: Permissions, location: str | None) -> PermissionResult:
        allowed = self.viewer.may(permission, location)
        return PermissionResult(allowed, None if allowed else missing_role(permission, location))


def missing_role(permission: str, location: str | None) -> str:
    """Returns which role is needed, as the UI shows it next to a greyed-out button."""
    needed = next((role for role, allowed in PERMISSIONS.items() if permission in allowed), None)
    if needed is None:
        return "Not possible on this platform"
    where = f" of {location}" if location and needed is not Role.ADMIN else ""
    return f"This needs the role {needed}{where}"
