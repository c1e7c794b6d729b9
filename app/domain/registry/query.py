"""What a client asks of a list of model versions, and which page of it."""

from dataclasses import dataclass

from app.domain.errors import InvalidInput
from app.domain.registry.models import Registration, TrackedModel

SORTS = ("name", "creation_timestamp", "last_updated_timestamp")
VERDICT_SORTS = ("verdict", "since")
"""Orders by what the last checks say; the first is worst first, then the newest change."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a client asked of a list. `stage` is one of the four; `tags` are (key, value) pairs."""

    page: int | None = None
    page_size: int | None = None
    name: str | None = None
    stage: str | None = None
    alias: str | None = None
    model_type: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    sort: str | None = None


@dataclass(frozen=True, slots=True)
class FleetQuery(ListQuery):
    """What a client asked of versions and their verdicts. `verdict` is one of the four, `finding` a kind of finding."""

    verdict: str | None = None
    monitored: bool | None = None
    finding: str | None = None


EVERYTHING = ListQuery()
"""The query that asks for nothing in particular."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page lies in its list: `total` rows, `page` of `page_size` rows each."""

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
    """The value of the header `X-Pagination`, in flask-smorest's words."""
    told = {"total": page.total, "total_pages": page.total_pages}
    if not page.total:
        return told
    told |= {"first_page": 1, "last_page": page.total_pages, "page": page.page}
    if 1 < page.page <= page.total_pages + 1:
        told["previous_page"] = page.page - 1
    if page.page < page.total_pages:
        told["next_page"] = page.page + 1
    return told


def page_of(query: ListQuery, total: int, most: int) -> Page:
    """The page asked for: without `page` the first, of `most` rows where no size was named.

    Raises `InvalidInput` where more rows than `most` are asked for.
    """
    if query.page_size is not None and query.page_size > most:
        raise InvalidInput(f"page_size: at most {most} (MAX_MODELS_RETURNED).")
    return Page(total, query.page or 1, query.page_size or most)


def effective_type(model: TrackedModel, registration: Registration | None) -> str | None:
    """What it was registered for monitoring as, else what the registry says."""
    return registration.model_type if registration else model.model_type
