"""Terminal chat, command line, HTTP API and web page: thin, no recommendation logic."""
