"""One scrape of /metrics, read with the parser that belongs to its format."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain


class Scrape:
    def __init__(self, reply):
        self.type = reply.header("Content-Type")
        self.text = reply.body.decode()
        parse = openmetrics if "openmetrics" in self.type else plain
        self.families = {family.name: family for family in parse(self.text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def series(self, name, **labels):
        return [sample for sample in self.samples if sample.name == name
                and all(sample.labels.get(key) == value for key, value in labels.items())]

    def value(self, name, **labels):
        """The sum of the series with these labels; None when there is none."""
        found = self.series(name, **labels)
        return sum(sample.value for sample in found) if found else None
