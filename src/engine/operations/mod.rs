//! Operations: the writes of clients, and the questions and commands of operators.
//!
//! - [`writes`]: push, delete and refresh; [`check_sort`] checks a name and a sort as they are for a reader.
//! - [`inspect`]: which listings there are, how one stands, what is wrong with Redis; live subscriptions.
//! - [`holds`]: freezing names, and rolling listings back.
//! - [`purges`]: the names that a purge by hand is for, and the CDNs that are not purged in time.
//! - [`read_counts`]: a loop that tells Redis and the metrics what was read.
//!
//! Each part has the few things that it needs. A write is applied on this node before it is answered: from then on the node serves
//! that generation or a newer one.

mod check_sort;
pub(super) mod holds;
pub(super) mod inspect;

mod purges;
pub(super) mod read_counts;
pub(super) mod writes;
