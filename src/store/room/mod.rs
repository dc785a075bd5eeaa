//! Pure accounts of the room on the disk: what may still grow (`allowance`), how long it
//! counts as full (`fullness`), and when it will be (`forecast`).

pub(super) mod allowance;
pub(super) mod forecast;
pub(super) mod fullness;
