"""Renders the Helm chart by Helm's own library, and holds what comes out against the schemas of Kubernetes.

Reads a JSON array of cases, `{"values": …, "version": "1.33"}`, from standard input. Writes a JSON array with one object for
each: `{"documents": […]}`, or `{"refused": "why"}` where the schema of the values refuses them. A case `{"document": …,
"version": …}` is an object that is not rendered, but only held against its schema.
"""

import json
import pathlib
import sys

import helm_python
import jsonschema
import kubernetes_validate
import yaml

chart_folder = sys.argv[1]
# Objects of the Prometheus operator, which Kubernetes itself does not know.
CUSTOM = yaml.safe_load(pathlib.Path(__file__).with_name("operator.yaml").read_text())


def strict(schema):
    """Has every object refuse keys that it does not name, as Kubernetes does with `--validate=strict`."""
    if isinstance(schema, list):
        return [strict(of) for of in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(of) for key, of in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed["properties"] = {name: strict(of) for name, of in schema["properties"].items()}
        closed.setdefault("additionalProperties", False)
    return closed


def validate(document, version):
    custom = CUSTOM.get(document["kind"])
    if custom is None:
        kubernetes_validate.validate(document, version, strict=True)
        return
    if document["apiVersion"] != custom["apiVersion"]:
        raise jsonschema.ValidationError(f"{document['kind']} is of {custom['apiVersion']}")
    jsonschema.Draft202012Validator(strict(custom["schema"])).validate(document)
    # Its metadata are those of any object.
    any_object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": document["metadata"]}
    kubernetes_validate.validate(any_object, version, strict=True)


def documents(chart, values, version):
    rendered = chart.render(values, name="dns", namespace="office")
    found = []
    for path, text in sorted(rendered.items()):
        if path.endswith("NOTES.txt"):
            continue
        for document in yaml.safe_load_all(text):
            if document is None:
                continue
            validate(document, version)
            found.append(document)
    return found


def case(chart, of):
    if "document" in of:
        try:
            validate(of["document"], of["version"])
        except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
            return {"refused": error.message}
        return {"documents": [of["document"]]}
    try:
        chart.validate_schema(of["values"])
    except helm_python.HelmError as error:
        return {"refused": str(error)}
    return {"documents": documents(chart, of["values"], of["version"])}


linted = helm_python.lint(chart_folder)
if linted["errors"] or any(message["severity"] > 1 for message in linted["messages"]):
    sys.exit(f"helm lint: {linted}")
with helm_python.Chart.load(chart_folder) as chart:
    json.dump([case(chart, of) for of in json.load(sys.stdin)], sys.stdout)
