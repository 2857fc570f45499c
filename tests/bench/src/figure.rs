//! A figure: what was measured, what it should reach, and whether it does. Told as a line of a table, or as a line of JSON for whoever
//! gathers figures of several programs.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// This much, or more.
    AtLeast(f64),
    /// This much, or less.
    AtMost(f64),
    /// Nothing is promised; it stands beside another figure.
    Nothing,
}

/// One measured figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Lower case words with `-`, the same in every run.
    pub name: String,
    /// What was measured.
    pub value: f64,
    /// Of what: `events/s`, `bytes`, `ms`, `ratio`.
    pub unit: String,
    /// What is promised.
    pub reach: Reach,
    /// How it was measured, in a few words.
    pub how: String,
}

impl Figure {
    /// Whether it is what was promised.
    #[must_use]
    pub fn reached(&self) -> bool {
        match self.reach {
            Reach::AtLeast(least) => self.value >= least,
            Reach::AtMost(most) => self.value <= most,
            Reach::Nothing => true,
        }
    }

    /// The line of a table.
    #[must_use]
    pub fn line(&self) -> String {
        let (value, reach, verdict) = (number(self.value), self.promise(), self.verdict());
        format!("{:<44} {value:>12} {:<10} {reach:<18} {verdict:<11} {}", self.name, self.unit, self.how)
    }

    /// The row of a table in Markdown: the same in every language.
    #[must_use]
    pub fn row(&self) -> String {
        let (reach, verdict) = match self.reach {
            Reach::AtLeast(least) => (format!("≥ {}", number(least)), if self.reached() { "✓" } else { "✗" }),
            Reach::AtMost(most) => (format!("≤ {}", number(most)), if self.reached() { "✓" } else { "✗" }),
            Reach::Nothing => (String::new(), ""),
        };
        format!("| `{}` | {} {} | {reach} | {verdict} |", self.name, number(self.value), self.unit)
    }

    fn promise(&self) -> String {
        match self.reach {
            Reach::AtLeast(least) => format!("at least {}", number(least)),
            Reach::AtMost(most) => format!("at most {}", number(most)),
            Reach::Nothing => String::new(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.reach {
            Reach::Nothing => "",
            _ if self.reached() => "reached",
            _ => "NOT REACHED",
        }
    }
}

/// A Markdown text with `lines` between its marks in place of what stands there.
///
/// # Errors
/// Where the text has no marks.
pub fn put(text: &str, lines: &[String]) -> anyhow::Result<String> {
    const MARKS: [&str; 2] = ["<!-- figures -->\n", "<!-- end of figures -->\n"];
    let parts = text.split_once(MARKS[0]).and_then(|(head, rest)| Some((head, rest.split_once(MARKS[1])?.1)));
    let (head, tail) = parts.with_context(|| format!("no marks {MARKS:?}"))?;
    Ok([head, MARKS[0], &lines.join("\n"), "\n", MARKS[1], tail].concat())
}

fn number(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// How a program tells its figures: lines for a person, or JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Teller {
    /// One line of JSON a figure
    #[arg(long)]
    json: bool,
}

impl Teller {
    /// Tells a figure on standard output.
    #[allow(clippy::print_stdout, reason = "a program whose output is its result")]
    pub fn tell(self, figure: &Figure) {
        if self.json {
            println!("{}", serde_json::to_string(figure).expect("invariant: a figure can be written"));
        } else {
            println!("{}", figure.line());
        }
    }
}

/// The value in the middle.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 50)
}

/// The value that so many of a hundred are below; 100 for the last.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64, reach: Reach) -> Figure {
        Figure { name: "a-figure".to_owned(), value, unit: "ms".to_owned(), reach, how: String::new() }
    }

    #[test]
    fn a_bound_itself_is_reached() {
        assert!(figure(5.0, Reach::AtMost(5.0)).reached() && figure(5.0, Reach::AtLeast(5.0)).reached());
        assert!(!figure(5.1, Reach::AtMost(5.0)).reached() && !figure(4.9, Reach::AtLeast(5.0)).reached());
        assert!(figure(5.1, Reach::AtMost(5.0)).line().contains("NOT REACHED"));
    }

    #[test]
    fn what_stands_between_the_marks_is_replaced_and_nothing_else() {
        let text = "head\n<!-- figures -->\nold\nolder\n<!-- end of figures -->\ntail\n";
        let lines = vec![figure(5.0, Reach::AtMost(5.5)).row()];
        let expected = "head\n<!-- figures -->\n| `a-figure` | 5.00 ms | ≤ 5.50 | ✓ |\n<!-- end of figures -->\ntail\n";
        let once = put(text, &lines).expect("it has marks");
        assert_eq!(once, expected);
        assert_eq!(put(&once, &lines).expect("it keeps its marks"), expected);
        assert!(put("head\n", &lines).is_err());
    }

    #[test]
    fn json_reads_back() {
        let given = figure(5.0, Reach::AtMost(5.5));
        let text = serde_json::to_string(&given).expect("written");
        assert_eq!(serde_json::from_str::<Figure>(&text).expect("read"), given);
    }
}
