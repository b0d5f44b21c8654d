//! placeholder
use super::report::Report;
pub(crate) fn page(_reports: &[Report]) -> String {
    String::new()
}
