//! Playback tokens: whoever has one may play one video, or all of an owner or an organisation,
//! until its time is over.
//!
//! A token is a signed statement and is kept nowhere. It is taken back by video (the record knows
//! from when on tokens count), by key, or by its end. `http` asks here for every request that
//! shows one, and looks itself whether the video is among what it is for.

mod text;

use super::rings::{Signs, newest};
use super::{Access, Denied};
use crate::config::Network;
use crate::ids::{Owner, VideoId};
use crate::model::video::VideoState;
use crate::state::VideoRecord;
use crate::units::UnixMillis;
use std::net::IpAddr;
pub use text::is_playback_shaped;

/// Most hosts whose pages one token is for.
pub const HOSTS_MAX: usize = 8;
/// Longest name of a host, with its port.
pub const HOST_CHARS_MAX: usize = 128;
/// Longest name of an owner or organisation that a token can hold.
const NAME_BYTES_MAX: usize = u8::MAX as usize;

/// What a playback token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One video.
    Video(VideoId),
    /// All videos of an owner.
    Owner(Owner),
    /// All videos of an organisation's owners.
    Organisation(String),
}

/// What a playback token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// What it is for.
    pub scope: Scope,
    /// When it was made; videos take back tokens by this.
    pub made_at: UnixMillis,
    /// From when on it doesn't count.
    pub until: UnixMillis,
    /// The owner has made it: the video plays before its upload has finished.
    pub early: bool,
    /// From where it may be used; anywhere if there is nothing.
    pub network: Option<Network>,
    /// On which hosts' pages it may be used (`app.example`, `app.example:8443`, `*.app.example`);
    /// on all if there are none.
    pub hosts: Vec<String>,
}

impl Ticket {
    /// Says whether it is for this video, as the video is now.
    pub fn shows(&self, video: &VideoRecord) -> bool {
        let covers = match &self.scope {
            Scope::Video(id) => video.id == *id,
            Scope::Owner(owner) => video.owner == *owner,
            Scope::Organisation(name) => video.owner.org() == Some(name),
        };
        let is_early = video.state == VideoState::Uploading;
        covers
            && video.playback_revoked_at.is_none_or(|revoked| revoked < self.made_at)
            && (self.early || !is_early)
    }

    /// Says whether it may be used from an address; nobody knows the one of a unix socket.
    pub fn admits(&self, address: Option<IpAddr>) -> bool {
        let within = |network: Network| address.is_some_and(|address| network.contains(address));
        self.network.is_none_or(within)
    }

    /// Says whether it may be used on the pages of a host, as a browser names it (`host:port`, the
    /// port only where it isn't the scheme's own).
    pub fn is_for_pages_of(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|named| is_host(named, host))
    }

    /// Says whether it is for some people only, so that nobody else may keep what it shows.
    pub fn is_bound(&self) -> bool {
        self.network.is_some() || !self.hosts.is_empty()
    }
}

fn is_host(named: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let (bare, port) = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (bare, Some(port)),
        _ => (host.as_str(), None),
    };
    let (name, named_port) = match named.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (named, None),
    };
    let same_name = match name.strip_prefix("*.") {
        Some(parent) => {
            bare.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        }
        None => bare == name,
    };
    same_name && (named_port.is_none() || named_port == port)
}

/// Reads a host that a token is to be for, in the one form that is compared; none for anything
/// else, such as an address with a scheme.
pub fn parse_host(text: &str) -> Option<String> {
    let host = text.to_ascii_lowercase();
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host.as_str(), None),
    };
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inner)
    };
    let good_name = name.strip_prefix("*.").unwrap_or(name).split('.').all(is_label);
    let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|it| it > 0));
    (host.len() <= HOST_CHARS_MAX && good_name && good_port).then_some(host)
}

/// What a token is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is for.
    pub scope: Scope,
    /// How long it counts.
    pub for_ms: u64,
    /// As [`Ticket::early`].
    pub early: bool,
    /// As [`Ticket::network`].
    pub network: Option<Network>,
    /// As [`Ticket::hosts`]; at most [`HOSTS_MAX`].
    pub hosts: Vec<String>,
}

impl Access {
    /// Makes a playback token for a video, and returns its text and what it says. It counts for the
    /// video even if others were taken back at this moment.
    ///
    /// # Errors
    /// `Invalid` if a name in it is too long for a token; `State`.
    pub async fn playback_token(
        &self,
        wanted: Wanted,
        video: &VideoRecord,
    ) -> Result<(String, Ticket), Denied> {
        let now = self.inner.clock.now();
        let made_at = video.playback_revoked_at.map_or(now, |at| now.max(at.plus_ms(1)));
        let ticket = Ticket {
            scope: wanted.scope,
            made_at,
            until: now.plus_ms(wanted.for_ms),
            early: wanted.early,
            network: wanted.network,
            hosts: wanted.hosts,
        };
        let ring = self.keys(Signs::Playback).await?;
        let &(number, key) = newest(&ring)?;
        let text = text::sign(number, &key, &ticket).ok_or(Denied::Invalid)?;
        Ok((text, ticket))
    }

    /// Returns what a playback token says, if it is one of ours and its time isn't over.
    ///
    /// # Errors
    /// `Invalid` for anything else; `State`.
    pub async fn playback(&self, token: &str) -> Result<Ticket, Denied> {
        if !is_playback_shaped(token) {
            return Err(Denied::Invalid);
        }
        let ring = self.keys(Signs::Playback).await?;
        let ticket = text::read(token, &ring).ok_or(Denied::Invalid)?;
        if self.inner.clock.now() < ticket.until { Ok(ticket) } else { Err(Denied::Invalid) }
    }
}

#[cfg(test)]
mod tests;
