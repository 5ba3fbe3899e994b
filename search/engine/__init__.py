"""A resident index: its JSON API for programs, MCP for agents, and the client that commands use."""
