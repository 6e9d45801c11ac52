//! Room on the disk: work on films stops before it takes the last of it, and waits until there is
//! some again.
//!
//! Uploads leave a reserve alone; what is made of them may use half of it. A disk that is full to
//! its end would take the database with it, whose writes must not fail.

use super::{Disk, DiskError};
use crate::config::Reserve;

/// Most bytes that work leaves free on a large disk.
const FLOOR_BYTES_MAX: u64 = 1 << 30;

/// Says how much room there is to be left.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    reserve: Reserve,
}

impl Room {
    /// Makes it of what uploads leave alone.
    pub fn beside(reserve: Reserve) -> Self {
        Self { reserve }
    }

    /// Says whether there is room for work to be begun: half as much again as where it stops, so
    /// that it gets somewhere.
    pub fn is_enough(self, disk: &Disk) -> Result<bool, DiskError> {
        let (free, floor) = self.measure(disk)?;
        Ok(free > floor + floor / 2)
    }

    /// Says whether work has to stop.
    ///
    /// # Errors
    /// `Io`.
    pub fn is_over(self, disk: &Disk) -> Result<bool, DiskError> {
        let (free, floor) = self.measure(disk)?;
        Ok(free < floor)
    }

    fn measure(self, disk: &Disk) -> Result<(u64, u64), DiskError> {
        let space = disk.free_space()?;
        Ok((space.free.0, (self.reserve.of(space.total).0 / 2).min(FLOOR_BYTES_MAX)))
    }
}
