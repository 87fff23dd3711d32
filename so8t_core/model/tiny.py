"""A random four-layer Phi-3 with a small Japanese tokenizer: for tests and hurried people."""

# transformers annotates only part of its classes
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from pathlib import Path

VOCABULARY = 512
SPECIAL_TOKENS = ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] "
    "+ '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)

_TRAINING_TEXT = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。",
    "これは日本語の文章です。質問に対して、できるだけ短く答えてください。",
    "東京都は日本の首都であり、多くの人が暮らしています。電車やバスの案内を見ることができます。",
    "このページについて、よくある質問とその答えをまとめました。詳しくはお問い合わせください。",
    "ソフトウェアの設定を変更するには、次の手順に従ってください。まずファイルを開きます。",
    "申請の手続きには、本人を確認できる書類が必要です。窓口または郵便で受け付けています。",
    "春は花が咲き、夏は暑く、秋は葉が色づき、冬は雪が降ります。季節ごとに料理も変わります。",
    "Please read the manual before you change the configuration of this program.",
    "The answer to the question is given below, step by step, with the commands to be run.",
)


def build_tiny(output: Path, *, seed: int) -> None:
    """Write the model folder: weights of the given seed in float32, tokenizer, chat template.

    Four layers, width 64, four heads on two key-value heads, vocabulary 512, untied head. The same
    seed gives the same bytes.
    """
    import torch
    from transformers import GenerationConfig, Phi3Config, Phi3ForCausalLM

    end = SPECIAL_TOKENS.index("<|end|>")
    config = Phi3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        original_max_position_embeddings=2048,
        initializer_range=0.1,  # logits worth comparing, although the model knows nothing
        bos_token_id=0,
        eos_token_id=end,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Phi3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=0, eos_token_id=[end, 0], pad_token_id=0
    )
    model.save_pretrained(output)
    _save_tokenizer(output)


def _save_tokenizer(output: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    filler, *roles, end = SPECIAL_TOKENS
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TRAINING_TEXT, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=filler,
        eos_token=end,
        pad_token=filler,
        unk_token=filler,
        extra_special_tokens=roles,
        model_max_length=2048,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(output)
