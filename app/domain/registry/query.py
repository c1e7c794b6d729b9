"""Queries of a list of model versions, and its pages."""

from dataclasses import dataclass

from app.domain.errors import InvalidInput
from app.domain.registry.models import Registration, TrackedModel

SORTS = ("name", "creation_timestamp", "last_updated_timestamp")
VERDICT_SORTS = ("verdict", "since")
"""Orders by the last check. `verdict` puts the worst first, and among equal verdicts the newest change."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A query of a list of versions. `stage` is one of `STAGES`; `tags` are (key, value) pairs.

    `owners` are those of which a version must have one; None among them stands for versions without an owner.
    """

    page: int | None = None
    page_size: int | None = None
    name: str | None = None
    stage: str | None = None
    alias: str | None = None
    model_type: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    owners: tuple[str | None, ...] = ()
    sort: str | None = None


@dataclass(frozen=True, slots=True)
class FleetQuery(ListQuery):
    """A query that also filters by verdict and finding. `verdict` is one of `VERDICTS`, `finding` a kind of finding.

    `model` is the whole name of a registered model. `at` asks for the fleet as it was at a time, in milliseconds.
    """

    model: str | None = None
    verdict: str | None = None
    monitored: bool | None = None
    finding: str | None = None
    at: int | None = None


EVERYTHING = ListQuery()
"""The query without filters, order or page."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list with `total` rows: the number `page`, from 1, with `page_size` rows per page."""

    total: int
    page: int
    page_size: int

    @property
    def total_pages(self) -> int:
        return -(-self.total // self.page_size)

    @property
    def rows(self) -> slice:
        first = (self.page - 1) * self.page_size
        return slice(first, first + self.page_size)


def pagination(page: Page) -> dict[str, int]:
    """The value of the header `X-Pagination`, with the keys of flask-smorest."""
    header = {"total": page.total, "total_pages": page.total_pages}
    if not page.total:
        return header
    header |= {"first_page": 1, "last_page": page.total_pages, "page": page.page}
    if 1 < page.page <= page.total_pages + 1:
        header["previous_page"] = page.page - 1
    if page.page < page.total_pages:
        header["next_page"] = page.page + 1
    return header


def page_of(query: ListQuery, total: int, most: int) -> Page:
    """The page that a query asks for: by default the first, with `most` rows.

    Raises `InvalidInput` if the query asks for more than `most` rows.
    """
    if query.page_size is not None and query.page_size > most:
        raise InvalidInput(f"page_size: at most {most} (MAX_MODELS_RETURNED).")
    return Page(total, query.page or 1, query.page_size or most)


def effective_type(model: TrackedModel, registration: Registration | None) -> str | None:
    """The model type of the registration, or without one that of the registry."""
    return registration.model_type if registration else model.model_type
