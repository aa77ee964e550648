"""Checks files of OCSF events, one a line, against the schemas of their classes; counts these."""

import json
import sys

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

CLASSES = {
    2002: "vulnerability_finding",
    2003: "compliance_finding",
    6007: "scan_activity",
}

schemas = {}


def validator(name, version):
    if name not in schemas:
        embedded = OcsfJsonSchemaEmbedded(get_ocsf_schema(version))
        schemas[name] = jsonschema.Draft202012Validator(embedded.get_class_schema(name))
    return schemas[name]


def classes_of(path):
    seen = {}
    for line in open(path, encoding="utf-8"):
        event = json.loads(line)
        name = CLASSES[event["class_uid"]]
        errors = validator(name, event["metadata"]["version"]).iter_errors(event)
        errors = ["%s: %s" % (one.json_path, one.message[:300]) for one in errors]
        assert not errors, errors
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"], line
        seen[name] = seen.get(name, 0) + 1
    return seen


print(json.dumps([classes_of(path) for path in sys.argv[1:]]))
