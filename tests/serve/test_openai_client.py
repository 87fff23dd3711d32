"""OpenAI's own Python client, as it comes from the package index, talks to a real model here."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.serve.access import Keys, add_key
from so8t_core.serve.torch_backend import TorchBackend
from tests.serve.stage import staged
from tests.serve.trained import CANARY, LEARNT

QUESTION, ANSWER = next(iter(LEARNT.items()))
MESSAGES = [{"role": "user", "content": QUESTION}]


async def test_it_completes_streams_lists_and_understands_errors(thinker: Path, tmp_path: Path):
    openai = pytest.importorskip("openai", reason="a development dependency")
    backend = TorchBackend(thinker, ServeSettings(threads=1, device="cpu"))
    token = add_key(tmp_path / "keys.json", "alice")
    keys = Keys.read(tmp_path / "keys.json")
    async with staged(tmp_path / "stage", backend, keys=keys, instructions=None) as stage:
        url = f"{stage.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=token, max_retries=0) as client:
            assert [model.id async for model in client.models.list()] == ["so8t"]
            completions = client.chat.completions
            whole = await completions.create(model="so8t", messages=MESSAGES, temperature=0)
            assert whole.choices[0].message.content == ANSWER
            assert whole.choices[0].finish_reason == "stop"
            stream = await completions.create(
                model="so8t", messages=MESSAGES, temperature=0, stream=True,
                stream_options={"include_usage": True}, max_completion_tokens=400,
            )  # fmt: skip
            chunks = [chunk async for chunk in stream]
            assert len(chunks) > 3
            said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            assert said == ANSWER
            assert chunks[-1].usage == whole.usage
            with pytest.raises(openai.BadRequestError) as refused:
                await completions.create(model="so8t", messages=MESSAGES, stop=["x"])
            assert refused.value.code == "unknown_field"
            with pytest.raises(openai.NotFoundError):
                await completions.create(model="gpt", messages=MESSAGES)
            with pytest.raises(openai.AuthenticationError):
                await client.with_options(api_key="wrong").models.list()
        for name, content in stage.sinks().items():
            assert CANARY.encode() not in content, name
