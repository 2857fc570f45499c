//! A figure: what was measured, what it should reach, and whether it does. Told as a line of a table, or as a line of JSON for whoever
//! gathers figures of several programs.

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
        let number = |value: f64| if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        let reach = match self.reach {
            Reach::AtLeast(least) => format!("at least {}", number(least)),
            Reach::AtMost(most) => format!("at most {}", number(most)),
            Reach::Nothing => String::new(),
        };
        let verdict = match self.reach {
            Reach::Nothing => "",
            _ if self.reached() => "reached",
            _ => "NOT REACHED",
        };
        format!("{:<44} {:>12} {:<10} {reach:<18} {verdict:<11} {}", self.name, number(self.value), self.unit, self.how)
    }
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
    fn json_reads_back() {
        let given = figure(5.0, Reach::AtMost(5.5));
        let text = serde_json::to_string(&given).expect("written");
        assert_eq!(serde_json::from_str::<Figure>(&text).expect("read"), given);
    }
}
