"""Keys of a `config.json` that all families have: which of them change nothing, which the user is told of, and which must
have one value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HARMLESS = frozenset({
    # names of the model and its files
    "_name_or_path", "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "auto_map",
    "tokenizer_class", "prefix", "language", "finetuning_task", "task_specific_params", "problem_type", "id2label",
    "label2id", "num_labels",
    # tokens with a meaning of their own
    "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id", "mask_token_id",
    "decoder_start_token_id",
    # dropout and initial values
    "initializer_range", "initializer_factor", "attention_dropout", "attention_probs_dropout_prob",
    "hidden_dropout_prob", "resid_pdrop", "embd_pdrop", "attn_pdrop", "embd_layer_norm_pdrop", "hidden_dropout",
    "embedding_dropout", "dropout", "classifier_dropout",
    # what is returned, and how text is generated
    "use_cache", "cache_implementation", "output_attentions", "output_hidden_states", "output_router_logits",
    "return_dict", "return_dict_in_generate", "torchscript", "use_bfloat16", "do_sample", "temperature", "top_p",
    "max_length", "min_length", "num_beams", "max_new_tokens", "repetition_penalty",
    # losses beside the model
    "router_aux_loss_coef", "router_jitter_noise", "aux_loss_alpha", "seq_aux",
    # how a machine runs it
    "ep_size", "pretraining_tp", "gradient_checkpointing", "attn_implementation", "_attn_implementation",
    "_attn_implementation_autoset", "chunk_size_feed_forward", "tie_encoder_decoder",
    # how scores and rotations are scaled
    "reorder_and_upcast_attn", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "rope_scaling",
    "rope_interleave", "original_max_position_embeddings", "initial_context_length", "n_ctx", "swiglu_limit",
    "swiglu_alpha",
    # heads of tasks that are not built here
    "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout",
    "directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers",
    "pooler_size_per_head", "pooler_type",
})  # fmt: skip
"""Keys that change neither a shape nor, as far as time and memory go, what is computed."""

NOTED: Mapping[str, str] = {
    "quantization_config": "weights are stored quantized there; here that is said with 'precision'",
    "compression_config": "weights are stored compressed there; here that is said with 'precision'",
    "num_nextn_predict_layers": "layers that predict further tokens (MTP) are left out, as transformers does",
    "num_mtp_layers": "layers that predict further tokens (MTP) are left out, as transformers does",
}
"""Keys of any family of which the user is told something."""

ONLY: Mapping[str, tuple[Any, ...]] = {"is_encoder_decoder": (False, None), "cross_attention_hidden_size": (None,)}
"""Keys of any family that must have one of these values."""
