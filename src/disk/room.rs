//! Room on the disk: work on films stops before it takes the last of it, and waits until there is
//! some again.
//!
//! Uploads leave a reserve alone; what is made of them may use half of it. A disk that is full to
//! its end would take the database with it, whose writes must not fail.

use super::{Disk, DiskError};
use crate::units::ByteCount;

/// Most bytes that work leaves free on a large disk.
const FLOOR_BYTES_MAX: u64 = 1 << 30;

/// Says how much room there is to be left.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    floor: u64,
}

impl Room {
    /// Makes it of what uploads leave alone.
    pub fn beside(reserve: ByteCount) -> Self {
        Self { floor: (reserve.0 / 2).min(FLOOR_BYTES_MAX) }
    }

    /// Says whether there is room for work to be begun: half as much again as where it stops, so
    /// that it gets somewhere.
    ///
    /// # Errors
    /// `Io`.
    pub fn is_enough(self, disk: &Disk) -> Result<bool, DiskError> {
        Ok(disk.free_space()?.free.0 > self.floor + self.floor / 2)
    }

    /// Says whether work has to stop.
    ///
    /// # Errors
    /// `Io`.
    pub fn is_over(self, disk: &Disk) -> Result<bool, DiskError> {
        Ok(disk.free_space()?.free.0 < self.floor)
    }
}
