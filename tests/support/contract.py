# SPDX-License-Identifier: Apache-2.0
"""Routes and schemas out of /openapi.json: for tests that must hold for every one of them, also for those to come."""
import re

METHODS = ("get", "post", "put", "patch", "delete")


class Route:
    def __init__(self, contract, method, path, operation):
        self.method, self.path, self.operation = method.upper(), path, operation
        self.name = operation["operationId"]
        self.parameters = [contract.resolve(one) for one in operation.get("parameters", [])]
        self.public = operation.get("security") == []
        body = contract.resolve(operation.get("requestBody", {})).get("content", {})
        self.media_type, content = next(iter(body.items()), ("", {}))
        # The schema of a JSON body; None where there is no body, or one of bytes.
        self.schema = content.get("schema") if "json" in self.media_type else None
        scopes = [one["oauth2"] for one in operation.get("security", []) if "oauth2" in one]
        self.scope = scopes[0][0] if scopes else ""
        found = re.search(r"Roles: ([a-z, ]+)\.", operation.get("description", ""))
        self.roles = set(found.group(1).replace(" or ", ", ").split(", ")) if found else set()

    def __repr__(self):
        return f"{self.method} {self.path}"

    @property
    def noun(self):
        """Whose path it is: "bookings" of /v1/bookings/{id}:cancel."""
        return re.split(r"[/:]", self.path)[2] if self.path.startswith("/v1/") else ""

    @property
    def path_parameters(self):
        return re.findall(r"\{([a-z0-9_]+)\}", self.path)

    @property
    def query(self):
        return [one for one in self.parameters if one["in"] == "query"]

    @property
    def writes(self):
        return self.method != "GET"

    @property
    def needs_key(self):
        """Whether an Idempotency-Key must stand there."""
        return any(one["in"] == "header" and one["name"] == "Idempotency-Key" and one.get("required") for one in self.parameters)

    @property
    def needs_tag(self):
        return any(one["in"] == "header" and one["name"] == "If-Match" for one in self.parameters)

    def at(self, *values):
        """The path with its parameters filled in."""
        path = self.path
        for value in values:
            path = re.sub(r"\{[a-z0-9_]+\}", lambda _: value, path, count=1)
        return path


class Contract:
    def __init__(self, document):
        self.document = document
        self.routes = [Route(self, method, path, operation) for path, operations in document["paths"].items()
                       for method, operation in operations.items() if method in METHODS]

    def resolve(self, node):
        """The node itself, references followed."""
        while "$ref" in node:
            found = self.document
            for part in node["$ref"][2:].split("/"):
                found = found[part]
            node = found
        return node

    def route(self, name):
        return next(route for route in self.routes if route.name == name)

    def fields(self, schema, deep=6, _path=()):
        """(path, schema, read only) of every field that a body may name, arrays by their element 0. What is read only is not gone
        into."""
        schema = self.resolve(schema)
        if deep == 0:
            return
        for name, node in schema.get("properties", {}).items():
            path, target = _path + (name,), self.resolve(node)
            read_only = bool(node.get("readOnly") or target.get("readOnly"))
            yield path, target, read_only
            if read_only:
                continue
            if "properties" in target:
                yield from self.fields(target, deep - 1, path)
            elif target.get("type") == "array" and "properties" in self.resolve(target["items"]):
                yield from self.fields(target["items"], deep - 1, path + (0,))

    def sample(self, schema, other_than=None):
        """A value of the schema's type that is not its default, nor `other_than`."""
        schema = self.resolve(schema)
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) else kind
        if "enum" in schema:
            return next(value for value in schema["enum"] if value != other_than)
        if kind == "array":
            return [self.sample(schema["items"])]
        if kind == "object":
            return {"x": "y"} if "additionalProperties" in schema else {}
        if kind == "boolean":
            return other_than is not True
        if kind in ("integer", "number"):
            return 987 if other_than != 987 else 986
        if schema.get("format") == "date-time":
            return "2031-02-03T04:05:06Z"
        return "987654" if schema.get("format") == "int64" else "sample"


def nested(path, value):
    """{"a": {"b": [value]}} of ("a", "b", 0)."""
    for part in reversed(path):
        value = [value] if part == 0 else {part: value}
    return value


def pointer(path):
    return "#/" + "/".join(str(part) for part in path)


def put(body, path, value):
    """`body` with `value` along the path, whatever else it holds."""
    if not path:
        return value
    if path[0] == 0:
        return [put((body or [{}])[0], path[1:], value)] + (body or [])[1:]
    return {**(body or {}), path[0]: put((body or {}).get(path[0]), path[1:], value)}
