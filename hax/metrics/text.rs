//! The text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write};

use super::Histogram;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// A text that is being written. A metric is a call of [`Text::metric`], then its samples.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// What the text is, for the header `Content-Type`.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a metric. `help` is one line about its meaning.
    pub fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.head(name, kind, help);
    }

    /// A sample of the metric that was begun.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            self.escaped(text, true);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        // A string takes everything.
        let _ = writeln!(self.0, " {value}");
    }

    /// A metric with one sample without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A whole histogram, in seconds.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        let (buckets, count, sum) = histogram.cumulative();
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (seconds, below) in buckets {
            self.sample(&bucket, &[("le", &seconds.to_string())], below);
        }
        self.sample(&bucket, &[("le", "+Inf")], count);
        self.sample(&format!("{name}_sum"), &[], sum);
        self.sample(&format!("{name}_count"), &[], count);
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} ");
        self.escaped(help.trim(), false);
        let _ = writeln!(self.0, "\n# TYPE {name} {kind}");
    }

    fn escaped(&mut self, text: &str, quotes: bool) {
        for character in text.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '"' if quotes => self.0.push_str("\\\""),
                other => self.0.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn help_labels_and_values_are_written_as_prometheus_reads_them() {
        let mut text = Text::default();
        text.single("hax_a_total", Kind::Counter, " One\nline, \"one\" \\.", 3);
        text.metric("hax_b", Kind::Gauge, "B.");
        text.sample("hax_b", &[("x", "a\"b\\c\nd"), ("y", "")], 1.5);
        let expected = "# HELP hax_a_total One\\nline, \"one\" \\\\.\n\
            # TYPE hax_a_total counter\n\
            hax_a_total 3\n\
            # HELP hax_b B.\n\
            # TYPE hax_b gauge\n\
            hax_b{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 1.5\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_at_its_count() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(100));
        histogram.record(Duration::from_secs(1000));
        let mut text = Text::default();
        text.histogram("hax_x_seconds", "X.", &histogram);
        let text = text.finish();
        for line in [
            "# TYPE hax_x_seconds histogram",
            "hax_x_seconds_bucket{le=\"0.000064\"} 0",
            "hax_x_seconds_bucket{le=\"0.000128\"} 1",
            "hax_x_seconds_bucket{le=\"67.108864\"} 1",
            "hax_x_seconds_bucket{le=\"+Inf\"} 2",
            "hax_x_seconds_sum 1000.0001",
            "hax_x_seconds_count 2",
        ] {
            assert!(
                text.lines().any(|written| written == line),
                "{line}\n{text}"
            );
        }
    }
}
