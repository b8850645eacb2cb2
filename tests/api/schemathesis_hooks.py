"""Bodies that schemathesis does not know how to write: lines of JSON, which the document calls bytes."""
import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    return value if isinstance(value, bytes) else bytes(str(value), "utf-8")
