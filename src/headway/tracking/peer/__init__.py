"""An ordinary MLflow server beside this one: read over its REST API, by explicit address and login."""
