//! The causes that can be injected: the sixteen of `docs/spec/domain.md`, section 3, its two labels, and two at once.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $family:ident;)*) => {
        /// Why something goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
        pub enum Cause { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl Cause {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As it is written in files, flags and truths.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What it belongs to.
            #[must_use]
            pub fn family(self) -> Family {
                match self { $(Self::$name => Family::$family),* }
            }
        }
    };
}

causes! {
    /// The site's bandwidth is too small.
    N1 = "N1", Network;
    /// A firewall or security software resets connections to one peer.
    N2 = "N2", Network;
    /// The router is broken or misconfigured: the site is cut off, or loses packets.
    N3 = "N3", Network;
    /// The acquirer's host is overloaded.
    N4 = "N4", Network;
    /// The printer jams, is out of paper, open or offline, or prints nothing.
    H1 = "H1", Hardware;
    /// The scanner reads nothing, or is gone.
    H2 = "H2", Hardware;
    /// The terminal itself is damaged: tampered with, no PIN pad, restarting, hot, flat.
    H3 = "H3", Hardware;
    /// The terminal's software hangs and crashes.
    H4 = "H4", Hardware;
    /// The payment handler is wrong: MAC failures, answers that it cannot take.
    S1 = "S1", Software;
    /// Order system and acquirer disagree.
    S2 = "S2", Software;
    /// The two sides of an interface do not understand each other.
    S3 = "S3", Software;
    /// An update was not applied: version, parameters or certificate are behind.
    S4 = "S4", Software;
    /// The operator is not trained.
    P1 = "P1", Human;
    /// The operator is careless: prompts stay unanswered.
    P2 = "P2", Human;
    /// The operator lets customers wait although everything works.
    P3 = "P3", Human;
    /// The operator errs: wrong key, wrong amount, a second attempt.
    P4 = "P4", Human;
    /// Somebody has announced that it is down.
    Maintenance = "maintenance", Label;
    /// The customer: wrong PIN, no funds, walks away.
    Customer = "customer", Label;
    /// Two causes of two families, drawn by the seed; never active itself.
    Mixed = "mixed", Label;
}

/// What a cause belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Family {
    Network,
    Hardware,
    Software,
    Human,
    /// Not a fault of the site.
    Label,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|cause| cause.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|cause| cause.name()).collect();
            format!("there is no cause {text:?}; there are {}", known.join(", "))
        })
    }
}
