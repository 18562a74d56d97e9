"""The routes of the HTTP API, one module per group; ``convrec.serve.http`` puts them together."""
