"""Crawlee on the same site: robots.txt obeyed, storage on disk, no delays, links by selectolax.

python crawlee_spider.py PORT HOSTS FOLDER
"""

import logging
import sys
from datetime import timedelta
from urllib.parse import urljoin

import uvloop
from crawlee import ConcurrencySettings
from crawlee.configuration import Configuration
from crawlee.crawlers import HttpCrawler, HttpCrawlingContext
from crawlee.storage_clients import FileSystemStorageClient
from selectolax.lexbor import LexborHTMLParser

PORT, HOSTS, FOLDER = sys.argv[1], int(sys.argv[2]), sys.argv[3]


async def main() -> None:
    """Fetch every page once."""
    crawler = HttpCrawler(
        respect_robots_txt_file=True,
        configuration=Configuration(storage_dir=FOLDER),
        storage_client=FileSystemStorageClient(),
        concurrency_settings=ConcurrencySettings(
            min_concurrency=HOSTS, desired_concurrency=HOSTS, max_concurrency=HOSTS
        ),
        request_handler_timeout=timedelta(seconds=60),
        configure_logging=False,
    )

    @crawler.router.default_handler
    async def handle(context: HttpCrawlingContext) -> None:
        tree = LexborHTMLParser(await context.http_response.read())
        url = context.request.url
        links = [urljoin(url, node.attributes["href"]) for node in tree.css("a[href]")]
        await context.push_data(
            {"url": url, "title": tree.css_first("title").text(), "links": links}
        )
        await context.add_requests(links)

    await crawler.run([f"http://127.0.0.{number + 1}:{PORT}/p/0" for number in range(HOSTS)])


logging.disable(logging.WARNING)
uvloop.run(main())
