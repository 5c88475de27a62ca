"""Files that XeLL starts on a console: a program for bare metal, a model and a prompt in a container."""
