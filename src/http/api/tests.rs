//! The guard, over a real socket.
