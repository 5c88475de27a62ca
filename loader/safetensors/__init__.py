"""safetensors, Hugging Face's file format, and folders of it. Source: safetensors, `README.md` (Format)."""
