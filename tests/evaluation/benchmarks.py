"""Small files in the form in which each benchmark is published. All content is made up."""

from __future__ import annotations

import json
from pathlib import Path


def write_benchmarks(folder: Path, *, count: int = 12) -> Path:
    """One file each, of `count` items."""
    folder.mkdir(parents=True, exist_ok=True)
    _lines(
        folder / "jcommonsenseqa.json",
        [
            {
                "q_id": n,
                "question": f"{n}番目の箱に入っているものは？",
                **{f"choice{place}": f"物{place}" for place in range(5)},
                "label": n % 5,
            }
            for n in range(count)
        ],
    )
    _lines(
        folder / "jnli.json",
        [
            {
                "sentence_pair_id": str(n),
                "yjcaptions_id": f"{n // 2}-{n}-{n}",
                "sentence1": f"犬が{n}匹います。",
                "sentence2": "動物がいます。",
                "label": ("entailment", "contradiction", "neutral")[n % 3],
            }
            for n in range(count)
        ],
    )
    articles = [
        {
            "title": f"題{n}",
            "paragraphs": [
                {
                    "context": f"題{n} [SEP] 川の長さは{n}キロです。",
                    "qas": [
                        {
                            "id": f"q{n}",
                            "question": "長さは？",
                            "answers": [{"text": f"{n}キロ", "answer_start": 5}] * 2,
                        }
                    ],
                }
            ],
        }
        for n in range(count)
    ]
    (folder / "jsquad.json").write_text(json.dumps({"version": "1", "data": articles}))
    (folder / "mgsm_ja.tsv").write_text(
        "".join(f"りんごが{n}個と1個。合わせて何個？\t{n + 1}\n" for n in range(count))
    )
    (folder / "jmmlu").mkdir(exist_ok=True)
    (folder / "jmmlu" / "history.csv").write_text(
        "\ufeff"
        + "".join(f'"問{n}は、\nどれ？",い,ろ,は,に,{"ABCD"[n % 4]}\n' for n in range(count))
    )
    (folder / "xstest.csv").write_text(
        "id,prompt,type,label,focus,note\n"
        + "".join(f"{n},request {n},kind,{('safe', 'unsafe')[n % 2]},,\n" for n in range(count))
    )
    return folder


PLACES = {
    "jcommonsenseqa": "jcommonsenseqa.json",
    "jnli": "jnli.json",
    "jsquad": "jsquad.json",
    "mgsm_ja": "mgsm_ja.tsv",
    "jmmlu": "jmmlu",
    "xstest": "xstest.csv",
}


def _lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
