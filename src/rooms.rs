//! The rooms in which something of somebody may be, and the rules by which it goes, put together
//! once for those who look after all of them: `janitor` and `rights`.

use crate::clock::Clock;
use crate::config::Reserve;
use crate::disk::Disk;
use crate::events::Hub;
use crate::library::Library;
use crate::model::keep::{KeepOriginals, Retention};
use crate::queue::Queue;
use crate::state::State;
use crate::trail::Trail;
use crate::upload::Uploads;

/// The rooms, and the rules. Clones share everything.
#[derive(Clone)]
pub struct Rooms {
    /// The upload engine.
    pub uploads: Uploads,
    /// What is published, and the trash.
    pub library: Library,
    /// The jobs.
    pub queue: Queue,
    /// The records.
    pub state: State,
    /// The files.
    pub disk: Disk,
    /// The clock.
    pub clock: Clock,
    /// What happens.
    pub hub: Hub,
    /// The audit log.
    pub trail: Trail,
    /// Room that uploads leave alone.
    pub reserve: Reserve,
    /// How long originals are kept.
    pub keep: KeepOriginals,
    /// How long videos are kept.
    pub retention: Retention,
}
