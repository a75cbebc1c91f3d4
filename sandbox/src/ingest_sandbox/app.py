"""The ASGI application: all APIs and the control routes over one world."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import Mount, Router

from .control import Control
from .example.api import PREFIX as EXAMPLE
from .example.api import ExampleApi
from .faults import Gate
from .github.api import PREFIX as GITHUB
from .github.api import GitHubApi
from .stripe.api import PREFIX as STRIPE
from .stripe.api import StripeApi
from .stripe.limits import Limits
from .world import World

GITHUB_TOKEN = "sandbox-github-token"
STRIPE_KEY = "sk_test_sandbox"
STRIPE_LIVE_KEY = "sk_live_sandbox"
EXAMPLE_TOKEN = "sandbox-example-token"


def create_app(
    world: World,
    *,
    github_tokens: Sequence[str] = (GITHUB_TOKEN,),
    github_quota: int = 5_000,
    github_border: int = 10_000,
    github_app_key: bytes | None = None,
    github_enterprise: bool = False,
    stripe_key: str = STRIPE_KEY,
    stripe_live_key: str = STRIPE_LIVE_KEY,
    stripe_limits: int | None = None,
    latency_ms: float = 0,
) -> Gate:
    """An ASGI application that serves `world`.

    `github_quota` is in requests an hour for each token, `github_border` in rows of a list after
    which page numbers end, `github_app_key` the public key of an App, and `github_enterprise` says
    whether it is a server of its own; see `ingest_sandbox.github.api`. `stripe_limits` enforces those of
    `ingest_sandbox.stripe.limits`, with so many requests a second in test mode.

    The application sets `Date` itself: uvicorn needs ``date_header=False``.
    """
    github = GitHubApi(
        world,
        tokens=github_tokens,
        quota=github_quota,
        border=github_border,
        app_key=github_app_key,
        enterprise=github_enterprise,
    )
    limits = Limits(stripe_limits) if stripe_limits else None
    stripe = StripeApi(world, key=stripe_key, live_key=stripe_live_key, limits=limits)
    control = Control(world, lambda: gate)
    app = Starlette(
        routes=[
            Mount(GITHUB, app=Router(github.routes(), redirect_slashes=False)),
            Mount(STRIPE, app=Router(stripe.routes())),
            Mount(EXAMPLE, app=Router(ExampleApi(world, token=EXAMPLE_TOKEN).routes())),
            Mount("/_sandbox", app=Router(control.routes())),
        ]
    )
    gate = Gate(app, world.now, latency_ms=latency_ms)
    return gate
