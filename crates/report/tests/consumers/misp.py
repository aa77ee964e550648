"""Reads an event as MISP's own library does, and says what came through."""

import json
import sys

from pymisp import MISPEvent
from pymisp.tools import GenericObjectGenerator  # noqa: F401 -- the templates must be there

text = open(sys.argv[1], encoding="utf-8").read()
event = MISPEvent()
event.load_file(sys.argv[1])
again = MISPEvent()
again.from_json(event.to_json())

given = json.loads(text)["Event"]
assert again.uuid == given["uuid"]
assert [one.uuid for one in again.objects] == [one["uuid"] for one in given["Object"]]
values = []
for mine, its in zip(given["Object"], again.objects):
    assert its.name == "ip-port" and its.template_uuid == mine["template_uuid"]
    # The template knows every relation, and the library's types are ours.
    template = its._definition["attributes"] if its._definition else None
    for attribute in its.attributes:
        if template:
            kind = template[attribute.object_relation]["misp-attribute"]
            assert kind == attribute.type, (attribute.object_relation, kind)
        assert attribute.to_ids is False
    # The library reads times; everything else comes back as it was.
    of_mine = [one["value"] for one in mine["Attribute"] if one["type"] != "datetime"]
    of_its = [one.value for one in its.attributes if one.type != "datetime"]
    assert [str(one) for one in of_its] == of_mine
    values.append(
        "%s:%s/%s" % tuple(its.get_attributes_by_relation(name)[0].value
                           for name in ("ip-dst", "dst-port", "protocol"))
    )
print(json.dumps({
    "info": event.info,
    "tags": sorted(tag.name for tag in event.tags),
    "servers": values,
    "flaws": [one.value for one in event.attributes],
}))
