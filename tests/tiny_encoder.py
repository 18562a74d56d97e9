"""A BERT of two small layers with random weights, saved like the real sentence encoder: the real code runs on it in no
time."""

from __future__ import annotations

from pathlib import Path

WORDS = "scary monster space laugh crime thief funny see try take something like user system : @ bye please then a with"


def make(folder: Path) -> Path:
    """Write config.json, model.safetensors and tokenizer.json to ``folder``; returns it."""
    import tokenizers
    import torch
    from transformers import BertConfig, BertModel

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS.split()])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
    )
    BertModel(config).save_pretrained(folder)
    return folder
