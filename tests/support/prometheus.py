"""Reads a page of metrics as Prometheus does."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scraped:
    """The samples of one page."""

    samples: tuple[tuple[str, dict[str, str], float], ...]

    def sum(self, name: str, **labels: str) -> float:
        """All samples of this name with these labels, added up; 0 for none."""
        return sum(
            value for sample, has, value in self.samples if sample == name and labels.items() <= has.items()
        )

    def names(self) -> set[str]:
        """The names of all samples."""
        return {name for name, _, _ in self.samples}


def parse(page: str | bytes) -> Scraped:
    """The samples of ``page``."""
    text = page.decode() if isinstance(page, bytes) else page
    return Scraped(
        tuple(
            (sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
    )


async def scrape(url: str, **headers: str) -> Scraped:
    """What ``url`` answers under ``/metrics``, which must be a page."""
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{url}/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return parse(answer.text)
