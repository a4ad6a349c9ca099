"""AesMamba as the paper draws it: VMamba, text encoder, fusion, adaptation heads, checkpoints."""
