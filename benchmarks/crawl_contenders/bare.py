"""The practical limit: aiohttp, selectolax and a set of seen URLs, nothing kept, no robots.txt.

python bare.py PORT HOSTS FOLDER
"""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import uvloop
from selectolax.lexbor import LexborHTMLParser


async def crawl(port: int, hosts: int, folder: Path) -> None:
    """Fetch every page once."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    seen = {f"http://127.0.0.{n + 1}:{port}/p/0" for n in range(hosts)}
    for url in sorted(seen):
        queue.put_nowait(url)
    with (folder / "pages.jsonl").open("w", encoding="utf-8") as kept:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=hosts)) as session:

            async def work() -> None:
                while True:
                    url = await queue.get()
                    async with session.get(url) as answer:
                        text = await answer.text()
                    tree = LexborHTMLParser(text)
                    title = tree.css_first("title").text()
                    links = [
                        urljoin(url, node.attributes["href"] or "") for node in tree.css("a[href]")
                    ]
                    kept.write(json.dumps({"url": url, "title": title, "links": links}) + "\n")
                    for link in links:
                        if link not in seen and "/private/" not in link:
                            seen.add(link)
                            queue.put_nowait(link)
                    queue.task_done()

            workers = [asyncio.create_task(work()) for _ in range(hosts)]
            await queue.join()
            for worker in workers:
                worker.cancel()


uvloop.run(crawl(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
