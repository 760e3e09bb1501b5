"""The manual pages, made from what ``--help`` and the configuration are made from."""
