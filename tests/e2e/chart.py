"""Renders the Helm chart by Helm's own library, and holds what comes out against the schemas of Kubernetes.

Reads a JSON array of cases, `{"values": …, "version": "1.33"}`, from standard input. Writes a JSON array with one object for
each: `{"documents": […]}`, or `{"refused": "why"}` where the schema of the values refuses them.
"""

import json
import sys

import helm_python
import kubernetes_validate
import yaml

chart_folder = sys.argv[1]
CUSTOM = {"ServiceMonitor", "PrometheusRule"}


def documents(chart, values, version):
    rendered = chart.render(values, name="dns", namespace="office")
    found = []
    for path, text in sorted(rendered.items()):
        if path.endswith("NOTES.txt"):
            continue
        for document in yaml.safe_load_all(text):
            if document is None:
                continue
            if document["kind"] not in CUSTOM:
                # Strict: a key that Kubernetes does not know is a mistake here.
                kubernetes_validate.validate(document, version, strict=True)
            found.append(document)
    return found


def case(chart, of):
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
