//! Pure accounts of the disk space: how much growth is left (`allowance`), how long the disk
//! counts as full (`fullness`), and when it will be full (`forecast`).

pub(super) mod allowance;
pub(super) mod forecast;
pub(super) mod fullness;
