"""GitHub as a forge: webhooks and polling in, comments, checks and deployments out."""
