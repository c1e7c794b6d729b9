"""marshmallow schemas, one file per area: what requests may hold and what responses hold."""
