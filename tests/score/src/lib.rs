//! How often the causes that Tillwatch names are right, over seeded scenarios whose truth is known.
//!
//! Owns which scenario a seed stands for (`plan`), its way through both stages on a virtual clock (`run`), the comparison of what was said
//! with what was done (`judge`), and the sums and tables over many scenarios (`tally`, `table`). Owns no traffic and no rule: the fleet is
//! `tillwatch::simulate`, the engine is `tillwatch::replay` with the real components.

pub mod judge;
pub mod plan;
pub mod run;
pub mod table;
pub mod tally;
