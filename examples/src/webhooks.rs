//! Delivering webhooks to receivers that misbehave, and checking afterwards that nothing was lost, doubled or altered.
//!
//! ```text
//!   Plan ──▶ Campaign::start ──▶ drive ───────────────────────────────▶ finish ──▶ Report
//!            the receivers run   push, watch, shut down: on a runtime   stop the receivers, audit
//!                                     │ one named queue per receiver
//!                                     ▼
//!                                 deliver (the job, once) ──▶ Post (the client, once per runtime) ──▶ Receivers
//! ```
//!
//! | to change | open |
//! |---|---|
//! | who receives, limits, retries, timeouts | [`plan`] |
//! | what an answer means for the job | [`deliver`] |
//! | how a request is sent on one runtime | [`post`] |
//! | how the queue is started on one runtime | [`runtime`] |
//! | how a receiver misbehaves | [`receivers`] |
//! | what is known at the end, and what must be true | [`evidence`], [`audit`] |
//! | what is remembered when the process is killed | [`logbook`], [`history`] |

pub mod audit;
pub mod campaign;
pub mod deliver;
pub mod evidence;
pub mod history;
pub mod interrupt;
pub mod logbook;
pub mod payloads;
pub mod plan;
pub mod post;
pub mod receivers;
pub mod report;
pub mod runtime;
pub mod tally;

pub use campaign::{Campaign, Watcher};
pub use interrupt::Interrupt;
pub use plan::Plan;
pub use report::Report;
pub use runtime::{RuntimeName, run};
