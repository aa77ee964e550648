//! What `report` writes, `import` reads back; and no bytes make it fail in any other way than
//! with an error.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../report/tests/report/fixture.rs"]
#[expect(dead_code, reason = "its parts that only the texts for people need")]
mod fixture;
mod others;
mod past_run;
mod records;
mod strategies;
