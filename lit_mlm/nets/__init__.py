"""`transformers` networks: loading, heads, packing, sharding; no Lightning."""
