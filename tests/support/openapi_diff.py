# SPDX-License-Identifier: Apache-2.0
"""What a newer OpenAPI document of ours takes away from clients of an older one. Standard library only.

    python3 tests/support/openapi_diff.py OLD.json NEW.json    prints each breaking change; exit status 1 if there is one
"""
import json
import sys

METHODS = ("get", "put", "post", "delete", "patch")
SENT, GOT = "request", "answer"
LEAST, MOST = ("minimum", "minLength", "minItems", "minProperties"), ("maximum", "maxLength", "maxItems", "maxProperties")


def breaking_changes(old, new):
    """Sentences, one a change, in a stable order; none if every client of `old` can use `new`."""
    return _Comparison(old, new).run()


class _Comparison:
    def __init__(self, old, new):
        self.old, self.new, self.found, self.seen = old, new, [], set()

    def run(self):
        for kind in ("paths", "webhooks"):
            for path, item in self.old.get(kind, {}).items():
                newer = self.new.get(kind, {}).get(path)
                for method in METHODS:
                    if method not in item:
                        continue
                    place = f"{method.upper()} {path}"
                    if newer is None or method not in newer:
                        self.say(place, "is gone")
                    else:
                        self.operation(place, item[method], newer[method], webhook=kind == "webhooks")
        return self.found

    def say(self, place, what):
        line = f"{place}: {what}"
        if line not in self.found:
            self.found.append(line)

    @staticmethod
    def resolve(document, value):
        while isinstance(value, dict) and set(value) == {"$ref"}:
            node = document
            for part in value["$ref"].lstrip("#/").split("/"):
                node = node[part.replace("~1", "/").replace("~0", "~")]
            value = node
        return value

    def operation(self, place, old, new, webhook):
        if old.get("operationId") != new.get("operationId"):
            self.say(place, f"operationId {old.get('operationId')} became {new.get('operationId')}")
        self.security(place, old, new)
        self.parameters(place, old, new)
        sent, got = (GOT, SENT) if webhook else (SENT, GOT)
        before, after = old.get("requestBody"), new.get("requestBody")
        if after and not webhook and after.get("required") and not (before or {}).get("required"):
            self.say(place, "the body became required")
        if before and not after:
            self.say(place, "the body is gone")
        elif before:
            self.content(f"{place} body", before["content"], after["content"], sent)
        for status, answer in old.get("responses", {}).items():
            if not status.startswith("2"):
                continue
            if status not in new.get("responses", {}):
                self.say(place, f"answer {status} is gone")
                continue
            answer = self.resolve(self.old, answer)
            newer = self.resolve(self.new, new["responses"][status])
            self.content(f"{place} answer", answer.get("content", {}), newer.get("content", {}), got)
            for header in answer.get("headers", {}):
                if header not in newer.get("headers", {}):
                    self.say(place, f"answer header {header} is gone")

    def security(self, place, old, new):
        def ways(document, operation):
            all_ways = operation.get("security", document.get("security", []))
            return {(scheme, scope) for way in all_ways for scheme, scopes in way.items() for scope in (scopes or [""])}

        before, after = ways(self.old, old), ways(self.new, new)
        if not before and after:
            self.say(place, "needs a credential now")
        for scheme, scope in sorted(before - after):
            if after:
                self.say(place, f"{scheme} {scope or 'credential'} is not enough any more")

    def parameters(self, place, old, new):
        def named(document, operation):
            resolved = [self.resolve(document, p) for p in operation.get("parameters", [])]
            return {(p["in"], p["name"].lower() if p["in"] == "header" else p["name"]): p for p in resolved}

        before, after = named(self.old, old), named(self.new, new)
        for key, parameter in before.items():
            if key not in after:
                self.say(place, f"{key[0]} parameter {key[1]} is gone")
                continue
            if after[key].get("required") and not parameter.get("required"):
                self.say(place, f"{key[0]} parameter {key[1]} became required")
            self.schema(f"{place} parameter {key[1]}", parameter["schema"], after[key]["schema"], SENT)
        for key, parameter in after.items():
            if key not in before and parameter.get("required"):
                self.say(place, f"new required {key[0]} parameter {key[1]}")

    def content(self, place, old, new, direction):
        for media_type, media in old.items():
            if media_type not in new:
                self.say(place, f"{media_type} is gone")
            else:
                self.schema(place, media.get("schema", {}), new[media_type].get("schema", {}), direction)

    def schema(self, place, old, new, direction):
        key = (json.dumps(old, sort_keys=True), json.dumps(new, sort_keys=True), direction)
        if key in self.seen:
            return
        self.seen.add(key)
        if "$ref" in old:
            place = f"{direction} {old['$ref'].rsplit('/', 1)[-1]}"
        old, new = self.flat(self.old, old), self.flat(self.new, new)
        self.types(place, old, new, direction)
        self.bounds(place, old, new, direction)
        self.members(place, old, new, direction)
        for inner in ("items", "additionalProperties"):
            if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
                self.schema(f"{place}[]", old[inner], new[inner], direction)

    def flat(self, document, schema):
        """References followed, allOf and a nullable anyOf put together."""
        merged = {}
        parts = [{k: v for k, v in schema.items() if k not in ("$ref", "allOf", "anyOf")}]
        if "$ref" in schema:
            parts.append(self.flat(document, self.resolve(document, {"$ref": schema["$ref"]})))
        parts += [self.flat(document, part) for part in schema.get("allOf", [])]
        choices = [self.flat(document, part) for part in schema.get("anyOf", [])]
        if choices:
            kinds = sorted({kind for choice in choices for kind in self.kinds(choice)})
            parts += [choice for choice in choices if choice.get("type") != "null"] + [{"type": kinds}]
        for part in parts:
            for name, value in part.items():
                if name == "properties":
                    merged.setdefault(name, {}).update({k: v for k, v in value.items() if k not in merged[name] or v})
                elif name == "required":
                    merged[name] = sorted({*merged.get(name, []), *value})
                elif name == "type" and choices:
                    merged[name] = value
                else:
                    merged.setdefault(name, value)
        return merged

    @staticmethod
    def kinds(schema):
        kind = schema.get("type", [])
        kinds = {kind} if isinstance(kind, str) else set(kind)
        if schema.get("nullable"):
            kinds.add("null")
        return kinds

    def types(self, place, old, new, direction):
        before, after = self.kinds(old), self.kinds(new)
        # Clients send what the old document allows, and read what the new one may give. An integer is a number.
        lost = before - after if direction == SENT else after - before
        if direction == SENT and lost == {"integer"} and "number" in after:
            lost = set()
        if before and after and lost or bool(before) != bool(after):
            self.say(place, f"type {'/'.join(sorted(before)) or 'any'} became {'/'.join(sorted(after)) or 'any'}")
        if before == after and old.get("format") != new.get("format"):
            self.say(place, f"format {old.get('format')} became {new.get('format')}")
        for value in old.get("enum", []):
            if "enum" in new and value not in new["enum"]:
                self.say(place, f"value {value} is gone")
        if direction == SENT and "enum" in new and "enum" not in old:
            self.say(place, "only some values are allowed now")

    def bounds(self, place, old, new, direction):
        if direction != SENT:
            return
        for name in LEAST:
            if name in new and new[name] > old.get(name, float("-inf") if name == "minimum" else 0):
                self.say(place, f"{name} became {new[name]}")
        for name in MOST:
            if name in new and new[name] < old.get(name, float("inf")):
                self.say(place, f"{name} became {new[name]}")
        if "pattern" in new and new["pattern"] != old.get("pattern"):
            self.say(place, f"pattern became {new['pattern']}")

    def members(self, place, old, new, direction):
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            if name not in after:
                self.say(place, f"member {name} is gone")
                continue
            if direction == SENT and after[name].get("readOnly") and not schema.get("readOnly"):
                self.say(place, f"member {name} became read only")
            if direction == SENT and schema.get("readOnly"):
                continue
            self.schema(f"{place}.{name}", schema, after[name], direction)
        required_before, required_after = set(old.get("required", [])), set(new.get("required", []))
        if direction == SENT:
            for name in sorted(required_after - required_before):
                self.say(place, f"member {name} became required")
        else:
            for name in sorted(required_before - required_after):
                if name in after:
                    self.say(place, f"member {name} may be absent now")


def main(arguments):
    if len(arguments) != 2:
        sys.exit(__doc__)
    documents = []
    for name in arguments:
        with open(name, encoding="utf-8") as file:
            documents.append(json.load(file))
    changes = breaking_changes(*documents)
    print("\n".join(changes) if changes else "nothing breaks")
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
