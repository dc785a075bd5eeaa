//! The limits of the exploration.

/// Most preemptions in an interleaving: faults that need more are rare, and three take
/// seconds.
const PREEMPTIONS: usize = 3;

pub fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(model);
}
