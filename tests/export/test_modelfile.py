from __future__ import annotations

from pathlib import Path

import pytest

from so8t_core.export.modelfile import recipe_for, recognise_chat, render_modelfile
from so8t_core.model.loading import load_tokenizer

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def tokenizer(trained: Path):
    return load_tokenizer(trained / "base")


def rendered(tokenizer) -> str:
    form = recognise_chat(tokenizer)
    return render_modelfile(recipe_for(Path("gguf/m-Q8_0.gguf"), form, context_tokens=4096))


def test_phi3_turns_become_ollamas(tokenizer):
    assert rendered(tokenizer) == (
        "FROM ./gguf/m-Q8_0.gguf\n"
        'TEMPLATE """{{- range .Messages }}<|{{ .Role }}|>\n'
        "{{ .Content }}<|end|>\n"
        '{{ end }}<|assistant|>\n"""\n'
        'PARAMETER stop "<|end|>"\n'
        'PARAMETER stop "<|system|>"\n'
        'PARAMETER stop "<|user|>"\n'
        'PARAMETER stop "<|assistant|>"\n'
        "PARAMETER num_ctx 4096\n"
    )


def test_a_default_system_message_is_kept(tokenizer):
    tokenizer.chat_template = CHATML
    text = rendered(tokenizer)
    assert 'SYSTEM """Be kind."""' in text
    assert 'PARAMETER stop "<|im_end|>"' in text


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{{ messages[0]['content'] }}",
        "{{ raise_exception('no') }}",
        CHATML.replace("Be kind.", 'Three """ quotes.'),
        CHATML.replace("message['content'] +", "message['content'] | upper + ' ' +"),
    ],
)
def test_an_unknown_form_gives_no_template(tokenizer, template: str | None):
    tokenizer.chat_template = template
    assert recognise_chat(tokenizer) is None
    assert "TEMPLATE" not in rendered(tokenizer)
