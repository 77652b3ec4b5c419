"""Tiny configurations for every architecture that `AutoModelForMaskedLM` lists (transformers 5).

Data only. `TINY[model_type]` holds the fields for `AutoConfig.for_model(model_type, **fields)`: one or two layers,
hidden size 32, 99 tokens, every dropout zero, so that two forward passes of the same batch agree to rounding.
`DENSE_ONLY` and `UNBUILDABLE` say why a type is not in `TINY`; each type is in exactly one of the three.

Rows of 16 tokens suit all of them. Perceiver takes exactly `max_position_embeddings` tokens, Reformer in training
mode a multiple of its chunk lengths (8 here), BigBird turns itself into full attention for good below 15; the others
take any length up to 64.
"""

from typing import Any

_TOKENS: dict[str, Any] = {"vocab_size": 99, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

_SHAPE: dict[str, Any] = {
    **_TOKENS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}

_BERT: dict[str, Any] = {**_SHAPE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

# Position ids count from pad_token_id + 1, so the table needs that many rows more than there are positions.
_ROBERTA: dict[str, Any] = {**_BERT, "pad_token_id": 1, "bos_token_id": 0, "max_position_embeddings": 66}

_LLAMA: dict[str, Any] = {**_SHAPE, "num_key_value_heads": 2, "attention_dropout": 0.0, "classifier_dropout": 0.0}

_XLM: dict[str, Any] = {
    **_TOKENS,
    "emb_dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 64,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}

_BART: dict[str, Any] = {
    **_TOKENS,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
}

_SIGLIP: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}

_MODERNBERT: dict[str, Any] = {
    **_SHAPE,
    "cls_token_id": 1,
    "sep_token_id": 2,
    "local_attention": 8,
    "attention_dropout": 0.0,
    "embedding_dropout": 0.0,
    "mlp_dropout": 0.0,
}

_ULTRABERT: dict[str, Any] = {**_LLAMA, "sliding_window": 8, "prediction_head_size": 24}

TINY: dict[str, dict[str, Any]] = {
    "albert": {**_BERT, "embedding_size": 16},
    "bart": _BART,
    "bert": _BERT,
    "big_bird": {**_BERT, "block_size": 2, "num_random_blocks": 1},
    "camembert": _ROBERTA,
    "convbert": {**_BERT, "embedding_size": 16, "conv_kernel_size": 3},
    "data2vec-text": _ROBERTA,
    "deberta": {**_BERT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {**_BERT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "share_att_key": True},
    "distilbert": {
        **_TOKENS,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
        "max_position_embeddings": 64,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "electra": {**_BERT, "embedding_size": 16},
    "ernie": _BERT,
    "esm": {**_ROBERTA, "mask_token_id": 4, "position_embedding_type": "rotary"},
    "esmc": {**_SHAPE, "mask_token_id": 4, "classifier_dropout": 0.0},
    "eurobert": {**_LLAMA, "mask_token_id": 4},
    "flaubert": _XLM,
    "fnet": _BERT,
    "funnel": {
        "vocab_size": 99,
        "pad_token_id": 0,
        "block_sizes": [1, 1],
        "num_decoder_layers": 1,
        "d_model": 32,
        "n_head": 4,
        "d_head": 8,
        "d_inner": 48,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
    },
    "gte": _BERT,
    "ibert": _ROBERTA,
    "jina_embeddings_v3": _ROBERTA,
    "layoutlm": {**_BERT, "max_2d_position_embeddings": 64},
    "longformer": {**_ROBERTA, "attention_window": 4},
    "luke": {**_ROBERTA, "entity_vocab_size": 9, "entity_emb_size": 16},
    "mbart": _BART,
    "megatron-bert": _BERT,
    "mobilebert": {**_BERT, "embedding_size": 16, "intra_bottleneck_size": 16, "num_feedforward_networks": 2},
    "modernbert": _MODERNBERT,
    "modernvbert": {"text_config": _MODERNBERT, "vision_config": _SIGLIP, "image_token_id": 98},
    "mpnet": _ROBERTA,
    "mra": _ROBERTA,
    "mvp": _BART,
    "neomme": {
        **_LLAMA,
        "num_attention_heads": 2,
        "head_dim": 16,
        "embedding_rank": 16,
        "sliding_window": 8,
        "patch_size": 8,
        "embedding_dim": 16,
    },
    "nomic_bert": _BERT,
    "nystromformer": {**_BERT, "segment_means_seq_len": 8, "num_landmarks": 8, "conv_kernel_size": 5},
    "perceiver": {
        "vocab_size": 99,
        "max_position_embeddings": 16,
        "num_latents": 8,
        "d_latents": 32,
        "d_model": 32,
        "num_self_attends_per_block": 1,
        "num_self_attention_heads": 4,
        "num_cross_attention_heads": 4,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.5,
    },
    "reformer": {
        **_TOKENS,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "attention_head_size": 8,
        "attn_layers": ["local", "lsh"],
        "feed_forward_size": 48,
        "axial_pos_embds": False,
        "max_position_embeddings": 64,
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
        "num_buckets": 4,
        "hash_seed": 0,
        "hidden_dropout_prob": 0.0,
        "local_attention_probs_dropout_prob": 0.0,
        "lsh_attention_probs_dropout_prob": 0.0,
    },
    "rembert": {**_BERT, "input_embedding_size": 16, "output_embedding_size": 40},
    "roberta": _ROBERTA,
    "roberta-prelayernorm": _ROBERTA,
    "roc_bert": {
        **_BERT,
        "pronunciation_embed_dim": 8,
        "pronunciation_vocab_size": 9,
        "shape_embed_dim": 8,
        "shape_vocab_size": 9,
    },
    "roformer": {**_BERT, "embedding_size": 16},
    "squeezebert": {**_BERT, "embedding_size": 32},
    "tapas": _BERT,
    "ultrabert": _ULTRABERT,
    "ultravbert": {"text_config": _ULTRABERT, "vision_config": _SIGLIP, "image_token_id": 98},
    "xlm": _XLM,
    "xlm-roberta": _ROBERTA,
    "xlm-roberta-xl": _ROBERTA,
    "xmod": {**_ROBERTA, "languages": ["en_XX"], "default_language": "en_XX"},
    "yoso": {**_ROBERTA, "use_expectation": True},
}

# Both empty with transformers 5.23.
DENSE_ONLY: dict[str, str] = {}

UNBUILDABLE: dict[str, str] = {}
