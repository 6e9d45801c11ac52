//! Room on the disk: people are warned before uploads have to be refused.

use super::{Janitor, JanitorError};
use crate::events::Event;
use crate::model::room::{self, Level};
use tracing::{info, warn};

impl Janitor {
    /// Looks how much room there is, and tells when it gets short; not again before there was
    /// clearly more.
    ///
    /// # Errors
    /// What keeps the disk from being looked at.
    pub async fn watch_space(&self) -> Result<(), JanitorError> {
        let space = self.blocking(|disk| disk.free_space()).await?;
        let reserve = self.reserve.of(space.total);
        let level = Level { free: space.free, total: space.total, reserve };
        let before = self.places().is_low;
        let is_low = room::is_low(level, before);
        self.places().is_low = is_low;
        match (before, is_low) {
            (false, true) => {
                warn!(
                    free_bytes = level.free.0,
                    reserve_bytes = reserve.0,
                    "room is getting short: {} free, uploads are refused below {reserve}",
                    level.free
                );
                self.hub.publish(Event::of_disk(self.clock.now(), level));
                self.state.tell_of_disk(level).await?;
            }
            (true, false) => info!(free_bytes = level.free.0, "there is room again"),
            _ => {}
        }
        Ok(())
    }
}
