"""How the pages of Stripe's lists continue: https://docs.stripe.com/api/pagination"""

from dataclasses import dataclass

from ingest_shared.columnar import Page
from ingest_shared.errors import PayloadError
from ingest_shared.reading.api import Response
from ingest_shared.reading.envelopes import HasMore, Request

PER_PAGE = 100


@dataclass(frozen=True, kw_only=True)
class Pages(HasMore):
    """Pages that continue after a row: an empty one contradicts the previous page, which said that there is more."""

    def following(self, request: Request, page: Page, response: Response) -> list[Request]:
        if not page.rows and self.after in request.params:
            raise PayloadError(
                f"the page after {request.params[self.after]} is empty, although there should be more rows"
            )
        return super().following(request, page, response)
