//! What an operator must be able to do.

use opendal::Operator;

/// How a service names the states of an object, and compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    /// By entity tags (S3, Azure).
    ETags {
        /// Whether a read can be made to depend on one as well.
        on_read: bool,
    },
    /// By generations (Google): entity tags do not count.
    Generations,
}

/// How the operator compares and swaps, or what it lacks for a queue.
pub(super) fn requirements(operator: &Operator) -> Result<Versions, &'static str> {
    let can = operator.info().capability();
    if !can.write_with_if_not_exists {
        return Err("its service cannot write an object only where there is none");
    }
    let versions = if can.write_with_if_match {
        Versions::ETags { on_read: can.read_with_if_none_match }
    } else if can.write_with_if_version_match && can.read_with_if_version_not_match {
        Versions::Generations
    } else {
        return Err("its service cannot replace an object on a condition; \
            for a directory or a store in memory, give a path or `memory:NAME` instead");
    };
    if !(can.read && can.list && can.delete) {
        return Err("its service cannot read, list and delete objects");
    }
    if retries(&format!("{operator:?}")) {
        return Err("its RetryLayer would send a write again after a lost reply \
            and take the first one for somebody else's; leave the layer out, the buffer retries");
    }
    Ok(versions)
}

/// Whether an operator, as it describes itself, sends requests again: there is no other way to ask.
///
/// The layer is in the list of layers, or only around the service, if the operator was taken apart.
fn retries(described: &str) -> bool {
    let layers = described.rfind("layers: [").map_or("", |begin| &described[begin..]);
    layers.contains("RetryLayer") || described.contains("RetryService { inner: ")
}

#[cfg(test)]
mod tests {
    use opendal::layers::{CapabilityOverrideLayer, SimulateLayer};
    use opendal::{Capability, services};
    use opendal_layer_retry::RetryLayer;

    use super::*;

    fn able(change: fn(&mut Capability)) -> Operator {
        let all = move |mut can: Capability| {
            (can.write_with_if_match, can.read_with_if_none_match) = (true, true);
            change(&mut can);
            can
        };
        let operator = Operator::new(services::Memory::default()).expect("it needs nothing");
        operator.layer(CapabilityOverrideLayer::new(all))
    }

    #[test]
    fn what_is_lacking_is_named() {
        assert_eq!(requirements(&able(|_| ())), Ok(Versions::ETags { on_read: true }));
        let whole_reads = able(|can| can.read_with_if_none_match = false);
        assert_eq!(requirements(&whole_reads), Ok(Versions::ETags { on_read: false }));
        let generations = able(|can| {
            can.write_with_if_match = false;
            (can.write_with_if_version_match, can.read_with_if_version_not_match) = (true, true);
        });
        assert_eq!(requirements(&generations), Ok(Versions::Generations));
        let lacking = |change, expected: &str| {
            let reason = requirements(&able(change)).expect_err(expected);
            assert!(reason.contains(expected), "{reason}");
        };
        lacking(|can| can.write_with_if_not_exists = false, "only where there is none");
        lacking(|can| can.write_with_if_match = false, "replace an object on a condition");
        lacking(|can| can.list = false, "list");
        lacking(|can| can.delete = false, "delete");
    }

    #[test]
    fn a_retry_layer_is_seen_and_other_layers_are_no_matter() {
        let retrying = able(|_| ()).layer(RetryLayer::new());
        let reason = requirements(&retrying).expect_err("it retries");
        assert!(reason.contains("RetryLayer"), "{reason}");
        let (context, service) = retrying.into_parts();
        let again = Operator::from_parts(context, service);
        let reason = requirements(&again).expect_err("it retries still");
        assert!(reason.contains("RetryLayer"), "{reason}");
        requirements(&able(|_| ()).layer(SimulateLayer::default())).expect("that one does no harm");
    }

    #[test]
    fn a_name_is_no_layer() {
        let named = services::Memory::default().root("layers: [RetryLayer");
        let named = Operator::new(named).expect("it needs nothing");
        assert!(!retries(&format!("{named:?}")), "{named:?}");
    }
}
