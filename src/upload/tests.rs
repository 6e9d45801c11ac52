//! The engine over the real disk and database: one runtime is one life of the server, and
//! dropping it is a kill.

mod admission;
mod along;
mod checked;
mod flagged;
mod histories;
mod joined;
mod life;
mod model;
mod parts;
mod promises;
mod rules;
mod whole;
