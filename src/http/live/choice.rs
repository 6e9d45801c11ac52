//! What a listener chose to hear of, and its present state: the snapshot that a stream opens with.
//!
//! A snapshot carries the id of the last event that is part of it, and stays right for as long as
//! the events behind that id can be read. So those who come in the same moment with the same
//! choice share one: after a restart all listeners come at once.

use super::told::{Text, Told, present_by, snapshot_end};
use crate::http::problem::Problem;
use crate::http::ticket::Pass;
use crate::http::{AppParts, translate};
use crate::ids::{GrantId, Owner, VideoId};
use crate::model::access::{Role, Viewer};
use crate::model::video::VideoState;
use crate::state::VideoRecord;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Most videos in a snapshot.
const VIDEOS_MAX: usize = 200;
/// How long a snapshot is shared.
const SHARED_FOR: Duration = Duration::from_secs(1);
/// Snapshots that are shared at once.
const SHARED_MAX: usize = 64;

/// What a listener chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Choice {
    /// These videos, in order; all that the listener may see if none are named.
    pub(super) videos: Option<Vec<VideoId>>,
    /// Those of this session alone.
    pub(super) session: Option<String>,
    /// Those that were uploaded by this grant alone.
    pub(super) grant: Option<GrantId>,
}

impl Choice {
    pub(super) fn new(
        videos: Option<Vec<VideoId>>,
        session: Option<String>,
        grant: Option<GrantId>,
    ) -> Self {
        let mut videos = videos;
        if let Some(videos) = &mut videos {
            videos.sort_unstable();
            videos.dedup();
        }
        Self { videos, session, grant }
    }

    /// Says whether a video is named.
    pub(super) fn names(&self, video: Option<VideoId>) -> bool {
        let named = self.videos.as_ref().zip(video);
        named.is_some_and(|(videos, video)| videos.binary_search(&video).is_ok())
    }

    /// Reads what is chosen: the named videos, those of the session, or all on which something is
    /// under way. Some may be none of the listener's business.
    fn present(
        &self,
        parts: &AppParts,
        viewer: Option<&Viewer>,
    ) -> Result<Vec<VideoRecord>, Problem> {
        if let Some(videos) = &self.videos {
            let found: Result<Vec<_>, _> = videos.iter().map(|&id| parts.state.video(id)).collect();
            return Ok(found.map_err(translate::state)?.into_iter().flatten().collect());
        }
        let all = self.session.is_some();
        let moving =
            |video: &VideoRecord| !matches!(video.state, VideoState::Ready | VideoState::Failed);
        let keep = |video: &VideoRecord| {
            (all || moving(video))
                && (self.grant.is_none() || video.grant == self.grant)
                && (self.session.is_none() || video.session == self.session)
                && viewer.is_some_and(|viewer| crate::library::lists(viewer, video))
        };
        parts.state.videos(None, VIDEOS_MAX, &keep).map_err(translate::state)
    }
}

/// The present state of a choice.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The last event that is part of it.
    pub(super) id: u64,
    /// What is sent, in order.
    pub(super) texts: Vec<Text>,
}

impl Snapshot {
    /// Looks at the records and puts them into words; blocks. `id` was the newest event before.
    ///
    /// # Errors
    /// Those of the state.
    pub(super) fn take(
        choice: &Choice,
        viewer: Option<&Viewer>,
        id: u64,
        parts: &AppParts,
    ) -> Result<Self, Problem> {
        let at = parts.clock.now();
        let videos = choice.present(parts, viewer)?.into_iter();
        let told = videos.map(|video| Told::present(video, id, at, parts));
        let mut texts: Vec<Text> =
            told.filter_map(|told| told.text_for(viewer, choice).cloned()).collect();
        texts.push(snapshot_end(id, at, texts.len()));
        Ok(Self { id, texts })
    }

    /// Does the same for whoever has a playback token.
    ///
    /// # Errors
    /// Those of the state.
    pub(super) fn take_by(
        choice: &Choice,
        pass: &Pass,
        id: u64,
        parts: &AppParts,
    ) -> Result<Self, Problem> {
        let at = parts.clock.now();
        let videos = choice.present(parts, None)?;
        let shown = videos.iter().filter(|video| pass.ticket.shows(video));
        let mut texts: Vec<Text> =
            shown.map(|video| present_by(pass, video, id, at, parts)).collect();
        texts.push(snapshot_end(id, at, texts.len()));
        Ok(Self { id, texts })
    }
}

/// The snapshots of this moment.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    shared: Mutex<HashMap<Key, Shared>>,
}

type Key = (Audience, Arc<Choice>);
type Shared = (Instant, Arc<OnceCell<Arc<Snapshot>>>);

/// Those who see the same of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Audience {
    Anyone,
    Owner(Owner),
    /// The admins of an organisation.
    Org(String),
    Operator,
}

impl Audience {
    fn of(viewer: Option<&Viewer>) -> Self {
        match viewer {
            None => Self::Anyone,
            Some(viewer) if viewer.is_operator() => Self::Operator,
            Some(Viewer { owner, role }) => match owner.org().filter(|_| *role == Role::Admin) {
                Some(org) => Self::Org(org.to_owned()),
                None => Self::Owner(owner.clone()),
            },
        }
    }
}

impl Snapshots {
    /// Returns the place of a snapshot: one that was taken, is being taken, or is to be taken by
    /// the caller.
    pub(super) fn place(
        &self,
        viewer: Option<&Viewer>,
        choice: &Arc<Choice>,
        now: Instant,
    ) -> Arc<OnceCell<Arc<Snapshot>>> {
        self.forget_old(now);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Audience::of(viewer), Arc::clone(choice));
        if let Some((_, place)) = shared.get(&key) {
            return Arc::clone(place);
        }
        let place = Arc::default();
        if shared.len() < SHARED_MAX {
            shared.insert(key, (now, Arc::clone(&place)));
        }
        place
    }

    /// Lets those go whose moment has passed.
    pub(super) fn forget_old(&self, now: Instant) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, (since, _)| now < *since + SHARED_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who sees and wants the same in the same moment shares a snapshot; nobody else does.
    #[test]
    fn the_same_choice_shares_a_snapshot() {
        let snapshots = Snapshots::default();
        let viewer = |name: &str, role| Viewer { owner: Owner(name.into()), role };
        let (ann, bob) = (viewer("ann", Role::Uploader), viewer("bob", Role::Uploader));
        let (root, boss) = (viewer("root", Role::Admin), viewer("boss", Role::Admin));
        let choice = |session: &str| Arc::new(Choice::new(None, Some(session.to_owned()), None));
        let now = Instant::now();
        let place =
            |viewer: Option<&Viewer>, session| snapshots.place(viewer, &choice(session), now);
        let same = |one: &Arc<OnceCell<_>>, other: &Arc<OnceCell<_>>| Arc::ptr_eq(one, other);
        let anns = place(Some(&ann), "a");
        assert!(same(&anns, &place(Some(&ann), "a")));
        assert!(!same(&anns, &place(Some(&ann), "b")));
        assert!(!same(&anns, &place(Some(&bob), "a")));
        assert!(!same(&anns, &place(None, "a")));
        assert!(same(&place(Some(&root), "a"), &place(Some(&boss), "a")));
        let later = snapshots.place(Some(&ann), &choice("a"), now + SHARED_FOR);
        assert!(!same(&anns, &later));
        snapshots.forget_old(now + 2 * SHARED_FOR);
        assert!(snapshots.shared.lock().expect("sound").is_empty());
    }
}
