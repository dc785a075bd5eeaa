//! How far a model is explored.

/// Goes through all interleavings with at most so many switches that no thread asked for:
/// faults that need more are rare, and these are seconds.
const PREEMPTIONS: usize = 3;

pub fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(model);
}
