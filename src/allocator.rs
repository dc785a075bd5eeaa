//! The allocator of the binary and its options.
//!
//! A message is allocated by the thread that reads it and freed by the one whose client
//! acknowledges it. jemalloc makes that cheaper than glibc, and returns freed memory to the
//! system by itself: figures in `ARCHITECTURE.md`, "Design decisions".

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by jemalloc when the process starts; `_RJEM_MALLOC_CONF` in the environment overrides it.
///
/// - `narenas:1`: each arena keeps free pages of its own, and the caches of the threads leave
///   it little to do. Measured on two cores only; a machine with many cores may need more.
/// - `dirty_decay_ms`, `muzzy_decay_ms`: free pages go back to the system within half a second,
///   so that resident memory follows `limits.max_memory`.
/// - `background_thread`: also if the broker is idle by then.
/// - `lg_tcache_max:13`: caches of the threads hold objects of up to 8 KiB.
#[allow(unsafe_code)] // The name that jemalloc asks the linker for (jemalloc(3), "TUNING").
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 86] =
    b"narenas:1,dirty_decay_ms:500,muzzy_decay_ms:0,background_thread:true,lg_tcache_max:13\0";
