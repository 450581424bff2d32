"""The contract as an OpenAPI 3.1 document, written beside the routes; a test holds the two together."""
