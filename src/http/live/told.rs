//! An event in words, made once however many hear it.
//!
//! There are two kinds of listeners to a video: those whose it is, their organisation and admins
//! with them, and all others. So an event has at most two texts, and every listener of a kind sends
//! the same bytes.

use super::choice::Choice;
use super::said::{Head, LiveEvent};
use crate::events::{Event, EventBody, EventKind};
use crate::http::ticket::Pass;
use crate::http::videos::Seen;
use crate::http::{AppParts, admin, videos};
use crate::ids::{GrantId, Owner, VideoId};
use crate::model::access::Viewer;
use crate::model::video::{VideoState, Visibility};
use crate::state::{StateError, VideoRecord};
use crate::units::UnixMillis;
use bytes::Bytes;
use serde::Serialize;

/// The name of the event that ends a snapshot.
const SNAPSHOT: &str = "snapshot";

/// A text that is shared by all who send it.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// As a block of an event stream.
    block: Bytes,
    /// The JSON inside that block.
    json: Bytes,
}

impl Text {
    /// Writes an event; the block has an `id` line if listeners may resume behind it. JSON never
    /// holds a line end.
    fn new(id: Option<u64>, name: &str, data: &impl Serialize) -> Self {
        // Through a value: members in a fixed order, and nothing that can't be written.
        let data = serde_json::to_value(data).unwrap_or_default();
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        let head = format!("{id}event: {name}\ndata: ");
        let block = Bytes::from(format!("{head}{data}\n\n"));
        let json = block.slice(head.len()..block.len() - 2);
        Self { block, json }
    }

    /// Returns the text as server-sent events have it.
    pub(super) fn block(&self) -> Bytes {
        self.block.clone()
    }

    /// Returns the bare JSON.
    pub(super) fn json(&self) -> Bytes {
        self.json.clone()
    }
}

/// An event as those hear it who may.
#[derive(Debug)]
pub(super) struct Told {
    video: Option<VideoId>,
    /// Whose video it is; without one the event is for the operator.
    owner: Option<Owner>,
    /// The video's session, and who else may hear of it; unknown for one that is gone.
    record: Option<(Option<String>, Openness)>,
    /// The grant by which it was uploaded.
    grant: Option<GrantId>,
    whole: Text,
    part: Option<Text>,
}

/// Who besides its owner hears of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Openness {
    /// Nobody: not all of its bytes are here.
    Arriving,
    /// Members of its organisation.
    Closed,
    /// Whoever knows its id.
    Named,
    /// Whoever has signed in.
    Listed,
}

impl Openness {
    fn of(video: &VideoRecord) -> Self {
        match video.visibility {
            _ if video.state == VideoState::Uploading => Self::Arriving,
            Visibility::Private => Self::Closed,
            Visibility::Unlisted => Self::Named,
            Visibility::Public => Self::Listed,
        }
    }
}

impl Told {
    /// Puts an event into words: looks its video up, once for all listeners.
    ///
    /// # Errors
    /// Those of the state.
    pub(super) fn of(event: &Event, parts: &AppParts) -> Result<Self, StateError> {
        let video = event.video.map(|id| parts.state.video(id)).transpose()?.flatten();
        let (kind, head) = (event.kind, || Head::new(event.id, event.at, event.video));
        let text = |said| Text::new(Some(event.id), kind.name(), &said);
        let of_video = |seen| text(LiveEvent::of_video(kind, head(), seen));
        let (whole, part) = match &event.body {
            EventBody::Video => (
                of_video(video.as_ref().map(|video| whole(video, parts))),
                video.as_ref().map(|video| of_video(Some(part(video, parts)))),
            ),
            EventBody::Upload { upload, received, size, wanted } => {
                let bytes = (*received, *size);
                (text(LiveEvent::of_upload(kind, head(), *upload, bytes, wanted)), None)
            }
            EventBody::Progress(progress) => (text(LiveEvent::of_progress(head(), progress)), None),
            EventBody::Disk(level) => (text(LiveEvent::of_disk(head(), level)), None),
            EventBody::Queue => {
                let numbers = admin::queue_numbers(parts).ok();
                (text(LiveEvent::of_queue(head(), numbers)), None)
            }
        };
        let record = video.as_ref().map(|video| (video.session.clone(), Openness::of(video)));
        let grant = video.as_ref().and_then(|video| video.grant);
        let owner = video.map(|video| video.owner).or_else(|| event.owner.clone());
        Ok(Self { video: event.video, owner, record, grant, whole, part })
    }

    /// Puts the present state of a video into words. Who is away may not resume behind it, as
    /// more of the snapshot follows.
    pub(super) fn present(video: VideoRecord, id: u64, at: UnixMillis, parts: &AppParts) -> Self {
        let kind = EventKind::VideoState;
        let text = |seen| {
            let head = Head::new(id, at, Some(video.id));
            Text::new(None, kind.name(), &LiveEvent::of_video(kind, head, Some(seen)))
        };
        Self {
            whole: text(whole(&video, parts)),
            part: Some(text(part(&video, parts))),
            record: Some((video.session.clone(), Openness::of(&video))),
            video: Some(video.id),
            grant: video.grant,
            owner: Some(video.owner),
        }
    }

    /// Returns what a listener hears, if they may and want to.
    pub(super) fn text_for(&self, viewer: Option<&Viewer>, choice: &Choice) -> Option<&Text> {
        if let (Some(videos), Some(video)) = (&choice.videos, &self.video)
            && videos.binary_search(video).is_err()
        {
            return None;
        }
        if choice.grant.is_some() && choice.grant != self.grant {
            return None;
        }
        let session = self.record.as_ref().map(|(session, _)| session);
        if choice.session.is_some() && session.is_some_and(|session| *session != choice.session) {
            return None;
        }
        let is_here = self.record.as_ref().is_some_and(|(_, open)| *open != Openness::Arriving);
        let holds = viewer.is_some_and(|viewer| match &self.owner {
            Some(owner) => viewer.is_over(owner) || (is_here && viewer.may_see(owner)),
            None => viewer.is_operator(),
        });
        if holds {
            return Some(&self.whole);
        }
        let open = match self.record.as_ref()?.1 {
            Openness::Arriving | Openness::Closed => false,
            Openness::Named => choice.videos.is_some(),
            Openness::Listed => choice.videos.is_some() || viewer.is_some(),
        };
        self.part.as_ref().filter(|_| open)
    }
}

/// Puts an event into words for whoever listens with a playback token: what is told of a video that
/// it shows, with the addresses that it opens. Blocks.
pub(super) fn told_by(pass: &Pass, event: &Event, parts: &AppParts) -> Option<Text> {
    let is_of_video = matches!(event.body, EventBody::Video);
    let video = parts.state.video(event.video.filter(|_| is_of_video)?).ok().flatten()?;
    let seen = pass.ticket.shows(&video).then(|| videos::part_by(pass, &video, parts))?;
    let head = Head::new(event.id, event.at, Some(video.id));
    let said = LiveEvent::of_video(event.kind, head, Some(seen));
    Some(Text::new(Some(event.id), event.kind.name(), &said))
}

/// Puts the present state of a video into words for the same.
pub(super) fn present_by(
    pass: &Pass,
    video: &VideoRecord,
    id: u64,
    at: UnixMillis,
    parts: &AppParts,
) -> Text {
    let kind = EventKind::VideoState;
    let (seen, head) = (videos::part_by(pass, video, parts), Head::new(id, at, Some(video.id)));
    Text::new(None, kind.name(), &LiveEvent::of_video(kind, head, Some(seen)))
}

/// Returns what ends a snapshot: the id of the last event that is part of it, and how many videos
/// it told.
pub(super) fn snapshot_end(id: u64, at: UnixMillis, videos: usize) -> Text {
    let said = LiveEvent::end_of_snapshot(Head::new(id, at, None), videos);
    Text::new(Some(id), SNAPSHOT, &said)
}

fn whole(video: &VideoRecord, parts: &AppParts) -> Seen {
    Seen::Whole(Box::new(videos::whole(video, parts)))
}

fn part(video: &VideoRecord, parts: &AppParts) -> Seen {
    Seen::Part(Box::new(videos::part(video, parts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Role;
    use serde_json::{Value, json};

    /// An event is one block of lines, and text from users can't begin another.
    #[test]
    fn events_are_blocks_of_lines() {
        let data = json!({ "id": 7, "title": "a\n\nevent: evil\r\n" });
        let text = Text::new(Some(7), "video.state", &data);
        let block = text.block();
        let block = std::str::from_utf8(&block).expect("text");
        assert!(block.starts_with("id: 7\nevent: video.state\ndata: {"), "{block}");
        assert_eq!(block.matches('\n').count(), 4, "{block}");
        assert!(block.ends_with("\n\n") && !block.contains('\r'));
        assert_eq!(serde_json::from_slice::<Value>(&text.json()).expect("JSON"), data);
    }

    /// Each listener hears what is theirs to hear: the whole, the public part, or nothing.
    #[test]
    fn each_hears_what_they_may() {
        let now = UnixMillis(1);
        let id = VideoId::fresh(now);
        let text = |word: &str| Text::new(None, word, &json!(word));
        let told = |record: Option<(Option<String>, Openness)>| Told {
            video: Some(id),
            owner: Some(Owner("ann".into())),
            record,
            grant: None,
            whole: text("whole"),
            part: Some(text("part")),
        };
        let viewer = |name: &str, role| Viewer { owner: Owner(name.into()), role };
        let (ann, bob) = (viewer("ann", Role::Uploader), viewer("bob", Role::Uploader));
        let root = viewer("root", Role::Admin);
        let all = Choice::new(None, None, None);
        let named = Choice::new(Some(vec![id]), None, None);
        let other = Choice::new(Some(vec![VideoId::fresh(now)]), None, None);
        let of_session = Choice::new(None, Some("s".into()), None);
        let heard = |told: &Told, viewer: Option<&Viewer>, choice: &Choice| {
            let json = told.text_for(viewer, choice)?.json();
            Some(serde_json::from_slice::<String>(&json).expect("a word"))
        };
        let (whole, part) = (Some("whole".to_owned()), Some("part".to_owned()));
        let cases = [
            (Openness::Arriving, None, None, None),
            (Openness::Closed, None, None, None),
            (Openness::Named, None, part.clone(), part.clone()),
            (Openness::Listed, part.clone(), part.clone(), part),
        ];
        for (openness, bobs, bobs_named, anyones_named) in cases {
            let told = told(Some((None, openness)));
            assert_eq!(heard(&told, Some(&ann), &all), whole, "{openness:?}");
            assert_eq!(heard(&told, Some(&root), &named), whole, "{openness:?}");
            assert_eq!(heard(&told, Some(&bob), &all), bobs, "{openness:?}");
            assert_eq!(heard(&told, Some(&bob), &named), bobs_named, "{openness:?}");
            assert_eq!(heard(&told, None, &named), anyones_named, "{openness:?}");
            assert_eq!(heard(&told, None, &all), None, "{openness:?}");
            assert_eq!(heard(&told, Some(&root), &other), None, "{openness:?}");
            assert_eq!(heard(&told, Some(&ann), &of_session), None, "{openness:?}");
        }
        let gone = told(None);
        assert_eq!(heard(&gone, Some(&ann), &named), whole);
        assert_eq!(heard(&gone, Some(&bob), &named), None);
        assert_eq!(heard(&gone, None, &named), None);
    }

    /// Members of an organisation hear all of what the others have brought, and nothing of what
    /// they are bringing.
    #[test]
    fn members_hear_of_what_is_here() {
        let id = VideoId::fresh(UnixMillis(1));
        let told = |record| Told {
            video: Some(id),
            owner: Some(Owner("acme/ann".into())),
            record,
            grant: None,
            whole: Text::new(None, "whole", &json!("whole")),
            part: Some(Text::new(None, "part", &json!("part"))),
        };
        let viewer = |name: &str, role| Viewer { owner: Owner(name.into()), role };
        let all = Choice::new(None, None, None);
        let heard = |record: Option<Openness>, name: &str, role| {
            let told = told(record.map(|open| (None, open)));
            let text = told.text_for(Some(&viewer(name, role)), &all)?.json();
            Some(serde_json::from_slice::<String>(&text).expect("a word"))
        };
        let whole = Some("whole".to_owned());
        assert_eq!(heard(Some(Openness::Closed), "acme/bob", Role::Viewer), whole);
        assert_eq!(heard(Some(Openness::Arriving), "acme/bob", Role::Uploader), None);
        assert_eq!(heard(None, "acme/bob", Role::Uploader), None, "it may never have come");
        for open in [None, Some(Openness::Arriving), Some(Openness::Closed)] {
            assert_eq!(heard(open, "acme/boss", Role::Admin), whole);
            assert_eq!(heard(open, "other/boss", Role::Admin), None);
            assert_eq!(heard(open, "ann", Role::Uploader), None);
        }
    }

    /// The queue is told to the operator alone, whatever they chose.
    #[test]
    fn the_queue_is_for_the_operator() {
        let text = Text::new(None, "queue", &Value::Null);
        let told =
            Told { video: None, owner: None, record: None, grant: None, whole: text, part: None };
        let viewer = |name: &str, role| Viewer { owner: Owner(name.into()), role };
        let named = Choice::new(Some(vec![VideoId::fresh(UnixMillis(1))]), None, None);
        assert!(told.text_for(Some(&viewer("ann", Role::Admin)), &named).is_some());
        assert!(told.text_for(Some(&viewer("ann", Role::Uploader)), &named).is_none());
        assert!(told.text_for(Some(&viewer("acme/ann", Role::Admin)), &named).is_none());
        assert!(told.text_for(None, &named).is_none());
    }
}
