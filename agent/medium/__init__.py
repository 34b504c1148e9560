"""Installation media as values: names, menus, what is laid over an image and where. No tools."""
