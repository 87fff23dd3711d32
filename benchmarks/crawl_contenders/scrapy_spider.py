"""Scrapy on the same site: robots.txt obeyed, JOBDIR on, delays 0, links by selectolax.

python scrapy_spider.py PORT HOSTS FOLDER
"""

import sys

import scrapy
from scrapy.crawler import CrawlerProcess
from selectolax.lexbor import LexborHTMLParser

PORT, HOSTS, FOLDER = sys.argv[1], int(sys.argv[2]), sys.argv[3]


class Pages(scrapy.Spider):
    """Every page from the hosts' roots."""

    name = "pages"

    async def start(self):
        for number in range(HOSTS):
            yield scrapy.Request(f"http://127.0.0.{number + 1}:{PORT}/p/0")

    def parse(self, response):
        tree = LexborHTMLParser(response.text)
        links = [response.urljoin(node.attributes["href"]) for node in tree.css("a[href]")]
        title = tree.css_first("title").text()
        yield {"url": response.url, "title": title, "links": links}
        for link in links:
            yield scrapy.Request(link)


process = CrawlerProcess(
    {
        "ROBOTSTXT_OBEY": True,
        "JOBDIR": f"{FOLDER}/job",
        "DOWNLOAD_DELAY": 0,
        "RANDOMIZE_DOWNLOAD_DELAY": False,
        "AUTOTHROTTLE_ENABLED": False,
        "CONCURRENT_REQUESTS": 64,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 8,
        "TELNETCONSOLE_ENABLED": False,
        "COOKIES_ENABLED": False,
        "LOG_LEVEL": "WARNING",
        "ASYNCIO_EVENT_LOOP": "uvloop.Loop",
        "FEEDS": {f"{FOLDER}/pages.jsonl": {"format": "jsonlines"}},
    }
)
process.crawl(Pages)
process.start()
