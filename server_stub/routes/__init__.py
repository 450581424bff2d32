"""HTTP only: parse, ask the service, answer. One module per resource."""
