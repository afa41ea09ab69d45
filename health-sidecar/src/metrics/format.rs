//! The two formats of the page, and who gets which.
//!
//! Prometheus' text format is what everybody reads; OpenMetrics is its standardised successor. They differ in
//! what a counter's family is called, in `# UNIT`, in the type of an info metric and in the end, `# EOF`.
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use std::fmt::{Display, Write as _};

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format for a client that sends these `Accept` headers: OpenMetrics where it is named and wanted no
    /// less than plain text, else Prometheus' own.
    pub fn accepted<'a>(headers: impl Iterator<Item = &'a str>) -> Self {
        let (mut open, mut plain) = (0.0, Preference::default());
        for range in headers.flat_map(|header| header.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut weight, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => weight = value.trim().parse::<f32>().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            match media_type.as_str() {
                "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                    open = weight.max(open);
                }
                "text/plain" if matches!(version, None | Some("0.0.4")) => plain.take(3, weight),
                "text/*" => plain.take(2, weight),
                "*/*" => plain.take(1, weight),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain.weight { Self::OpenMetrics } else { Self::Prometheus }
    }
}

/// How much a type is wanted: what names it most closely decides.
#[derive(Default)]
struct Preference {
    closeness: u8,
    weight: f32,
}

impl Preference {
    fn take(&mut self, closeness: u8, weight: f32) {
        if closeness > self.closeness {
            *self = Self { closeness, weight };
        } else if closeness == self.closeness {
            self.weight = self.weight.max(weight);
        }
    }
}

/// What is fixed about a metric.
#[derive(Debug)]
pub struct Family {
    /// Its name, as dashboards use it: that of a counter ends in `_total`, that of an info in `_info`.
    pub name: &'static str,
    kind: Kind,
    help: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
    Info,
}

impl Family {
    /// A value that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, help }
    }

    /// A value that only goes up.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, help }
    }

    /// Values, counted by their size.
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, help }
    }

    /// Always 1; what it tells is in its labels.
    pub const fn info(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Info, help }
    }

    /// The unit, which the name ends in.
    fn unit(name: &str) -> Option<&'static str> {
        ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit))
    }
}

/// A page under construction.
///
/// Label values are `&'static str`, so that none can come from outside: they need no escaping, and there are
/// only so many.
pub struct Page {
    text: String,
    format: Format,
}

impl Page {
    /// An empty page with room for so many bytes.
    pub fn new(format: Format, room: usize) -> Self {
        Self { text: String::with_capacity(room), format }
    }

    /// The head of a family; its samples come next.
    pub fn family(&mut self, family: &Family) {
        let Family { name, kind, help } = *family;
        let (name, kind) = match (self.format, kind) {
            (_, Kind::Gauge) | (Format::Prometheus, Kind::Info) => (name, "gauge"),
            (_, Kind::Histogram) => (name, "histogram"),
            (Format::Prometheus, Kind::Counter) => (name, "counter"),
            (Format::OpenMetrics, Kind::Counter) => (name.trim_end_matches("_total"), "counter"),
            (Format::OpenMetrics, Kind::Info) => (name.trim_end_matches("_info"), "info"),
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, Family::unit(name)) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
    }

    /// A family of one sample, or of none while the value is not known.
    pub fn single(&mut self, family: &Family, value: Option<impl Display>) {
        self.family(family);
        if let Some(value) = value {
            self.line(format_args!("{} {value}", family.name));
        }
    }

    /// A sample with a label.
    pub fn labelled(&mut self, family: &Family, label: (&'static str, &'static str), value: impl Display) {
        self.line(format_args!("{}{{{}=\"{}\"}} {value}", family.name, label.0, label.1));
    }

    /// How many values of a histogram are at most `bound`.
    pub fn bucket(&mut self, family: &Family, bound: &'static str, count: u64) {
        self.line(format_args!("{}_bucket{{le=\"{bound}\"}} {count}", family.name));
    }

    /// The end of a histogram.
    pub fn sum_and_count(&mut self, family: &Family, sum: f64, count: u64) {
        self.line(format_args!("{}_sum {sum}", family.name));
        self.line(format_args!("{}_count {count}", family.name));
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.line(format_args!("# EOF"));
        }
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_names_openmetrics_and_wants_it_no_less_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            prometheus,
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "Application/OpenMetrics-Text;Version=\"1.0.0\"",
            "text/plain, application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.1",
            "*/*, text/plain;q=0.2, application/openmetrics-text;q=0.3",
        ] {
            assert_eq!(Format::accepted([accept].into_iter()), Format::OpenMetrics, "{accept}");
        }
        assert_eq!(
            Format::accepted(["text/plain;q=0.1", "application/openmetrics-text"].into_iter()),
            Format::OpenMetrics
        );
    }

    #[test]
    fn everybody_else_gets_the_text_format() {
        for accept in [
            "",
            "*/*",
            "text/html,*/*;q=0.8",
            "text/plain",
            "application/json",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0,text/plain;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=wrong",
            "application/openmetrics-text;q=0.2, text/plain;q=0.3",
            "application/openmetrics-text;q=0.2, */*",
            ";;;,,,==;q=;",
        ] {
            assert_eq!(Format::accepted([accept].into_iter()), Format::Prometheus, "{accept}");
        }
        assert_eq!(Format::accepted([].into_iter()), Format::Prometheus);
    }
}
