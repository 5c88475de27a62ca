"""An HTTP server before consoles that stay loaded: OpenAI's paths, and a page of the console."""
